"""CompressVectors."""

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.verbs import run_verb
from transforms.compress import CompressVectors, compress_vectors
from transforms.logic.vectors import to_list_array, unit_rows


def _rows(count: int, dimensions: int, seed: int = 0) -> pa.RecordBatch:
    vectors = unit_rows(np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32))
    ids = pa.array([f"{number}" for number in range(count)])
    return pa.RecordBatch.from_arrays([ids, to_list_array(vectors.astype(np.float16))], ["id", "vector"])


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    count=st.integers(1, 20), dimensions=st.integers(2, 32), kept=st.none() | st.integers(1, 32), seed=st.integers(0, 9)
)
def test_kept_dimensions_lead_and_have_unit_length(count: int, dimensions: int, kept: int | None, seed: int) -> None:
    kept = kept if kept is None else min(kept, dimensions)
    batch = _rows(count, dimensions, seed)
    found = compress_vectors(batch, kept)
    assert found.schema.names == ["id", "dense"]
    assert found.schema.field("dense").type == pa.list_(pa.float32(), kept or dimensions)
    assert found.column("id").equals(batch.column("id"))
    full = np.array(batch.column("vector").to_pylist(), np.float32)
    dense = np.array(found.column("dense").to_pylist(), np.float32)
    np.testing.assert_allclose(np.linalg.norm(dense, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(dense, unit_rows(full[:, :kept]), atol=1e-6)


def test_a_slice_is_compressed_like_its_rows() -> None:
    batch = _rows(10, 8)
    assert compress_vectors(batch.slice(3, 4), 4).equals(compress_vectors(batch, 4).slice(3, 4))


@pytest.mark.parametrize("dimensions", [None, 4])
def test_the_verb_gives_what_its_plain_function_gives(dimensions: int | None) -> None:
    batch = _rows(5, 8)
    outcome = run_verb(partial(CompressVectors, dimensions), [batch])
    assert outcome.main == [compress_vectors(batch, dimensions)]
    assert outcome.counts == {"vectors.compressed": 5}
