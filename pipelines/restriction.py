"""Which chunks may answer a question, and the partitions and conditions that say so to Milvus."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transforms.adapters.milvus import CollectionSpace, Query
from transforms.logic.errors import ConfigurationError
from transforms.logic.filters import Condition, between_dates
from transforms.logic.labels import check_code
from transforms.logic.languages import OTHER_PARTITION, language_of, partition_of
from transforms.logic.normalise import normalise_text


@dataclass(frozen=True)
class Restriction:
    """Which chunks may answer.

    Attributes:
        languages: of documents in these; all if empty.
        labels: with one of these labels; all if empty.
        date_from: of documents dated then or later, ISO 8601.
        date_to: of documents dated earlier.
        where: conditions on fields and metadata, all of which hold.
    """

    languages: Sequence[str] = ()
    labels: Sequence[str] = ()
    date_from: str | None = None
    date_to: str | None = None
    where: Sequence[Condition] = ()


def restricted(
    restriction: Restriction, space: CollectionSpace, partitions: Callable[[Sequence[str]], Sequence[str]]
) -> Query:
    """A query without vectors, of the rows that may answer.

    Args:
        restriction: which may.
        space: of the collection.
        partitions: names of the collection's partitions, asked where languages restrict, with those that these would have.

    Raises:
        ConfigurationError: a label or a language that the collection has not, a date that is none.
    """
    labels = [normalise_text(label) for label in restriction.labels]
    _check_labels(labels, space)
    languages = [check_code("--languages", language) for language in restriction.languages]
    dates = between_dates(restriction.date_from, restriction.date_to)
    return Query(
        partitions=_partitions(languages, partitions) if languages else None,
        languages=languages,
        labels=labels,
        where=[*dates, *restriction.where],
    )


def _check_labels(labels: Sequence[str], space: CollectionSpace) -> None:
    unknown = [label for label in labels if label not in space.labels]
    if unknown:
        there = (
            f"there are {', '.join(space.labels)}" if space.labels else "it has none: they are given by run --labels"
        )
        raise ConfigurationError(f"--labels {', '.join(unknown)}: the collection has no such label; {there}")


def _partitions(languages: Sequence[str], known: Callable[[Sequence[str]], Sequence[str]]) -> list[str] | None:
    names = known([partition_of(language, "language", None) for language in languages])
    own = {language: name for name in names if (language := language_of(name)) is not None}
    if not own:
        return None
    unknown = [language for language in languages if language not in own]
    if unknown and OTHER_PARTITION not in own.values():
        message = (
            f"--languages {', '.join(unknown)}: the collection holds none of it; there are {', '.join(sorted(own))}"
        )
        raise ConfigurationError(message)
    return sorted({own.get(language, OTHER_PARTITION) for language in languages})
