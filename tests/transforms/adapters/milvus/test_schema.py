"""What a server is asked to create, write and find for every kind of field, as it goes over the wire."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from pymilvus import DataType
from pymilvus.grpc_gen import common_pb2

from tests.fakes import outputs_of
from tests.milvus_server import MilvusServer, milvus_server, vector_bytes
from tests.transforms.adapters.milvus.four import SPACE
from tests.transforms.verbs import chunks, record
from transforms.adapters.milvus import Collection, Target
from transforms.logic.calibration import calibrate
from transforms.logic.identity import digest
from transforms.logic.outputs import OUTPUTS, Outputs
from transforms.logic.representations import VECTOR_TYPES, Representation, VectorType, represent
from transforms.logic.rows import milvus_rows
from transforms.logic.vector_columns import to_columns, to_list_array
from transforms.logic.vectors import Float32

DIMENSIONS = 16
TYPES: dict[VectorType, tuple[DataType, str, str]] = {
    "float32": (DataType.FLOAT_VECTOR, "AUTOINDEX", "COSINE"),
    "float16": (DataType.FLOAT16_VECTOR, "AUTOINDEX", "COSINE"),
    "bfloat16": (DataType.BFLOAT16_VECTOR, "AUTOINDEX", "COSINE"),
    "int8": (DataType.INT8_VECTOR, "HNSW", "COSINE"),
    "binary": (DataType.BINARY_VECTOR, "BIN_FLAT", "HAMMING"),
}
TEXTS = ["one", "two words", "three words here"]
FULL = replace(
    SPACE,
    dimensions=DIMENSIONS,
    outputs=OUTPUTS,
    milvus_outputs=OUTPUTS,
    multi_dimensions=DIMENSIONS,
    labels=("a", "b"),
)


@pytest.fixture(scope="module")
def server() -> Iterator[MilvusServer]:
    with milvus_server("v2.6.4") as started:
        yield started


@pytest.fixture
def collection(
    server: MilvusServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Collection]:
    # The client sleeps before it asks whether an index is there.
    monkeypatch.setattr("pymilvus.client.grpc_handler.time.sleep", lambda _: None)
    server.requests.clear()
    server.schema = None
    server.partitions = {"_default": {}}
    opened = Collection(Target(server.uri, f"c_{digest(request.node.name).hex()}"))
    yield opened
    opened.close()


def _made() -> tuple[Outputs, Float32]:
    made = outputs_of(TEXTS, DIMENSIONS)
    assert made.dense is not None
    return made, made.dense


def _representation(vector_type: VectorType, dense: Float32) -> Representation:
    calibration = calibrate(dense, "space", "test") if vector_type == "binary" else None
    return Representation(vector_type, DIMENSIONS, calibration)


def _batch(stored: npt.NDArray[Any], made: Outputs) -> pa.RecordBatch:
    table = pa.Table.from_batches([chunks(*(record(f"d{n}", text) for n, text in enumerate(TEXTS)))])
    columns = {**to_columns(made), "dense": to_list_array(stored)}
    for name in ("dense", "sparse", "multi"):
        table = table.append_column(name, columns[name])
    labels = {"label": pa.array(["a", "", "b"]), "label_score": pa.array([0.5, 0.25, -1], pa.float32())}
    for name, column in labels.items():
        table = table.append_column(name, column)
    return table.combine_chunks().to_batches()[0]


def _parameters(pairs: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in pairs}


@pytest.mark.parametrize("vector_type", VECTOR_TYPES)
def test_fields_and_indexes_of_a_collection(
    server: MilvusServer, collection: Collection, vector_type: VectorType
) -> None:
    space = replace(FULL, vector_type=vector_type)
    collection.create(space)
    assert collection.space() == space
    fields = {one.name: one for one in server.schema.fields}
    kind, index, metric = TYPES[vector_type]
    assert fields["dense"].data_type == kind
    assert _parameters(fields["dense"].type_params) == {"dim": str(DIMENSIONS)}
    assert fields["sparse"].data_type == DataType.SPARSE_FLOAT_VECTOR
    assert fields["label"].data_type == DataType.VARCHAR
    assert fields["label_score"].data_type == DataType.FLOAT
    (multi,) = server.schema.struct_array_fields
    (vector,) = multi.fields
    assert (multi.name, vector.name, vector.element_type) == ("multi", "vector", DataType.FLOAT_VECTOR)
    assert _parameters(vector.type_params) == {"dim": str(DIMENSIONS), "max_capacity": "4096"}
    indexes = {one.field_name: _parameters(one.extra_params) for one in server.of("CreateIndex")}
    assert {name: (one["index_type"], one["metric_type"]) for name, one in indexes.items()} == {
        "dense": (index, metric),
        "sparse": ("SPARSE_INVERTED_INDEX", "IP"),
        "multi[vector]": ("HNSW", "MAX_SIM_COSINE"),
    }


def test_a_collection_without_dense_vectors_and_labels_has_no_fields_for_them(
    server: MilvusServer, collection: Collection
) -> None:
    space = replace(SPACE, milvus_outputs=("sparse",), dimensions=None, vector_type=None)
    collection.create(space)
    names = {one.name for one in server.schema.fields}
    assert "sparse" in names
    assert not names & {"dense", "multi", "label", "label_score"}
    assert not server.schema.struct_array_fields
    assert [one.field_name for one in server.of("CreateIndex")] == ["sparse"]


@pytest.mark.parametrize("vector_type", VECTOR_TYPES)
def test_rows_hold_the_bytes_of_the_representation(
    server: MilvusServer, collection: Collection, vector_type: VectorType
) -> None:
    collection.create(replace(FULL, vector_type=vector_type))
    made, dense = _made()
    stored = represent(dense, _representation(vector_type, dense))
    collection.upsert("lang_en", milvus_rows(_batch(stored, made), OUTPUTS))
    assert collection.counts() == {"lang_en": len(TEXTS)}
    (request,) = server.of("Upsert")
    data = {one.field_name: one for one in request.fields_data}
    assert vector_bytes(data["dense"]) == stored.tobytes()
    assert data["dense"].type == TYPES[vector_type][0]
    assert list(data["label"].scalars.string_data.data) == ["a", "", "b"]
    assert list(data["label_score"].scalars.float_data.data) == [0.5, 0.25, -1]


def test_rows_hold_sparse_weights_and_vectors_of_tokens(server: MilvusServer, collection: Collection) -> None:
    collection.create(FULL)
    made, dense = _made()
    assert made.sparse is not None
    assert made.multi is not None
    collection.upsert("lang_en", milvus_rows(_batch(dense, made), OUTPUTS))
    data = {one.field_name: one for one in server.of("Upsert")[0].fields_data}
    pairs = np.dtype([("index", "<u4"), ("weight", "<f4")])
    for row, content in enumerate(data["sparse"].vectors.sparse_float_vector.contents):
        found = np.frombuffer(content, pairs)
        start, stop = made.sparse.offsets[row : row + 2]
        np.testing.assert_array_equal(found["index"], made.sparse.indices[start:stop])
        np.testing.assert_array_equal(found["weight"], made.sparse.values[start:stop].astype(np.float16))
    (vectors,) = data["multi"].struct_arrays.fields
    for row, of_row in enumerate(vectors.vectors.vector_array.data):
        start, stop = made.multi.offsets[row : row + 2]
        flat = np.array(of_row.float_vector.data, np.float32).reshape(-1, DIMENSIONS)
        np.testing.assert_array_equal(flat, made.multi.vectors[start:stop].astype(np.float16))
        assert len(flat) == len(TEXTS[row].split())


def _placeholder(request: Any) -> tuple[int, bytes]:
    (one,) = common_pb2.PlaceholderGroup.FromString(request.placeholder_group).placeholders
    (value,) = one.values
    return one.type, value


def test_a_row_without_weights_gets_an_index_that_no_vocabulary_reaches() -> None:
    made = outputs_of(["", "a b"], DIMENSIONS)
    table = pa.Table.from_batches([chunks(record("d0", "x"), record("d1", "y"))])
    table = table.append_column("sparse", to_columns(made)["sparse"])
    rows = milvus_rows(table.to_batches()[0], OUTPUTS[1:2])
    assert rows[0]["sparse"] == {(1 << 32) - 2: 2**-24}
    assert set(rows[1]["sparse"]) < set(range(1 << 24))
    assert not {"dense", "multi", "label"} & set(rows[0])
