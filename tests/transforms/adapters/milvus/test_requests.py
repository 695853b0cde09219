"""Requests made of columns are, field by field, those that pymilvus makes of rows."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymilvus import DataType, MilvusException
from pymilvus.grpc_gen import schema_pb2

from tests.milvus.backends import DIMENSIONS, SPACE, batch_of_texts
from tests.milvus_server import milvus_server
from transforms.adapters.milvus import Collection, CollectionSpace, ColumnBatch, RowList, Target
from transforms.adapters.milvus.requests import _varint
from transforms.logic.errors import ConfigurationError
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.representations import VECTOR_TYPES, VectorType
from transforms.logic.rows import milvus_rows

TEXTS = {"d0": "one", "d1": 'it\'s "quoted" \\ น้ำ 🎉', "d2": "", "d3": "four words of text", "d4": "..."}
BOTH: tuple[Output, ...] = ("dense", "sparse")


def _described(**changes: Any) -> dict[str, Any]:
    with milvus_server("v2.6.4") as server:
        opened = Collection(Target(server.uri, "c"))
        opened.create(CollectionSpace(**{**vars(SPACE), **changes}))
        found = dict(opened._fields())
        opened.close()
        return found


def _fields(request: Any) -> dict[str, Any]:
    return {one.field_name: one for one in request.fields_data}


@pytest.mark.parametrize("vector_type", VECTOR_TYPES)
@pytest.mark.parametrize(("start", "stop"), [(0, 4), (1, 3)])
def test_columns_make_the_request_that_rows_make(vector_type: VectorType, start: int, stop: int) -> None:
    described = _described(outputs=BOTH, milvus_outputs=BOTH, vector_type=vector_type)
    batch = batch_of_texts(TEXTS, BOTH, vector_type, metadata='{"a": [1, null], "ä": "it\'s"}')
    by_rows = RowList(milvus_rows(batch, BOTH)).request(described, "lang_en", start, stop)
    by_columns = ColumnBatch(batch).request(described, "lang_en", start, stop)
    ours, theirs = _fields(by_columns), _fields(by_rows)
    assert ours.keys() == theirs.keys()
    for name, one in ours.items():
        if name == "metadata":
            assert [json.loads(data) for data in one.scalars.json_data.data] == [
                json.loads(data) for data in theirs[name].scalars.json_data.data
            ]
        else:
            assert (one.type, one.scalars, one.vectors) == (
                theirs[name].type,
                theirs[name].scalars,
                theirs[name].vectors,
            )
    for request in (by_rows, by_columns):
        assert (request.collection_name, request.partition_name, request.num_rows) == ("c", "lang_en", stop - start)
        assert not request.partial_update
    assert by_rows.schema_timestamp == by_columns.schema_timestamp


def test_labels_go_along() -> None:
    described = _described(labels=("a", "b"), labels_digest="0")
    batch = batch_of_texts({"d0": "one", "d1": "two"})
    labelled = batch.append_column("label", ["a", "b"]).append_column("label_score", [0.5, 0.25])
    fields = _fields(ColumnBatch(labelled).request(described, "lang_en", 0, 2))
    assert fields["label"].scalars.string_data.data == ["a", "b"]
    assert fields["label_score"].scalars.float_data.data == [0.5, 0.25]


def test_columns_do_not_write_vectors_of_tokens() -> None:
    described = _described(outputs=OUTPUTS, milvus_outputs=OUTPUTS, multi_dimensions=DIMENSIONS)
    with pytest.raises(ConfigurationError, match="--write-path columns does not write vectors of tokens"):
        ColumnBatch(batch_of_texts(TEXTS, OUTPUTS)).request(described, "lang_en", 0, 1)


def test_a_value_that_fits_no_field_is_a_refusal_of_the_client() -> None:
    rows = milvus_rows(batch_of_texts({"d0": "one"}))
    described = _described()
    for wrong in ({"ordinal": "seven"}, {"text": 3}, {"dense": "words"}):
        with pytest.raises((MilvusException, ValueError)):
            RowList([rows[0] | wrong]).request(described, "lang_en", 0, 1)


@given(st.integers(0, (1 << 40) - 1))
def test_a_length_is_written_as_protocol_buffers_read_it(length: int) -> None:
    # Field 2 of a map of field 1: any message with an integer will do.
    read = schema_pb2.LongArray.FromString(b"\x0a" + bytes([len(_varint(length))]) + _varint(length))
    assert list(read.data) == [length]


def test_every_field_of_every_collection_has_a_column() -> None:
    fields = {field["type"] for kind in VECTOR_TYPES for field in _described(vector_type=kind)["fields"]}
    assert DataType.FLOAT_VECTOR in fields
    assert len(fields) == 4 + len(VECTOR_TYPES)
