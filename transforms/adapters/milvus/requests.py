"""Rows as upsert requests: built from rows by pymilvus itself, or from columns at once.

pymilvus takes rows as dictionaries and puts their values into the request one by one, which costs more than a real server needs to take
them. The bytes of a request are the same if they are made of whole columns: a matrix of float32 is, but for a header, the field's content.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pymilvus import DataType
from pymilvus.client.prepare import Prepare
from pymilvus.grpc_gen import milvus_pb2

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
        request = milvus_pb2.UpsertRequest(
            collection_name=described["collection_name"],
            partition_name=partition,
            num_rows=rows.num_rows,
            schema_timestamp=described.get("update_timestamp", 0),
        )
        # Filled where they are: a message that is handed to the constructor of another is written out and read in again.
        for field in described["fields"]:
            _fill(request.fields_data.add(type=field["type"].value, field_name=field["name"]), rows)
        return request


def _fill(field: Any, rows: pa.RecordBatch) -> None:
    """Puts the column of its name into a field."""
    kind, column = DataType(field.type), rows.column(field.field_name)
    if kind is DataType.SPARSE_FLOAT_VECTOR:
        contents = _weights(from_columns(rows.select([field.field_name])).sparse)
        field.vectors.sparse_float_vector.contents.extend(contents)
    elif kind is DataType.FLOAT_VECTOR:
        stored = np.ascontiguousarray(_matrix(column), "<f4")
        field.vectors.dim = stored.shape[1]
        # FloatArray { repeated float data = 1 [packed]; }: the tag, the length, the numbers. `extend` would take them one by one.
        packed = b"".join([b"\x0a", _varint(stored.nbytes), stored.data])
        field.vectors.float_vector.MergeFromString(packed)
    elif kind in _VECTORS:
        name, dimensions_per_number = _VECTORS[kind]
        stored = _matrix(column)
        field.vectors.dim = dimensions_per_number * stored.shape[1]
        setattr(field.vectors, name, stored.tobytes())
    else:
        values = column.to_pylist()
        array = getattr(field.scalars, _SCALARS[kind])
        array.data.extend([value.encode() for value in values] if kind is DataType.JSON else values)


def _matrix(column: pa.Array) -> npt.NDArray[Any]:
    return cast("npt.NDArray[Any]", column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1))


def _varint(value: int) -> bytes:
    """A length as Protocol Buffers write it: seven bits a byte, the lowest first."""
    parts = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _weights(sparse: Sparse | None) -> list[bytes]:
    """Each row as (index, weight) pairs of uint32 and float32, little endian."""
    if sparse is None:
        raise ValueError("the batch has no column 'sparse'")
    pairs = np.empty(len(sparse.indices), [("index", "<u4"), ("weight", "<f4")])
    pairs["index"], pairs["weight"] = sparse.indices, sparse.values
    none = np.array([NO_WEIGHT], pairs.dtype)
    rows = [pairs[start:end] if end > start else none for start, end in pairwise(sparse.offsets)]
    return [row.tobytes() for row in rows]


_VECTORS: Mapping[DataType, tuple[str, int]] = {
    DataType.FLOAT16_VECTOR: ("float16_vector", 1),
    DataType.BFLOAT16_VECTOR: ("bfloat16_vector", 1),
    DataType.INT8_VECTOR: ("int8_vector", 1),
    DataType.BINARY_VECTOR: ("binary_vector", 8),
}
"""Where `VectorField` holds vectors as bytes, and how many dimensions a stored number has."""
_SCALARS: Mapping[DataType, str] = {
    DataType.VARCHAR: "string_data",
    DataType.INT64: "long_data",
    DataType.FLOAT: "float_data",
    DataType.JSON: "json_data",
}
"""Where `ScalarField` holds values."""
