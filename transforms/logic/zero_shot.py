"""Zero-shot labels: a chunk gets the label whose texts lie nearest to it.

The label texts are embedded by the model of the chunks, and the cosine decides (Veeranna et al. 2016, ESANN; Yin, Hay and Roth 2019,
arXiv:1909.00161, call the setting label-fully-unseen). Nothing is trained.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import regex

from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import fingerprint
from transforms.logic.normalise import is_blank, normalise_text
from transforms.logic.vectors import Float32, unit_rows

MAX_LABELS = 256
MAX_NAME_BYTES = 64
_KNOWN = ("labels", "prompt", "floor")
# No quotes, backslashes or control characters: a name goes into the filters of searches.
_NAME = regex.compile(r"[\p{L}\p{M}\p{N}_][\p{L}\p{M}\p{N}_ .:/+&-]*")


@dataclass(frozen=True)
class Labels:
    """What a file of labels says.

    Attributes:
        texts: of each label, at least one, by name in order.
        prompt: put before every text; None for the document prompt.
        floor: a chunk whose best cosine is lower has the label "".
    """

    texts: Mapping[str, tuple[str, ...]]
    prompt: str | None = None
    floor: float = -1.0

    @property
    def names(self) -> tuple[str, ...]:
        """The names, ordered."""
        return tuple(self.texts)

    def digest(self, document_prompt: str) -> str:
        """32 hexadecimal characters over all that decides a label, whatever the order in the file."""
        prompt = document_prompt if self.prompt is None else self.prompt
        texts = {name: sorted(texts) for name, texts in self.texts.items()}
        return fingerprint({"texts": texts, "prompt": prompt, "floor": self.floor})


def read_labels(data: bytes, path: str) -> Labels:
    """Reads a TOML file: a table `labels` of name = text or list of texts; beside it perhaps `prompt` and `floor`.

    Raises:
        ConfigurationError: naming the file, what is wrong in it and what is allowed.
    """
    try:
        values = tomllib.loads(data.decode())
    except ValueError as error:
        raise ConfigurationError(f"--labels {path!r} is not TOML: {error}") from error
    unknown = sorted(set(values) - set(_KNOWN))
    if unknown:
        raise ConfigurationError(f"--labels {path!r}: unknown {', '.join(unknown)}; there are {', '.join(_KNOWN)}")
    labels, prompt, floor = values.get("labels"), values.get("prompt"), values.get("floor", -1.0)
    if not isinstance(labels, dict) or not 1 <= len(labels) <= MAX_LABELS:
        raise ConfigurationError(
            f"--labels {path!r} needs a table [labels] with 1 to {MAX_LABELS} entries such as "
            'sports = "This text is about sports."'
        )
    if prompt is not None and not isinstance(prompt, str):
        raise ConfigurationError(f"--labels {path!r}: prompt {prompt!r} must be a text")
    if isinstance(floor, bool) or not isinstance(floor, int | float) or not -1 <= floor <= 1:
        raise ConfigurationError(f"--labels {path!r}: floor {floor!r} must be a cosine, from -1 to 1")
    named = {normalise_text(name): given for name, given in labels.items()}
    if len(named) < len(labels):
        raise ConfigurationError(f"--labels {path!r}: two names are the same in NFC; leave one out")
    texts = {name: _texts(name, named[name], path) for name in sorted(named)}
    return Labels(texts, prompt, float(floor))


def _texts(name: str, given: Any, path: str) -> tuple[str, ...]:
    if not _NAME.fullmatch(name) or len(name.encode()) > MAX_NAME_BYTES:
        raise ConfigurationError(
            f"--labels {path!r}: the name {name!r} must be at most {MAX_NAME_BYTES} bytes of letters, digits, spaces and _ . : / + & -, "
            "and begin with a letter, a digit or _"
        )
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ConfigurationError(f"--labels {path!r}: {name!r} must be a text or a list of texts, got {given!r}")
    normal = [normalise_text(text).strip() for text in texts]
    for text, original in zip(normal, texts, strict=True):
        if is_blank(text):
            raise ConfigurationError(f"--labels {path!r}: a text of {name!r} holds nothing: {original!r}")
    # A text that comes twice would count twice.
    return tuple(dict.fromkeys(normal))


def label_vectors(vectors: Float32, counts: Mapping[str, int]) -> Float32:
    """One unit vector a label, shape (labels, dimensions), float32: the mean of the unit vectors of its texts, renormalised.

    Args:
        vectors: of all texts, shape (texts, dimensions), label by label.
        counts: how many texts each label has, in that order.
    """
    unit = unit_rows(vectors)
    ends = np.cumsum(list(counts.values()))
    means = [unit[end - count : end].mean(axis=0) for end, count in zip(ends, counts.values(), strict=True)]
    return unit_rows(np.stack(means))


def choose_labels(
    vectors: Float32, of_labels: Float32, names: tuple[str, ...], floor: float
) -> tuple[list[str], Float32]:
    """The label of each row and its score.

    Args:
        vectors: shape (n, dimensions), float32.
        of_labels: shape (labels, dimensions), float32, unit rows.
        names: of the labels, ordered: the first of two with one score wins.
        floor: the label below it is "".

    Returns:
        n labels, and the greatest cosine of each row, shape (n,), float32 in [-1, 1].
    """
    # A sum for each pair, not a matrix product: that one rounds a row differently in batches of different sizes, and a rerun must
    # give equal scores.
    cosines = np.einsum("id,jd->ij", unit_rows(vectors), of_labels)
    best = cosines.argmax(axis=1)
    scores = np.clip(cosines[np.arange(len(best)), best], -1, 1)
    labels = [names[index] if score >= floor else "" for index, score in zip(best, scores, strict=True)]
    return labels, scores


def with_labels(
    batch: pa.RecordBatch, vectors: Float32, of_labels: Float32, names: tuple[str, ...], floor: float
) -> pa.RecordBatch:
    """A batch with the columns `label` and `label_score` more; `vectors` are those of its rows at full precision."""
    labels, scores = choose_labels(vectors, of_labels, names, floor)
    return batch.append_column("label", pa.array(labels, pa.string())).append_column("label_score", pa.array(scores))
