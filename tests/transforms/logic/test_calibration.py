"""Calibrations and projections: hashed, frozen, refused when they are not what they should be."""

import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from transforms.logic.calibration import (
    MAX_PROJECTION_NUMBERS,
    Calibration,
    Projection,
    calibrate,
    check_space,
    checked_projection,
)
from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.vectors import Float32, unit_rows

FINITE = st.floats(-4, 4, width=32)


def _vectors(count: int, dimensions: int, seed: int = 0) -> Float32:
    return unit_rows(np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32) + 0.5)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(vectors=arrays(np.float32, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12), elements=FINITE))
def test_the_mean_is_that_of_the_sample_whatever_its_order(vectors: Float32) -> None:
    made = calibrate(vectors, "space", "a test")
    np.testing.assert_allclose(made.mean, np.mean(vectors.astype(np.float64), axis=0), atol=1e-7)
    assert made.mean.dtype == np.float32
    assert (made.embedding_space, made.sample_size, made.source) == ("space", len(vectors), "a test")
    np.testing.assert_allclose(calibrate(vectors[::-1].copy(), "space", "a test").mean, made.mean, atol=1e-7)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(mean=arrays(np.float32, st.integers(1, 20), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_a_calibration_comes_back_from_json_and_pickle_to_the_last_bit(mean: Float32) -> None:
    made = Calibration("space", mean, 7, "test")
    for again in (Calibration.from_json(made.to_json(), "file"), pickle.loads(pickle.dumps(made))):
        assert again == made
        assert again.mean.tobytes() == mean.tobytes()


def test_the_hash_names_every_part() -> None:
    mean = np.array([0.25, 0.5], np.float32)
    made = Calibration("space", mean, 7, "test")
    others = [
        Calibration("other", mean, 7, "test"),
        Calibration("space", mean, 8, "test"),
        Calibration("space", mean, 7, "other"),
        Calibration("space", np.nextafter(mean, np.float32(1)), 7, "test"),
    ]
    assert Calibration("space", mean.copy(), 7, "test") == made
    assert len({made.sha256, *(other.sha256 for other in others)}) == 5


def test_frozen_numbers_cannot_be_written_and_are_no_views() -> None:
    source = np.ones(2, np.float32)
    made = Calibration("space", source, 1, "test")
    source[0] = 5
    assert made.mean.tolist() == [1, 1]
    with pytest.raises(ValueError, match="read-only"):
        made.mean[0] = 2


@pytest.mark.parametrize(
    "change", [{"mean": [0.5, 0.5]}, {"sample_size": 8}, {"embedding_space": "x"}, {"sha256": "0"}]
)
def test_a_changed_calibration_is_refused(change: dict[str, Any]) -> None:
    values = json.loads(Calibration("space", np.array([0.25, 0.5], np.float32), 7, "test").to_json())
    with pytest.raises(CorruptDataError, match=r"one\.json is not as it was written"):
        Calibration.from_json(json.dumps(values | change).encode(), "one.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": 1}', b'{"format": 1, "mean": "x"}', b"\xff"])
def test_what_is_no_calibration_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptDataError, match=r"one\.json is not a calibration"):
        Calibration.from_json(data, "one.json")


def test_a_newer_format_is_refused_by_number() -> None:
    values = json.loads(Calibration("space", np.ones(2, np.float32), 7, "test").to_json())
    with pytest.raises(ConfigurationError, match=r"one\.json has format 2, this version reads 1"):
        Calibration.from_json(json.dumps(values | {"format": 2, "shape": "new"}).encode(), "one.json")


@pytest.mark.parametrize(("space", "dimensions"), [("other", 2), ("space", 3)])
def test_a_calibration_of_another_space_is_refused(space: str, dimensions: int) -> None:
    made = calibrate(_vectors(5, 2), "space", "test")
    assert check_space(made, "space", 2, "one.json") is made
    with pytest.raises(ConfigurationError, match=f"one.json was made for embedding space 'space' with 2.*{space!r}"):
        check_space(made, space, dimensions, "one.json")


@settings(deadline=None, derandomize=True, max_examples=30)
@given(count=st.integers(1, 5), full=st.integers(1, 9), kept=st.integers(1, 9), seed=st.integers(0, 5))
def test_a_projection_is_the_matrix_product_by_hand(count: int, full: int, kept: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    kept = min(kept, full)
    matrix = generator.standard_normal((full, kept)).astype(np.float32)
    mean = generator.standard_normal(full).astype(np.float32)
    vectors = _vectors(count, full, seed)
    found = checked_projection({"matrix": matrix, "mean": mean}, full, "file").apply(vectors)
    by_hand = [
        [sum((float(v[i]) - float(mean[i])) * float(matrix[i, j]) for i in range(full)) for j in range(kept)]
        for v in vectors
    ]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand, atol=1e-5)


def test_a_projection_without_a_mean_subtracts_nothing_and_is_named_by_its_numbers() -> None:
    matrix = np.array([[1, 0], [0, 2], [3, 0]], np.float64)
    projection = checked_projection({"matrix": matrix}, 3, "file")
    assert projection.apply(np.array([[1, 2, 3]], np.float32)).tolist() == [[10, 4]]
    assert (projection.full_dimensions, projection.kept_dimensions) == (3, 2)
    assert projection == Projection(matrix.astype(np.float32), np.zeros(3, np.float32))
    assert projection == pickle.loads(pickle.dumps(projection))
    assert projection != checked_projection({"matrix": matrix, "mean": np.ones(3)}, 3, "file")
    assert projection != checked_projection({"matrix": -matrix}, 3, "file")


@pytest.mark.parametrize(
    ("arrays_by_name", "message"),
    [
        ({}, "holds nothing; it needs `matrix`"),
        ({"matrix": np.ones((4, 2)), "bias": np.ones(2)}, "holds bias, matrix"),
        ({"matrix": np.ones((3, 2))}, r"matrix of shape \(3, 2\); the model needs \(4, kept\)"),
        ({"matrix": np.ones((4, 5))}, r"matrix of shape \(4, 5\)"),
        ({"matrix": np.ones((4, 0))}, r"matrix of shape \(4, 0\)"),
        ({"matrix": np.ones(4)}, r"matrix of shape \(4,\)"),
        ({"matrix": np.ones((4, 2)), "mean": np.ones(2)}, r"mean of shape \(2,\); the model needs \(4,\)"),
        ({"matrix": np.full((4, 2), np.nan)}, "finite floating-point"),
        ({"matrix": np.ones((4, 2)), "mean": np.full(4, np.inf)}, "finite floating-point"),
        ({"matrix": np.ones((4, 2), np.int8)}, "finite floating-point"),
    ],
)
def test_arrays_that_are_no_projection_are_refused(arrays_by_name: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--projection 'p.npy' .*{message}"):
        checked_projection(arrays_by_name, 4, "p.npy")


def test_a_projection_that_no_job_can_carry_is_refused() -> None:
    full = 2048
    matrix = np.ones((full, MAX_PROJECTION_NUMBERS // full + 1), np.float16)
    with pytest.raises(ConfigurationError, match="keep at most 512 dimensions"):
        checked_projection({"matrix": matrix}, full, "p.npy")
