"""Outputs as columns of Arrow, in 16-bit numbers, and back; numbers are never boxed."""

from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.logic.outputs import Multi, Outputs, Sparse
from transforms.logic.schemas import REUSED, SPARSE, VECTOR_COLUMNS
from transforms.logic.vectors import Float32

VECTORS = pa.schema([REUSED.field(name) for name in VECTOR_COLUMNS.values()])
"""The vectors of a content alone; what the run does not make is null."""


def to_columns(outputs: Outputs) -> dict[str, pa.Array]:
    """The columns of n chunks by name, of the types of `VECTORS`, for each output that was made.

    A sparse weight that 16 bits round to 0 (below 3e-8) is left out.
    """
    columns: dict[str, pa.Array] = {}
    if outputs.dense is not None:
        columns[VECTOR_COLUMNS["dense"]] = _to_lists(outputs.dense)
    if outputs.sparse is not None:
        columns[VECTOR_COLUMNS["sparse"]] = _to_structs(outputs.sparse)
    if outputs.multi is not None:
        vectors = _to_lists(outputs.multi.vectors)
        columns[VECTOR_COLUMNS["multi"]] = pa.ListArray.from_arrays(_narrowed(outputs.multi.offsets), vectors)
    return columns


def from_columns(rows: pa.Table | pa.RecordBatch) -> Outputs:
    """Float32 outputs of n rows; a column that is missing or holds a null gives none.

    The dense column may be of lists or, as in the dataset, of lists of a fixed size.
    """
    names = {name for name in VECTOR_COLUMNS.values() if name in rows.schema.names and not rows.column(name).null_count}
    dense = sparse = multi = None
    if VECTOR_COLUMNS["dense"] in names:
        dense = _from_lists(whole_column(rows.column(VECTOR_COLUMNS["dense"])))
    if VECTOR_COLUMNS["sparse"] in names:
        indices, weights = whole_column(rows.column(VECTOR_COLUMNS["sparse"])).flatten()
        values = _numbers(weights.flatten()).astype(np.float32)
        sparse = Sparse(_offsets(indices), _numbers(indices.flatten()), values)
    if VECTOR_COLUMNS["multi"] in names:
        column = whole_column(rows.column(VECTOR_COLUMNS["multi"]))
        multi = Multi(_offsets(column), _from_lists(column.flatten()))
    return Outputs(dense, sparse, multi)


def list_views(column: pa.ListArray) -> list[npt.NDArray[Any]]:
    """The numbers of each list of a column without nulls, as views."""
    offsets = _offsets(column).tolist()
    numbers = _numbers(column.flatten())
    return [numbers[start:stop] for start, stop in pairwise(offsets)]


def whole_column(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column of a batch or of a table in one piece."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _to_lists(vectors: Float32) -> pa.ListArray:
    """(n, dimensions) to a column of lists of float16."""
    count, dimensions = vectors.shape
    # A chunk with a fault may hold anything; its row is not used.
    with np.errstate(over="ignore", invalid="ignore"):
        halved = vectors.astype(np.float16)
    return pa.ListArray.from_arrays(_narrowed(np.arange(count + 1) * dimensions), pa.array(halved.reshape(-1)))


def _to_structs(sparse: Sparse) -> pa.StructArray:
    with np.errstate(over="ignore", invalid="ignore"):
        halved = sparse.values.astype(np.float16)
    kept = halved != 0
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
    offsets = _narrowed(before[sparse.offsets])
    lists = [pa.ListArray.from_arrays(offsets, pa.array(numbers[kept])) for numbers in (sparse.indices, halved)]
    return pa.StructArray.from_arrays(lists, fields=list(SPARSE))


def _from_lists(column: pa.ListArray | pa.FixedSizeListArray) -> Float32:
    """Lists of one length to (n, dimensions) float32."""
    flat = _numbers(column.flatten()).astype(np.float32)
    return cast("Float32", flat.reshape(len(column), -1) if len(column) else flat.reshape(0, 0))


def _offsets(column: pa.ListArray) -> npt.NDArray[np.int64]:
    """Offsets from 0, whatever part of its parent a column is."""
    offsets = column.offsets.to_numpy().astype(np.int64)
    return cast("npt.NDArray[np.int64]", offsets - offsets[0])


def _narrowed(offsets: npt.NDArray[np.int64]) -> pa.Array:
    """Offsets as lists hold them; more than 2^31 numbers raise `ArrowInvalid`."""
    return pa.array(offsets, pa.int32())


def _numbers(flat: pa.Array) -> npt.NDArray[Any]:
    return cast("npt.NDArray[Any]", flat.to_numpy(zero_copy_only=False))


def to_list_array(vectors: npt.NDArray[np.float16] | Float32) -> pa.FixedSizeListArray:
    """(n, dimensions) to an Arrow fixed-size list column of the same number type, without boxing."""
    flat = np.ascontiguousarray(vectors).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), vectors.shape[1])


def from_list_array(column: pa.Array | pa.ChunkedArray, dimensions: int) -> Float32:
    """An Arrow list column without nulls to (n, dimensions) float32."""
    combined = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = combined.flatten().to_numpy(zero_copy_only=False)
    return cast("Float32", flat.astype(np.float32).reshape(-1, dimensions))
