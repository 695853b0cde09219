"""Chunk rows on their way in and out: keys of a chunk, rows of the dataset, rows of Milvus."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.logic.chunking import Span
from transforms.logic.identity import chunk_id, content_key, row_key
from transforms.logic.schemas import CHUNKS, row_schema
from transforms.logic.vectors import Float32, to_list_array

STORED_FIELDS = (
    "id",
    "document_id",
    "ordinal",
    "start",
    "end",
    "text",
    "language",
    "script",
    "language_score",
    "chunk_language",
    "chunk_language_score",
    "tokens",
    "unknown_fraction",
    "source",
    "date",
)
"""Fields that Milvus holds as they stand in the dataset; `metadata` is parsed and the vector compressed first."""

_KEYED_FIELDS = (*(name for name in STORED_FIELDS if name != "text"), "metadata")
PARENT_FIELDS = (
    "document_id",
    "language",
    "script",
    "language_score",
    "source",
    "date",
    "metadata",
    "partition",
    "position",
)


def chunk_rows(
    document: Mapping[str, Any], spans: Sequence[Span], space: str, unknown_id: int | None = None
) -> list[dict[str, Any]]:
    """Rows of the `CHUNKS` schema for the spans of one `DOCUMENTS` row, in order, each in the document's language.

    `unknown_id` is the token that stands for what the vocabulary lacks. `with_row_keys` completes them.
    """
    parent = {name: document[name] for name in PARENT_FIELDS}
    rows = []
    for ordinal, span in enumerate(spans):
        text = document["text"][span.start : span.end]
        token_ids = np.frombuffer(span.token_ids, np.int32)
        unknown = np.count_nonzero(token_ids == unknown_id) if unknown_id is not None else 0
        row = {
            **parent,
            "id": chunk_id(document["document_id"], ordinal, document["partition"]),
            "ordinal": ordinal,
            "start": span.start,
            "end": span.end,
            "text": text,
            "chunk_language": document["language"],
            "chunk_language_score": document["language_score"],
            "tokens": span.tokens,
            "unknown_fraction": round(unknown / span.tokens, 3),
            "content_key": content_key(space, text),
            "token_ids": token_ids,
        }
        rows.append(row)
    return rows


def with_row_keys(rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Puts the row keys into finished rows: they name every stored field."""
    for row in rows:
        # The content key names the text; the representation of a tuple of plain values is unambiguous.
        row["row_key"] = row_key(row["content_key"], repr(tuple(row[name] for name in _KEYED_FIELDS)))
    return rows


def stored_rows(chunks: pa.Table, vectors: Float32) -> pa.Table:
    """Rows of a dataset shard: the chunks, in order, with vectors (n, dimensions) kept as float16."""
    schema = row_schema(vectors.shape[1])
    column = to_list_array(vectors.astype("float16"))
    names = [field.name for field in schema if field.name in CHUNKS.names]
    return pa.table([*(chunks.column(name) for name in names), column], schema=schema)


def milvus_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows for Milvus from a batch whose `dense` column holds the representation; `metadata` becomes a JSON value."""
    columns = {name: batch.column(name).to_pylist() for name in (*STORED_FIELDS, "metadata", "dense")}
    columns["metadata"] = [json.loads(value) for value in columns["metadata"]]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
