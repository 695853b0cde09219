"""Rows of the `CHUNKS` schema for tests that care for content and place only."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from transforms.logic.identity import content_key, digest
from transforms.logic.reuse import PLACE
from transforms.logic.schemas import CHUNKS, batch_of

Row = dict[str, Any]

_REST: Row = {
    **dict.fromkeys(("language", "script", "chunk_language", "date", "partition"), "x"),
    **dict.fromkeys(("start", "unknown_fraction", "language_score", "chunk_language_score"), 0),
    "metadata": "{}",
    "tokens": 1,
    "token_ids": [1],
}


def row_of(text: str, position: int, source: str = "s", ordinal: int = 0) -> Row:
    """The chunk with this text at this place."""
    name = f"{source}-{position}-{ordinal}"
    key = content_key("space", text)
    place = {"source": source, "position": position, "ordinal": ordinal}
    names = {"id": name, "document_id": name, "content_key": key, "row_key": digest("row", key, name)}
    return {**_REST, **place, **names, "text": text, "end": len(text)}


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Rows in two pieces, as what a worker has gathered is."""
    middle = len(rows) // 2
    return pa.Table.from_batches([batch_of(rows[:middle], CHUNKS), batch_of(rows[middle:], CHUNKS)])


def place_of(row: Row) -> tuple[Any, ...]:
    """What chunks of one content are ordered by."""
    return tuple(row[name] for name in PLACE)
