"""What must be read again so that some rejects of a run may be cured."""

import glob
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from transforms.logic.schemas import Reason
from transforms.logic.selection import PathTemplate

Place = tuple[str, str]
"""A source, and the number of the record in it as text; empty for the whole file."""


@dataclass(frozen=True)
class Again:
    """Patterns to read; `whole` says why they are all that the run read, if they are."""

    patterns: tuple[str, ...]
    whole: str | None = None


def place_of(row: Mapping[str, Any]) -> Place:
    """Where a reject lies, whatever stage rejected it: stages name the same number differently."""
    return row["source"], row["locator"].rpartition(" ")[2]


def same_bytes(row: Mapping[str, Any]) -> tuple[str, str, int] | None:
    """What finds a rejected record again in its file when others before it have changed; None for one without bytes."""
    return (row["source"], row["hash"], row["length_bytes"]) if row["length_bytes"] else None


def patterns_again(
    patterns: Iterable[str], limit: int | None, sources: Collection[str], reasons: Collection[str]
) -> Again:
    """The files with the rejects; everything the run read where a file alone would be read otherwise.

    Args:
        patterns: what the run read.
        limit: how many documents it took, if that was limited.
        sources: files with rejects that are wanted.
        reasons: of all rejects of these files.
    """
    given = tuple(patterns)
    if any(PathTemplate(pattern).dated for pattern in given):
        return Again(given, "paths give the documents their dates")
    if limit is not None:
        return Again(given, "--limit counts documents of all files")
    if Reason.DUPLICATE_ID in reasons:
        return Again(given, "which of the documents with one id stands is decided over all files")
    return Again(tuple(glob.escape(source) for source in sorted(sources)))
