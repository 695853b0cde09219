"""Representations, each against its definition."""

import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.calibration import Calibration, Projection, calibrate
from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.representations import (
    VECTOR_TYPES,
    Representation,
    VectorType,
    _to_bfloat16,
    represent,
    restore,
    search_vector,
)
from transforms.logic.vectors import Float32, truncate, unit_rows

FULL = 32
# Largest distance of two unit vectors' cosine before and after, by type: half a step of each number times both vectors.
COSINE_TOLERANCE: dict[VectorType, float] = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 1e-2, "int8": 3e-2}


def _vectors(count: int, seed: int = 0, shift: float = 0.6) -> Float32:
    """Unit vectors that share a direction, as those of real models do."""
    generator = np.random.default_rng(seed)
    common = np.random.default_rng(FULL).standard_normal(FULL)
    return unit_rows((generator.standard_normal((count, FULL)) + 3 * shift * common).astype(np.float32))


def _representation(
    vector_type: VectorType, dimensions: int = FULL, projection: Projection | None = None
) -> Representation:
    calibration = calibrate(_vectors(50, 99), "space", "test") if vector_type == "binary" else None
    return Representation(vector_type, dimensions, calibration, projection)


@pytest.mark.parametrize(
    ("vector_type", "dtype", "width", "bytes_per_vector"),
    [
        ("float32", np.float32, 16, 64),
        ("float16", np.float16, 16, 32),
        ("bfloat16", np.uint16, 16, 32),
        ("int8", np.int8, 16, 16),
        ("binary", np.uint8, 2, 2),
    ],
)
def test_shape_type_and_size(vector_type: VectorType, dtype: Any, width: int, bytes_per_vector: int) -> None:
    representation = _representation(vector_type, 16)
    found = represent(_vectors(5), representation)
    assert found.shape == (5, width)
    assert found.dtype == dtype
    assert representation.bytes_per_vector == found[0].nbytes == bytes_per_vector
    assert representation.metric == ("HAMMING" if vector_type == "binary" else "COSINE")
    assert represent(_vectors(5)[:0], representation).shape == (0, width)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    vector_type=st.sampled_from(sorted(COSINE_TOLERANCE)),
    dimensions=st.integers(1, FULL),
    seed=st.integers(0, 50),
    length=st.floats(0.01, 100),
)
def test_cosines_of_kept_dimensions_stay(vector_type: VectorType, dimensions: int, seed: int, length: float) -> None:
    vectors = _vectors(6, seed) * np.float32(length)
    representation = _representation(vector_type, dimensions)
    restored = restore(represent(vectors, representation), representation)
    exact = truncate(vectors, dimensions)
    np.testing.assert_allclose(np.linalg.norm(restored, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(restored @ restored.T, exact @ exact.T, atol=COSINE_TOLERANCE[vector_type])


@settings(deadline=None, derandomize=True, max_examples=40)
@given(vector_type=st.sampled_from(VECTOR_TYPES), seed=st.integers(0, 50), row=st.integers(0, 5))
def test_a_row_does_not_depend_on_its_batch_and_a_query_goes_the_same_way(
    vector_type: VectorType, seed: int, row: int
) -> None:
    vectors, representation = _vectors(6, seed), _representation(vector_type, 24)
    whole = represent(vectors, representation)
    assert represent(vectors[row : row + 1], representation)[0].tobytes() == whole[row].tobytes()
    assert search_vector(vectors[row], representation).tobytes() == whole[row].tobytes()


@settings(deadline=None, derandomize=True, max_examples=40)
@given(seed=st.integers(0, 200), dimensions=st.integers(1, FULL))
def test_int8_is_symmetric_and_uses_its_whole_range(seed: int, dimensions: int) -> None:
    vectors, representation = _vectors(4, seed), _representation("int8", dimensions)
    found = represent(vectors, representation).astype(int)
    assert np.abs(found).max(axis=1).tolist() == [127] * 4
    assert (represent(-vectors, representation).astype(int) == -found).all()
    assert represent(vectors * np.float32(8), representation).astype(int).tolist() == found.tolist()


@settings(deadline=None, derandomize=True, max_examples=40)
@given(seed=st.integers(0, 200))
def test_bfloat16_is_what_torch_makes(seed: int) -> None:
    unit = unit_rows(_vectors(4, seed))
    by_torch = torch.from_numpy(unit).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    assert represent(unit, _representation("bfloat16")).tolist() == by_torch.tolist()


def test_bfloat16_rounds_halves_to_even() -> None:
    bits = np.array([[0x3F808000, 0x3F818000, 0x3F808001, 0xBF808000]], np.uint32)
    assert _to_bfloat16(bits.view(np.float32)).tolist() == [[0x3F80, 0x3F82, 0x3F81, 0xBF80]]


@settings(deadline=None, derandomize=True, max_examples=40)
@given(seed=st.integers(0, 200), bytes_kept=st.integers(1, FULL // 8))
def test_bits_are_the_signs_of_what_exceeds_the_mean(seed: int, bytes_kept: int) -> None:
    vectors, representation = _vectors(5, seed), _representation("binary", bytes_kept * 8)
    assert representation.calibration is not None
    mean = representation.calibration.mean
    expected = ["".join("1" if x > m else "0" for x, m in zip(row, mean, strict=True)) for row in vectors]
    found = represent(vectors, representation)
    assert ["".join(f"{byte:08b}" for byte in row) for row in found] == [bits[: bytes_kept * 8] for bits in expected]


@settings(deadline=None, derandomize=True, max_examples=20)
@given(seed=st.integers(0, 200))
def test_inner_products_of_restored_bits_are_hamming_distances(seed: int) -> None:
    representation = _representation("binary")
    stored = represent(_vectors(5, seed), representation)
    distances = np.array(
        [
            [sum((a ^ b).bit_count() for a, b in zip(x.tolist(), y.tolist(), strict=True)) for y in stored]
            for x in stored
        ]
    )
    restored = restore(stored, representation)
    np.testing.assert_allclose(restored @ restored.T, 1 - 2 * distances / FULL, atol=1e-6)


def test_every_bit_tells_vectors_apart_though_they_share_a_direction() -> None:
    vectors = _vectors(64, shift=2)
    at_zero = Calibration("space", np.zeros(FULL, np.float32), 1, "test")
    centred = calibrate(_vectors(64, 1, shift=2), "space", "test")

    def constant_bits(calibration: Calibration) -> int:
        bits = np.unpackbits(represent(vectors, Representation("binary", FULL, calibration)), axis=1)
        return int((bits == bits[0]).all(axis=0).sum())

    assert constant_bits(at_zero) > FULL / 2
    assert constant_bits(centred) == 0


@settings(deadline=None, derandomize=True, max_examples=30)
@given(vector_type=st.sampled_from(VECTOR_TYPES), seed=st.integers(0, 20))
def test_a_projection_comes_first(vector_type: VectorType, seed: int) -> None:
    generator = np.random.default_rng(seed)
    projection = Projection(
        generator.standard_normal((FULL, 16)).astype(np.float32), generator.standard_normal(FULL).astype(np.float32)
    )
    vectors = _vectors(5, seed)
    plain = _representation(vector_type, 8)
    projected = _representation(vector_type, 8, projection)
    by_hand = ((vectors - projection.mean) @ projection.matrix).astype(np.float32)
    if plain.calibration is not None:
        mean = ((plain.calibration.mean - projection.mean) @ projection.matrix).astype(np.float32)
        plain = Representation("binary", 8, Calibration("space", mean, 1, "projected by hand"))
    assert represent(vectors, projected).tobytes() == represent(by_hand, plain).tobytes()


@pytest.mark.parametrize("vector_type", VECTOR_TYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0])
def test_a_vector_without_direction_is_refused(vector_type: VectorType, bad: float) -> None:
    vectors = _vectors(3)
    vectors[1, :] = np.where(np.arange(FULL) < 8, bad, vectors[1])
    with pytest.raises(CorruptDataError, match=r"1 of 3 vectors cannot be represented: row 1 .* first 8 dimensions"):
        represent(vectors, _representation(vector_type, 8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("binary", 12, calibrate(_vectors(3), "s", "t")), "do not fill whole bytes; choose --dimensions 8 or 16"),
        (("binary", 7, calibrate(_vectors(3), "s", "t")), "choose --dimensions 8"),
        (("binary", 16, None), "--vector-type binary needs a calibration"),
        (("int8", 16, calibrate(_vectors(3), "s", "t")), "--vector-type int8 takes no calibration"),
        (
            ("int8", 16, None, Projection(np.ones((FULL, 8), np.float32), np.zeros(FULL, np.float32))),
            "--dimensions 16 is more than the projection gives; choose at most 8",
        ),
    ],
)
def test_what_cannot_be_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Representation(*arguments)


def test_a_representation_is_a_value_that_travels_and_describes_itself() -> None:
    for vector_type in VECTOR_TYPES:
        one = _representation(vector_type, 16)
        assert pickle.loads(pickle.dumps(one)) == one == _representation(vector_type, 16)
    binary = _representation("binary", 16)
    assert binary.calibration is not None
    assert binary.describe() == {
        "vector_type": "binary",
        "dimensions": 16,
        "metric": "HAMMING",
        "calibration": binary.calibration.sha256,
        "projection": None,
    }
