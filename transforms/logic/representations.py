"""What Milvus holds of a vector: fewer dimensions, smaller numbers. Documents and queries take the same way.

full precision (full,) -> projection, if there is one -> leading dimensions -> unit length -> float32, float16, bfloat16, int8
                                                                   `-> minus the frozen mean -> signs (binary)
"""

from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from transforms.logic.calibration import Calibration, Projection
from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.vectors import Float32, unit_rows

VectorType = Literal["float32", "float16", "bfloat16", "int8", "binary"]
VECTOR_TYPES: tuple[VectorType, ...] = get_args(VectorType)
"""From the most precise to the smallest."""
BITS: dict[VectorType, int] = {"float32": 32, "float16": 16, "bfloat16": 16, "int8": 8, "binary": 1}
"""Bits of one stored number."""
_INT8_MOST = 127
_SMALLEST_NORM = 1e-6


@dataclass(frozen=True)
class Recorded:
    """What a collection keeps of its representation: by SHA-256 and place what it was made with."""

    vector_type: VectorType
    dimensions: int
    calibration: str | None = None
    calibration_uri: str | None = None
    projection: str | None = None
    projection_uri: str | None = None


@dataclass(frozen=True)
class Representation:
    """How a vector is stored.

    Attributes:
        vector_type: type of the stored numbers.
        dimensions: how many numbers; a multiple of 8 for binary.
        calibration: whose mean binary subtracts; other types need none.
        projection: applied before anything else.
    """

    vector_type: VectorType
    dimensions: int
    calibration: Calibration | None = None
    projection: Projection | None = None

    def __post_init__(self) -> None:
        if self.vector_type == "binary":
            check_whole_bytes(self.dimensions)
        if (self.vector_type == "binary") != (self.calibration is not None):
            needs = "needs a calibration" if self.vector_type == "binary" else "takes no calibration"
            raise ConfigurationError(f"--vector-type {self.vector_type} {needs}")
        if self.projection is not None and self.dimensions > self.projection.kept_dimensions:
            message = (
                f"--dimensions {self.dimensions} is more than the projection gives; "
                f"choose at most {self.projection.kept_dimensions}"
            )
            raise ConfigurationError(message)

    @property
    def metric(self) -> Literal["COSINE", "HAMMING"]:
        """The metric type that Milvus compares by."""
        return "HAMMING" if self.vector_type == "binary" else "COSINE"

    @property
    def bytes_per_vector(self) -> int:
        """Bytes of one stored vector, without any index."""
        return self.dimensions * BITS[self.vector_type] // 8

    def describe(self) -> dict[str, Any]:
        """What tells it from others, for the collection and the run record: plain values."""
        return {
            "vector_type": self.vector_type,
            "dimensions": self.dimensions,
            "metric": self.metric,
            "calibration": None if self.calibration is None else self.calibration.sha256,
            "projection": None if self.projection is None else self.projection.sha256,
        }


def check_whole_bytes(dimensions: int) -> None:
    """Refuses, by `ConfigurationError`, dimensions whose signs do not fill bytes."""
    if dimensions % 8:
        below = dimensions // 8 * 8
        allowed = f"{below} or {below + 8}" if below else "8"
        message = f"binary vectors of {dimensions} dimensions do not fill whole bytes; choose --dimensions {allowed}"
        raise ConfigurationError(message)


def represent(vectors: Float32, representation: Representation) -> npt.NDArray[Any]:
    """Full-precision vectors, shape (n, full), as they are stored: a row each.

    float32, float16: shape (n, dimensions), of unit length. bfloat16: shape (n, dimensions), uint16, its bits: the upper half of a
    float32, rounded to nearest, ties to even. int8: shape (n, dimensions), in [-127, 127], each row scaled by its own largest absolute
    value, which COSINE does not see. binary: shape (n, dimensions / 8), uint8, first dimension in the highest bit: 1 where the
    vector, not renormalised, is above the calibration's mean.

    Signs of the raw vector would be nearly useless where vectors share a direction: 69 % of the dimensions of multilingual-e5-small
    hardly ever change sign.

    Raises:
        CorruptDataError: a row is not finite, or zero in the kept dimensions.
    """
    kept = _kept(vectors, representation)
    _check_rows(kept)
    if representation.vector_type == "binary":
        return np.packbits(kept > _centre(representation), axis=1)
    unit = unit_rows(kept)
    if representation.vector_type == "bfloat16":
        return _to_bfloat16(unit)
    if representation.vector_type == "int8":
        largest = np.abs(unit).max(axis=1, keepdims=True)
        return cast("npt.NDArray[Any]", np.rint(unit * (_INT8_MOST / largest)).astype(np.int8))
    return unit.astype(representation.vector_type)


def search_vector(vector: Float32, representation: Representation) -> npt.NDArray[Any]:
    """One full-precision query, shape (full,), as `represent` would store it: shape (dimensions,), or (dimensions / 8,) for binary."""
    return cast("npt.NDArray[Any]", represent(vector[None], representation)[0])


def restore(stored: npt.NDArray[Any], representation: Representation) -> Float32:
    """Stored rows as float32, shape (n, dimensions), of unit length: their inner product orders as the metric does.

    binary gives plus and minus 1 / sqrt(dimensions), so that the inner product is 1 - 2 hamming / dimensions.
    """
    if representation.vector_type == "binary":
        signs = np.unpackbits(stored, axis=1).astype(np.float32) * 2 - 1
        return unit_rows(signs)
    if representation.vector_type == "bfloat16":
        return unit_rows((stored.astype(np.uint32) << 16).view(np.float32))
    return unit_rows(stored.astype(np.float32))


def _kept(vectors: Float32, representation: Representation) -> Float32:
    projection = representation.projection
    projected = vectors if projection is None else projection.apply(vectors)
    return projected[:, : representation.dimensions]


def _centre(representation: Representation) -> Float32:
    # The mean of the sample as it is: it takes the way of the vectors, so one calibration serves all projections and dimensions.
    mean = cast("Calibration", representation.calibration).mean
    return cast("Float32", _kept(mean[None], representation)[0])


def _to_bfloat16(vectors: Float32) -> npt.NDArray[np.uint16]:
    bits = vectors.view(np.uint32)
    to_even = (bits >> 16) & 1
    return ((bits + 0x7FFF + to_even) >> 16).astype(np.uint16)


def _check_rows(vectors: Float32) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(vectors, axis=1)
        bad = np.flatnonzero(~(np.isfinite(norms) & (norms > _SMALLEST_NORM)))
    if len(bad):
        message = (
            f"{len(bad)} of {len(vectors)} vectors cannot be represented: row {bad[0]} is not finite, "
            f"or zero in its first {vectors.shape[1]} dimensions; choose more --dimensions, or check the model"
        )
        raise CorruptDataError(message)
