"""CompressVectors."""

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.verbs import run_verb
from transforms.compress import CompressVectors, compress_vectors
from transforms.logic.calibration import calibrate
from transforms.logic.representations import VECTOR_TYPES, Representation, VectorType, represent
from transforms.logic.schemas import SPARSE
from transforms.logic.vector_columns import to_list_array
from transforms.logic.vectors import unit_rows

FULL = 32
STORED_AS = {
    "float32": (pa.float32(), 1),
    "float16": (pa.float16(), 1),
    "bfloat16": (pa.uint16(), 1),
    "int8": (pa.int8(), 1),
    "binary": (pa.uint8(), 8),
}
"""Number type of the list column, and how many dimensions a number holds."""


def _rows(count: int, seed: int = 0) -> pa.RecordBatch:
    vectors = unit_rows(np.random.default_rng(seed).standard_normal((count, FULL)).astype(np.float32))
    ids = pa.array([f"{number}" for number in range(count)])
    sparse = pa.array([{"indices": [number], "values": [np.float16(0.5)]} for number in range(count)], SPARSE)
    columns = {"id": ids, "vector": to_list_array(vectors.astype(np.float16)), "sparse": sparse}
    return pa.RecordBatch.from_pydict(columns)


def _representation(vector_type: VectorType, dimensions: int) -> Representation:
    mean = np.random.default_rng(7).normal(0, 1 / FULL, (1, FULL)).astype(np.float32)
    return Representation(vector_type, dimensions, calibrate(mean, "s", "t") if vector_type == "binary" else None)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    vector_type=st.sampled_from(VECTOR_TYPES),
    count=st.integers(1, 20),
    eighths=st.integers(1, FULL // 8),
    seed=st.integers(0, 9),
)
def test_the_vector_becomes_what_the_representation_makes_of_it(
    vector_type: VectorType, count: int, eighths: int, seed: int
) -> None:
    batch, representation = _rows(count, seed), _representation(vector_type, eighths * 8)
    found = compress_vectors(batch, representation)
    assert found.schema.names == ["id", "dense", "sparse"]
    number_type, packed = STORED_AS[vector_type]
    assert found.schema.field("dense").type == pa.list_(number_type, eighths * 8 // packed)
    full = np.array(batch.column("vector").to_pylist(), np.float32)
    expected = represent(full, representation)
    np.testing.assert_array_equal(np.array(found.column("dense").to_pylist(), expected.dtype), expected)
    for name in ("id", "sparse"):
        assert found.column(name).equals(batch.column(name))


@pytest.mark.parametrize("vector_type", VECTOR_TYPES)
def test_a_slice_is_compressed_like_its_rows(vector_type: VectorType) -> None:
    batch, representation = _rows(10), _representation(vector_type, 16)
    whole = compress_vectors(batch, representation)
    assert compress_vectors(batch.slice(3, 4), representation).equals(whole.slice(3, 4))


@pytest.mark.parametrize("vector_type", ["float32", "binary"])
def test_the_verb_gives_what_its_plain_function_gives(vector_type: VectorType) -> None:
    batch, representation = _rows(5), _representation(vector_type, 16)
    outcome = run_verb(partial(CompressVectors, representation), [batch])
    assert outcome.main == [compress_vectors(batch, representation)]
    assert outcome.counts == {"vectors.compressed": 5}


def test_rows_without_a_dense_vector_pass_as_they_are() -> None:
    batch = _rows(5).drop_columns("vector")
    outcome = run_verb(partial(CompressVectors, _representation("int8", 16)), [batch])
    assert outcome.main == [batch]
    assert outcome.counts == {}
