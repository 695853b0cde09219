"""The server of `milvus_server`, which also keeps every value of a row and gives it back: for versions that hold what none at hand does.

What it answers is made of the very bytes that it was sent, so a client reads back what it wrote, whatever types there are.
"""

# ruff: noqa: N802  the methods are named by the protocol

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from benchmarks.incremental.double import OK, index_descriptions
from tests.milvus_server import MilvusServer, serving

_ALL = 'id != ""'


@dataclass
class KeepingServer(MilvusServer):
    """One collection with its rows; `rows` has the fields of each by id."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def Upsert(self, request: Any, context: Any) -> Any:
        answer = super().Upsert(request, context)
        for place, one in enumerate(answer.IDs.str_id.data):
            self.rows[one] = {data.field_name: _of_row(data, place) for data in request.fields_data}
        return answer

    def DescribeIndex(self, request: Any, context: Any) -> Any:
        names = [one.field_name for one in self.of("CreateIndex")]
        return index_descriptions(*(name for name in names if request.index_name in {"", name}))

    def Query(self, request: Any, context: Any) -> Any:
        if list(request.output_fields) == ["count(*)"]:
            return super().Query(request, context)
        names = list(request.partition_names) or list(self.partitions)
        held = [one for name in names for one in self.partitions[name]]
        asked = held if request.expr == _ALL else re.findall(r'"([0-9a-f]{32})"', request.expr)
        rows = [self.rows[one] for one in held if one in set(asked)]
        fields = [_together([row[name] for row in rows]) if rows else _nothing(name) for name in request.output_fields]
        return milvus_pb2.QueryResults(status=OK, fields_data=fields, output_fields=request.output_fields)


def _of_row(data: Any, place: int) -> Any:
    """The field of one row of a request."""
    found = schema_pb2.FieldData(type=data.type, field_name=data.field_name)
    kind = data.WhichOneof("field")
    if kind == "struct_arrays":
        found.struct_arrays.fields.extend(_of_row(one, place) for one in data.struct_arrays.fields)
    elif kind == "scalars":
        name = data.scalars.WhichOneof("data")
        getattr(found.scalars, name).data.append(getattr(data.scalars, name).data[place])
    else:
        _vector_of_row(data.vectors, found.vectors, place)
    return found


def _vector_of_row(vectors: Any, found: Any, place: int) -> None:
    found.dim = vectors.dim
    name = vectors.WhichOneof("data")
    if name == "float_vector":
        found.float_vector.data.extend(vectors.float_vector.data[place * vectors.dim : (place + 1) * vectors.dim])
    elif name == "sparse_float_vector":
        found.sparse_float_vector.dim = vectors.sparse_float_vector.dim
        found.sparse_float_vector.contents.append(vectors.sparse_float_vector.contents[place])
    elif name == "vector_array":
        found.vector_array.dim = vectors.vector_array.dim
        found.vector_array.element_type = vectors.vector_array.element_type
        found.vector_array.data.append(vectors.vector_array.data[place])
    else:
        raise NotImplementedError(name)


def _nothing(name: str) -> Any:
    """A field of no row; a client that gets none at all takes that for a failure."""
    column = schema_pb2.ScalarField(string_data=schema_pb2.StringArray())
    return schema_pb2.FieldData(type=schema_pb2.DataType.VarChar, field_name=name, scalars=column)


def _together(fields: list[Any]) -> Any:
    """A field of several rows."""
    found = schema_pb2.FieldData()
    found.CopyFrom(fields[0])
    if found.WhichOneof("field") == "struct_arrays":
        parts = zip(*(one.struct_arrays.fields for one in fields), strict=True)
        together = [_together(list(some)) for some in parts]
        del found.struct_arrays.fields[:]
        found.struct_arrays.fields.extend(together)
        return found
    for one in fields[1:]:
        # Repeated values are appended.
        found.MergeFrom(one)
    return found


@contextmanager
def keeping_server(version: str) -> Iterator[KeepingServer]:
    """A server of this version on 127.0.0.1."""
    with serving(KeepingServer(version)) as started:
        yield started
