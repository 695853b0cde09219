"""Rows of the `CHUNKS` schema for tests that care for content and place only."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from transforms.logic.identity import content_key, digest
from transforms.logic.outputs import Outputs
from transforms.logic.reuse import KNOWN, PLACE
from transforms.logic.schemas import CHUNKS, batch_of, with_columns
from transforms.logic.vector_columns import to_columns

Row = dict[str, Any]

_REST: Row = {
    **dict.fromkeys(("language", "script", "chunk_language", "date", "partition"), "x"),
    **dict.fromkeys(("start", "unknown_fraction", "language_score", "chunk_language_score"), 0),
    "metadata": "{}",
    "tokens": 1,
    "token_ids": [1],
    "document_key": None,
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


def with_vectors(chunks: pa.Table, outputs: Outputs) -> pa.Table:
    """Chunks with the columns of their outputs."""
    for name, column in to_columns(outputs).items():
        chunks = chunks.append_column(name, column)
    return chunks


def known_vectors(contents: Sequence[bytes], outputs: Outputs) -> pa.Table:
    """What the dataset knows of some contents: their outputs, in order."""
    keys = pa.record_batch([pa.array(contents, KNOWN.field("content_key").type)], ["content_key"])
    return pa.Table.from_batches([with_columns(keys, KNOWN, **to_columns(outputs))])
