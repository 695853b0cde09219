"""Neighbouring chunks as the text that they were cut from, and chunks of one ranking found again in another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Passage:
    """What one of several neighbouring chunks shows of their document.

    Attributes:
        id: of the chunk.
        ordinal: of the chunk.
        start: where the text begins in the normalised document, in code points.
        end: where it ends.
        text: the chunk's, without what a neighbour shows already.
        skipped: characters of the document between the passage before and this one that are in neither.
    """

    id: str
    ordinal: int
    start: int
    end: int
    text: str
    skipped: int


def read_on(rows: Sequence[Mapping[str, Any]], chosen: str) -> list[Passage]:
    """Chunks of one document in the order of their ordinals, so that no character comes twice.

    The chosen chunk is whole. What chunks before it share with the next one is cut from their ends, what chunks after it share with
    those before from their beginnings; a chunk of which nothing is left is not among them.

    Args:
        rows: with `id`, `ordinal`, `start`, `end` and `text`, of one document, in any order.
        chosen: id of one of them.
    """
    ordered = sorted(rows, key=lambda row: row["ordinal"])
    place = next(place for place, row in enumerate(ordered) if row["id"] == chosen)
    spans = [(row["start"], row["end"]) for row in ordered]
    for index in reversed(range(place)):
        start, end = spans[index]
        spans[index] = start, max(start, min(end, spans[index + 1][0]))
    for index in range(place + 1, len(spans)):
        start, end = spans[index]
        spans[index] = min(end, max(start, spans[index - 1][1])), end
    passages: list[Passage] = []
    for row, (start, end) in zip(ordered, spans, strict=True):
        if start < end or row["id"] == chosen:
            text = row["text"][start - row["start"] : end - row["start"]]
            skipped = max(0, start - passages[-1].end) if passages else 0
            passages.append(Passage(row["id"], row["ordinal"], start, end, text, skipped))
    return passages


def places_in(ranking: Sequence[str], other: Sequence[str]) -> list[int | None]:
    """The rank, from 1, that each name of a ranking has in another; None where that lacks it."""
    ranks = {name: rank for rank, name in reversed(list(enumerate(other, 1)))}
    return [ranks.get(name) for name in ranking]
