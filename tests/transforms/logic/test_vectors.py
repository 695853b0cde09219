"""Vectors: what is unsound is seen, and nothing is lost between numpy and Arrow."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.vector_columns import from_list_array, to_list_array
from transforms.logic.vectors import Float32, sound_rows, truncate, unit_rows


def random_units(count: int, dimensions: int, seed: int = 0) -> Float32:
    return unit_rows(np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32))


@pytest.mark.parametrize(
    "row",
    [
        [np.nan, 0, 1, 0],
        [np.inf, 0, 0, 0],
        [-np.inf, np.inf, 0, 0],
        [0, 0, 0, 0],
        [1.03, 0, 0, 0],
        [0.97, 0, 0, 0],
        [3e38, 3e38, 0, 0],
        [1e-30, 0, 0, 0],
    ],
    ids=["NaN", "Inf", "both Inf", "zero", "long", "short", "overflow", "tiny"],
)
def test_an_unsound_row_is_seen_and_its_neighbours_are_not_blamed(row: list[float]) -> None:
    vectors = random_units(3, 4)
    vectors[1] = row

    assert sound_rows(vectors).tolist() == [True, False, True]


def test_rounding_to_sixteen_bits_leaves_rows_sound() -> None:
    assert sound_rows(random_units(50, 384).astype(np.float16).astype(np.float32)).all()
    assert sound_rows(np.empty((0, 4), np.float32)).shape == (0,)


def test_unit_rows_keeps_directions_and_zero() -> None:
    scaled = unit_rows(np.array([[3, 4], [0, 0], [-5, 0]], np.float32))

    assert scaled.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0], [-1, 0]]
    assert scaled.dtype == np.float32


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(1, 16), st.integers(0, 5), st.integers(0, 1000))
def test_truncated_vectors_are_leading_numbers_of_unit_length(dimensions: int, count: int, seed: int) -> None:
    vectors = random_units(count, 16, seed)

    short = truncate(vectors, dimensions)

    assert short.shape == (count, dimensions)
    assert short.dtype == np.float32
    assert sound_rows(short, 1e-5).all()
    lengths = np.linalg.norm(vectors[:, :dimensions], axis=1, keepdims=True)
    np.testing.assert_allclose(short * lengths, vectors[:, :dimensions], rtol=1e-5, atol=1e-6)


def test_without_dimensions_all_are_kept_and_renormalised() -> None:
    vectors = random_units(3, 8)

    np.testing.assert_allclose(truncate(vectors * np.float32(1.01), None), vectors, rtol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(0, 6), st.integers(1, 5), st.integers(0, 6), st.integers(0, 6), st.booleans())
def test_list_arrays_give_back_what_was_put_in(
    count: int, dimensions: int, offset: int, length: int, half: bool
) -> None:
    full = random_units(count, dimensions)
    vectors = full.astype(np.float16) if half else full

    column = to_list_array(vectors)
    sliced = column.slice(offset, length)
    variable = column.cast(pa.list_(column.type.value_type))

    assert column.type == pa.list_(pa.from_numpy_dtype(vectors.dtype), dimensions)
    assert from_list_array(column, dimensions).tolist() == vectors.tolist()
    assert from_list_array(sliced, dimensions).tolist() == vectors[offset : offset + length].tolist()
    assert (
        from_list_array(variable.slice(offset, length), dimensions).tolist()
        == vectors[offset : offset + length].tolist()
    )
    chunked = pa.chunked_array([sliced, column])
    assert from_list_array(chunked, dimensions).tolist() == [
        *vectors[offset : offset + length].tolist(),
        *vectors.tolist(),
    ]
    assert from_list_array(chunked, dimensions).dtype == np.float32


def test_a_transposed_matrix_is_stored_row_by_row() -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3).T

    assert to_list_array(vectors).to_pylist() == [[0, 3], [1, 4], [2, 5]]
