"""Chunk rows on their way in and out: keys of a chunk, rows of the dataset, rows of Milvus."""

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.logic.chunking import Span
from transforms.logic.identity import chunk_id, content_key, row_key
from transforms.logic.outputs import OUTPUTS, Multi, Output, Sparse
from transforms.logic.schemas import VECTOR_COLUMNS, row_schema
from transforms.logic.vector_columns import from_columns
from transforms.logic.vectors import Float32

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
LABEL_FIELDS = ("label", "label_score")
"""Fields that Milvus holds where chunks are labelled."""
NO_WEIGHT = ((1 << 32) - 2, 2.0**-24)
"""Index and weight of a row that has none: Milvus admits no empty one, and no vocabulary reaches the greatest index that it admits."""

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
    "document_key",
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


def stored_rows(chunks: pa.Table, dimensions: int, outputs: Collection[Output] = OUTPUTS[:1]) -> pa.Table:
    """Rows of a dataset shard: chunks in order, with the columns of `vector_columns.to_columns` for the outputs that are kept.

    A dense vector that does not have `dimensions` numbers raises `ArrowInvalid`, a row without one of the outputs `ValueError`.
    """
    schema = row_schema(dimensions, outputs)
    missing = [name for name in outputs if chunks.column(VECTOR_COLUMNS[name]).null_count]
    if missing:
        raise ValueError(f"some chunks to store have no {' and no '.join(missing)} output")
    return pa.table([chunks.column(field.name).cast(field.type) for field in schema], schema=schema)


def milvus_rows(batch: pa.RecordBatch, outputs: Collection[Output] = OUTPUTS[:1]) -> list[dict[str, Any]]:
    """Rows for Milvus, with a field for each output that it holds.

    `metadata` becomes a JSON value, `dense` what `on_the_wire` gives, `sparse` weights by vocabulary id, `multi` a list of structs;
    labels go along where the batch has them.
    """
    names = [*STORED_FIELDS, *(name for name in LABEL_FIELDS if name in batch.schema.names)]
    columns: dict[str, Sequence[Any]] = {name: batch.column(name).to_pylist() for name in names}
    columns["metadata"] = [json.loads(value) for value in batch.column("metadata").to_pylist()]
    if "dense" in outputs:
        dense = batch.column("dense")
        columns["dense"] = on_the_wire(dense.flatten().to_numpy(zero_copy_only=False).reshape(len(dense), -1))
    others = from_columns(batch.select([VECTOR_COLUMNS[name] for name in ("sparse", "multi") if name in outputs]))
    if others.sparse is not None:
        columns["sparse"] = _weights(others.sparse)
    if others.multi is not None:
        columns["multi"] = _structs(others.multi)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def on_the_wire(stored: npt.NDArray[Any]) -> list[Any]:
    """Stored vectors, a row each, as Milvus's client takes them: numbers for float32, the row's little-endian bytes for all others."""
    if stored.dtype == np.float32:
        return cast("list[Any]", stored.tolist())
    return [row.tobytes() for row in np.ascontiguousarray(stored)]


def _weights(sparse: Sparse) -> list[dict[int, float]]:
    """{index: weight} of each row."""
    offsets, indices, values = sparse.offsets.tolist(), sparse.indices.tolist(), sparse.values.tolist()
    rows = [dict(zip(indices[start:end], values[start:end], strict=True)) for start, end in pairwise(offsets)]
    return [row or dict([NO_WEIGHT]) for row in rows]


def _structs(multi: Multi) -> list[list[dict[str, Float32]]]:
    return [[{"vector": vector} for vector in multi.vectors[start:end]] for start, end in pairwise(multi.offsets)]


def sparse_weights(sparse: Sparse) -> list[dict[int, float]]:
    """{index: weight} of each row as Milvus takes them; a row without any has one at an index that no query has."""
    return _weights(sparse)
