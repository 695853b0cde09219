"""What chunk rows take where they are kept, before they have vectors: written as they will be, with vectors by chance."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.adapters.models import ModelDescription
from transforms.adapters.workspace import as_parquet
from transforms.logic.outputs import Multi, Output, Outputs, Sparse
from transforms.logic.rows import STORED_FIELDS, stored_rows
from transforms.logic.schemas import CHUNKS, batch_of
from transforms.logic.vector_columns import to_columns
from transforms.logic.vectors import unit_rows

_NUMBER_BYTES = 8


def shard_bytes(
    rows: Sequence[Mapping[str, Any]],
    row_count: float,
    model: ModelDescription,
    outputs: Collection[Output],
    frame_tokens: int,
) -> float:
    """Bytes of a shard of the dataset with so many rows, made of these rows of `CHUNKS`, at least one, the first by content key.

    With more rows than are at hand it grows by what each of these takes. Numbers of real vectors pack about as badly as those of a normal
    distribution, from which they are drawn here.
    """
    ordered = sorted(rows, key=lambda row: row["content_key"])[: max(1, round(row_count))]
    chunks = pa.Table.from_batches([batch_of(ordered, CHUNKS)])
    for name, column in to_columns(_outputs(ordered, model, outputs, frame_tokens)).items():
        chunks = chunks.append_column(name, column)
    stored = stored_rows(chunks, model.dimensions, outputs)
    size, of_none = (len(as_parquet(part)) for part in (stored, stored.slice(0, 0)))
    return size + (row_count - len(ordered)) * (size - of_none) / len(ordered)


def _outputs(
    rows: Sequence[Mapping[str, Any]], model: ModelDescription, outputs: Collection[Output], frame_tokens: int
) -> Outputs:
    chance = np.random.default_rng(0)

    def vectors(count: int, dimensions: int) -> Any:
        return unit_rows(chance.standard_normal((count, dimensions), np.float32))

    ids = [np.unique(row["token_ids"]).astype(np.int32) for row in rows]
    sparse_offsets = np.cumsum([0, *map(len, ids)])
    multi_offsets = np.cumsum([0, *(row["tokens"] + frame_tokens for row in rows)])
    return Outputs(
        vectors(len(rows), model.dimensions) if "dense" in outputs else None,
        Sparse(
            sparse_offsets, np.concatenate(ids), chance.random(int(sparse_offsets[-1]), np.float32) + np.float32(0.01)
        )
        if "sparse" in outputs
        else None,
        Multi(multi_offsets, vectors(int(multi_offsets[-1]), model.multi_dimensions)) if "multi" in outputs else None,
    )


def field_row_bytes(rows: Sequence[Mapping[str, Any]]) -> float:
    """Bytes of the fields of a row in Milvus beside its vectors, unpacked: the mean of these rows of `CHUNKS`, at least one."""
    names = (*STORED_FIELDS, "metadata")
    values = (row[name] for row in rows for name in names)
    return sum(len(value.encode()) if isinstance(value, str) else _NUMBER_BYTES for value in values) / len(rows)


def distinct_tokens(rows: Sequence[Mapping[str, Any]]) -> float:
    """Weights of a row with a sparse output: the mean number of different tokens of these rows of `CHUNKS`, at least one."""
    return sum(len(np.unique(row["token_ids"])) for row in rows) / len(rows)
