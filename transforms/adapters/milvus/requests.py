"""Rows as upsert requests: built from rows by pymilvus itself, or from columns at once.

pymilvus takes rows as dictionaries and puts their values into the request one by one, which costs more than a real server needs to take
them. The bytes of a request are the same if they are made of whole columns: a matrix of float32 is, but for a header, the field's content.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pymilvus import DataType
from pymilvus.client.prepare import Prepare
from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from transforms.logic.errors import ConfigurationError
from transforms.logic.outputs import Sparse
from transforms.logic.rows import NO_WEIGHT
from transforms.logic.vector_columns import from_columns

MAX_REQUEST_BYTES = 16 << 20
"""A server takes 64 MiB by default, and cloud offers less; above some MiB nothing gets faster."""

Description = Mapping[str, Any]
"""A collection as `describe_collection` gives it."""


class Upsertable(Protocol):
    """Rows that one call writes."""

    @property
    def ids(self) -> Sequence[str]:
        """The primary key of each row."""

    def request(self, described: Description, partition: str, start: int, stop: int) -> Any:
        """The request that upserts rows [start, stop); values that fit no field raise `MilvusException` or `ValueError`."""


class RowList:
    """Rows as `rows.milvus_rows` gives them."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = [dict(row) for row in rows]

    @property
    def ids(self) -> Sequence[str]:
        """The primary key of each row."""
        return [row["id"] for row in self._rows]

    def request(self, described: Description, partition: str, start: int, stop: int) -> Any:
        """The request, as pymilvus builds it."""
        return Prepare.row_upsert_param(
            described["collection_name"],
            self._rows[start:stop],
            partition,
            described["fields"],
            described.get("struct_array_fields", []),
            enable_dynamic=described.get("enable_dynamic_field", False),
            schema_timestamp=described.get("update_timestamp", 0),
        )


class ColumnBatch:
    """A batch of compressed dataset rows: for every field but vectors of tokens."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch

    @property
    def ids(self) -> Sequence[str]:
        """The primary key of each row."""
        found: list[str] = self._batch.column("id").to_pylist()
        return found

    def request(self, described: Description, partition: str, start: int, stop: int) -> Any:
        """The request, a field at a time."""
        if described.get("struct_array_fields"):
            raise ConfigurationError(
                "--write-path columns does not write vectors of tokens (multi); use --write-path rows"
            )
        rows = self._batch.slice(start, stop - start)
        return milvus_pb2.UpsertRequest(
            collection_name=described["collection_name"],
            partition_name=partition,
            num_rows=rows.num_rows,
            schema_timestamp=described.get("update_timestamp", 0),
            fields_data=[_field(field["name"], field["type"], rows) for field in described["fields"]],
        )


def _field(name: str, kind: DataType, rows: pa.RecordBatch) -> Any:
    if kind is DataType.SPARSE_FLOAT_VECTOR:
        vectors = _weights(from_columns(rows.select([name])).sparse)
    elif kind in _VECTORS:
        column = rows.column(name)
        vectors = _VECTORS[kind](column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1))
    else:
        scalars = _SCALARS[kind](rows.column(name).to_pylist())
        return schema_pb2.FieldData(type=kind.value, field_name=name, scalars=scalars)
    return schema_pb2.FieldData(type=kind.value, field_name=name, vectors=vectors)


def _floats(stored: npt.NDArray[Any]) -> Any:
    data = np.ascontiguousarray(stored, "<f4").tobytes()
    # FloatArray { repeated float data = 1 [packed]; }: the tag, the length, the numbers. Its constructor would take them one by one.
    packed = schema_pb2.FloatArray.FromString(b"\x0a" + _varint(len(data)) + data)
    return schema_pb2.VectorField(dim=stored.shape[1], float_vector=packed)


def _varint(value: int) -> bytes:
    """A length as Protocol Buffers write it: seven bits a byte, the lowest first."""
    parts = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _weights(sparse: Sparse | None) -> Any:
    """Each row as (index, weight) pairs of uint32 and float32, little endian."""
    if sparse is None:
        raise ValueError("the batch has no column 'sparse'")
    pairs = np.empty(len(sparse.indices), [("index", "<u4"), ("weight", "<f4")])
    pairs["index"], pairs["weight"] = sparse.indices, sparse.values
    none = np.array([NO_WEIGHT], pairs.dtype)
    rows = [pairs[start:end] if end > start else none for start, end in pairwise(sparse.offsets)]
    contents = [row.tobytes() for row in rows]
    return schema_pb2.VectorField(sparse_float_vector=schema_pb2.SparseFloatArray(contents=contents))


_VECTORS: Mapping[DataType, Callable[[npt.NDArray[Any]], Any]] = {
    DataType.FLOAT_VECTOR: _floats,
    DataType.FLOAT16_VECTOR: lambda stored: schema_pb2.VectorField(
        dim=stored.shape[1], float16_vector=stored.tobytes()
    ),
    DataType.BFLOAT16_VECTOR: lambda stored: schema_pb2.VectorField(
        dim=stored.shape[1], bfloat16_vector=stored.tobytes()
    ),
    DataType.INT8_VECTOR: lambda stored: schema_pb2.VectorField(dim=stored.shape[1], int8_vector=stored.tobytes()),
    DataType.BINARY_VECTOR: lambda stored: schema_pb2.VectorField(
        dim=8 * stored.shape[1], binary_vector=stored.tobytes()
    ),
}
_SCALARS: Mapping[DataType, Callable[[Sequence[Any]], Any]] = {
    DataType.VARCHAR: lambda values: schema_pb2.ScalarField(string_data=schema_pb2.StringArray(data=values)),
    DataType.INT64: lambda values: schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=values)),
    DataType.FLOAT: lambda values: schema_pb2.ScalarField(float_data=schema_pb2.FloatArray(data=values)),
    DataType.JSON: lambda values: schema_pb2.ScalarField(
        json_data=schema_pb2.JSONArray(data=[value.encode() for value in values])
    ),
}
