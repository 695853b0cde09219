"""What `--detector` names: read and checked in the first seconds, opened by workers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce

from transforms.adapters.detectors.agree import AgreeingDetector
from transforms.adapters.detectors.base import ConstantDetector, Detector, FallbackDetector
from transforms.adapters.detectors.cld2 import Cld2Detector, cld2_languages
from transforms.adapters.detectors.fasttext import bundled_model, check_model, open_model
from transforms.logic.errors import ConfigurationError
from transforms.logic.labels import check_code
from transforms.logic.suggestions import did_you_mean

_FLAG = "--detector"
_NAMES = ("cld2", "lid176", "fasttext", "column", "const", "agree")
_OF_FILES = frozenset({"lid176", "fasttext", "agree"})
_KINDS = "cld2, lid176, fasttext:PATH, column:NAME, const:CODE, agree or agree:PATH"


@dataclass(frozen=True)
class Choice:
    """A checked choice of detectors.

    Attributes:
        column: the column of the source that is trusted first; None if no column is.
        label_count: the most languages that the detectors may name; None if a column may name any.
        detector: opens the detector, in the process that uses it.
        model_files: of the detectors that have one.
    """

    column: str | None
    label_count: int | None
    detector: Callable[[], Detector]
    model_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Part:
    """One detector of a choice: a picklable way to open it, and how many languages it may name."""

    open: Callable[[], Detector]
    label_count: int
    model_file: str | None = None


def read_choice(specification: str, floor: float) -> Choice:
    """Checks a specification such as `column:lang,cld2`, down to the packages and files it needs.

    Raises:
        ConfigurationError: naming the part, what is allowed and what to do.
    """
    parts = [part.strip() for part in specification.split(",")]
    column = None
    if parts[0].startswith("column:"):
        column = _argument(parts.pop(0), "the name of a column")
    for part in parts[:-1]:
        if part.startswith("const:"):
            raise ConfigurationError(
                f"{_FLAG} {specification!r}: {part!r} always has an answer, so nothing may follow it"
            )
    read = [_read_part(part) for part in parts]
    label_count = None if column else sum(part.label_count for part in read)
    files = tuple(part.model_file for part in read if part.model_file is not None)
    return Choice(column, label_count, partial(open_detector, tuple(part.open for part in read), floor), files)


def names_files(specification: str) -> bool:
    """Whether a specification names a detector that has a model file, which `read_choice` looks at."""
    return any(part.strip().partition(":")[0] in _OF_FILES for part in specification.split(","))


def open_detector(openers: tuple[Callable[[], Detector], ...], floor: float) -> Detector:
    """Opens detectors, each asked where the ones before have no answer; without any, a detector that never has one."""
    detectors = [one() for one in openers] or [ConstantDetector()]
    return reduce(lambda first, then: FallbackDetector(first, then, floor), detectors)


def _read_part(part: str) -> _Part:
    kind = part.partition(":")[0]
    flag = f"{_FLAG} {part}"
    match kind:
        case "cld2" if part == kind:
            return _Part(Cld2Detector, len(cld2_languages()))
        case "lid176" if part == kind:
            return _fasttext(flag, bundled_model())
        case "fasttext":
            return _fasttext(flag, _argument(part, "the path of a model"))
        case "agree":
            path = bundled_model() if part == kind else _argument(part, "the path of a model")
            return _Part(partial(_open_agreeing, path), len(cld2_languages()) + check_model(flag, path), path)
        case "const":
            code = _argument(part, "a language code")
            check_code(flag, code)
            return _Part(partial(ConstantDetector, code), 1)
        case "column":
            raise ConfigurationError(
                f"{_FLAG}: {part!r} must come first, before the detectors that are asked where it has no value"
            )
        case _:
            raise ConfigurationError(
                f"{_FLAG}: {part!r} is unknown; allowed are {_KINDS}, and several with commas between them"
                f"{did_you_mean(kind, _NAMES)}"
            )


def _argument(part: str, what: str) -> str:
    kind, _, argument = part.partition(":")
    if not argument:
        raise ConfigurationError(f"{_FLAG}: {part!r} lacks {what}, as in {kind}:...")
    return argument


def _fasttext(flag: str, path: str) -> _Part:
    return _Part(partial(open_model, path), check_model(flag, path), path)


def _open_agreeing(path: str) -> Detector:
    return AgreeingDetector(Cld2Detector(), open_model(path))
