"""Which languages get a Milvus partition of their own: as named, by default, or by counting a sample; frozen when a collection is made."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.configuration.config import Config
from pipelines.configuration.sections import Language, Selection
from transforms.adapters.detectors import Choice
from transforms.adapters.formats import Split
from transforms.adapters.formats.groups import read_planned
from transforms.identify import identify_documents
from transforms.logic.errors import ConfigurationError
from transforms.logic.labels import COMMON, check_code
from transforms.logic.languages import commonest
from transforms.logic.records import Reading

MAX_PARTITIONS = 1024
"""Milvus's limit for a collection."""
_BESIDE_LANGUAGES = 3
SAMPLED_SPLITS = 16
_COMMON = "common"
_ALL = "all"


@dataclass(frozen=True)
class OwnPartitions:
    """What the configuration says of partitions.

    Attributes:
        languages: folded languages with a partition of their own, ordered; None gives every language one.
        is_named: whether `--languages` says so; if not, an existing collection's own list stands.
        top: how many of the commonest languages of a new collection's first corpus are taken instead.
    """

    languages: tuple[str, ...] | None
    is_named: bool = False
    top: int | None = None


def read_own_partitions(config: Language, choice: Choice) -> OwnPartitions:
    """Checks `--languages` and `--top-languages`.

    Raises:
        ConfigurationError: for a code that is none, and for more partitions than Milvus admits.
    """
    if config.partition_by == "none":
        return OwnPartitions(None)
    if config.languages == (_ALL,):
        _check_count("--languages all", f"the detector {config.detector!r} may name", choice.label_count)
        return OwnPartitions(None, is_named=True)
    named = config.languages or (_COMMON,)
    codes = {code for name in named for code in (COMMON if name == _COMMON else [_code(name)])}
    _check_count("--languages", "the list has", len(codes))
    if config.top_languages is not None:
        _check_count("--top-languages", "it asks for", config.top_languages)
    return OwnPartitions(tuple(sorted(codes)), is_named=config.languages is not None, top=config.top_languages)


def of_new_collection(
    own: OwnPartitions, splits: Sequence[Split], reading: Reading, choice: Choice, config: Config
) -> tuple[str, ...] | None:
    """The languages with a partition of their own in a collection that is about to be made; reads a sample if they are to be counted."""
    if own.top is None:
        return own.languages
    kept = read_kept_languages(config.selection)
    counts = count_languages(splits, reading, choice, config.language.language_floor)
    return commonest({code: count for code, count in counts.items() if not kept or code in kept}, own.top)


def read_kept_languages(config: Selection) -> tuple[str, ...]:
    """Folded codes of `--keep-languages`, ordered; a code that is none raises `ConfigurationError`."""
    return tuple(sorted({check_code("--keep-languages", code) for code in config.keep_languages}))


def count_languages(splits: Sequence[Split], reading: Reading, choice: Choice, floor: float) -> Counter[str]:
    """Documents by language in the first page (at most 512 records or 8 MB) of each of `SAMPLED_SPLITS` evenly spread splits."""
    count = min(SAMPLED_SPLITS, len(splits))
    detector = choice.detector()
    found: Counter[str] = Counter()
    for number in range(count):
        documents = next(read_planned(splits[number * len(splits) // count], reading)).documents
        texts = [document["text"] for document in documents]
        declared = [document["declared_language"] for document in documents]
        found.update(one.language for one in identify_documents(texts, declared, detector, floor))
    return found


def _code(name: str) -> str:
    if name == _ALL:
        raise ConfigurationError("--languages: 'all' stands alone; leave the other codes out, or leave 'all' out")
    return check_code("--languages", name)


def _check_count(flag: str, who: str, count: int | None) -> None:
    most = MAX_PARTITIONS - _BESIDE_LANGUAGES
    if count is None:
        raise ConfigurationError(
            f"{flag}: {who} any language, and a Milvus collection holds at most {MAX_PARTITIONS:,} partitions; "
            "name the languages, or use --top-languages"
        )
    if count > most:
        raise ConfigurationError(
            f"{flag}: {who} {count:,} languages, and a Milvus collection holds at most {MAX_PARTITIONS:,} partitions "
            f"({most:,} beside lang_other, lang_und and _default); name fewer, or use --top-languages"
        )
