"""Frozen statistics and matrices that a representation needs: made once, hashed, never computed from a batch."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.vectors import Float32

CALIBRATION_FORMAT = 1
MAX_PROJECTION_NUMBERS = 1 << 20
"""4 MiB: a projection travels to the workers inside the job, whose size the services limit to some 10 MB."""


@dataclass(frozen=True)
class Calibration:
    """Statistics of a sample of one embedding space, before any projection.

    Attributes:
        embedding_space: the space of the sample.
        mean: shape (full dimensions,), float32, finite: mean of the sample's unit vectors.
        sample_size: how many vectors it was made of.
        source: what the sample is.
        sha256: 64 hexadecimal characters over all of the above; two calibrations are equal if these are.
    """

    embedding_space: str
    mean: Float32 = field(compare=False, repr=False)
    sample_size: int
    source: str
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        mean = np.array(self.mean, np.float32)
        mean.flags.writeable = False
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "sha256", hashlib.sha256(_json_bytes(self._content())).hexdigest())

    def to_json(self) -> bytes:
        """The content with its format version and hash."""
        return _json_bytes({**self._content(), "sha256": self.sha256})

    @classmethod
    def from_json(cls, data: bytes, name: str) -> "Calibration":
        """Reads `to_json`; `name` stands for the file in messages.

        Raises:
            ConfigurationError: it was written in another format.
            CorruptDataError: it is not a calibration, or not as it was written.
        """
        try:
            values: Any = json.loads(data)
            version = values["format"]
            if version == CALIBRATION_FORMAT:
                mean = np.array(values["mean"], np.float32)
                read = cls(values["embedding_space"], mean, values["sample_size"], values["source"])
                if mean.ndim == 1 and np.isfinite(mean).all() and values["sha256"] == read.sha256:
                    return read
        except (ValueError, KeyError, TypeError) as error:
            message = f"{name} is not a calibration: {error!r}; make one with corpus-embed calibrate"
            raise CorruptDataError(message) from error
        if version != CALIBRATION_FORMAT:
            message = (
                f"the calibration {name} has format {version!r}, this version reads {CALIBRATION_FORMAT}; "
                "use the corpus-embed that wrote it, or make another with corpus-embed calibrate"
            )
            raise ConfigurationError(message)
        message = f"the calibration {name} is not as it was written: its SHA-256 differs; restore it, or make another"
        raise CorruptDataError(message)

    def _content(self) -> dict[str, Any]:
        return {
            "format": CALIBRATION_FORMAT,
            "embedding_space": self.embedding_space,
            "source": self.source,
            "sample_size": self.sample_size,
            "mean": self.mean.tolist(),
        }


@dataclass(frozen=True)
class Projection:
    """A linear map of vectors, such as PCA or an alignment of languages: x to (x - mean) matrix.

    Attributes:
        matrix: shape (full, kept), float32, finite.
        mean: shape (full,), float32, finite; zeros if nothing is subtracted.
        sha256: 64 hexadecimal characters over shape and numbers; two projections are equal if these are.
    """

    matrix: Float32 = field(compare=False, repr=False)
    mean: Float32 = field(compare=False, repr=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        for name in ("matrix", "mean"):
            numbers = np.array(getattr(self, name), np.float32)
            numbers.flags.writeable = False
            object.__setattr__(self, name, numbers)
        shape = ",".join(map(str, self.matrix.shape)).encode()
        raw = [part.astype("<f4").tobytes() for part in (self.matrix, self.mean)]
        object.__setattr__(self, "sha256", hashlib.sha256(b"\n".join([shape, *raw])).hexdigest())

    @property
    def full_dimensions(self) -> int:
        """Length of the vectors that it takes."""
        return int(self.matrix.shape[0])

    @property
    def kept_dimensions(self) -> int:
        """Length of the vectors that it gives."""
        return int(self.matrix.shape[1])

    def apply(self, vectors: Float32) -> Float32:
        """(n, full) to (n, kept), float32, of whatever length the map gives them."""
        return np.asarray((vectors - self.mean) @ self.matrix, np.float32)


def checked_projection(arrays: dict[str, Any], full_dimensions: int, name: str) -> Projection:
    """A projection of arrays by name: `matrix` (full, kept) and, if it is there, `mean` (full,); `name` stands for the file in messages.

    Raises:
        ConfigurationError: naming what is wrong with the arrays.
    """
    if not set(arrays) <= {"matrix", "mean"} or "matrix" not in arrays:
        shown = ", ".join(sorted(arrays)) or "nothing"
        raise ConfigurationError(f"--projection {name!r} holds {shown}; it needs `matrix`, and may have `mean`")
    matrix = np.asarray(arrays["matrix"])
    mean = np.asarray(arrays.get("mean", np.zeros(full_dimensions)))
    if matrix.ndim != 2 or len(matrix) != full_dimensions or not 1 <= matrix.shape[1] <= full_dimensions:  # noqa: PLR2004
        message = (
            f"--projection {name!r} has a matrix of shape {matrix.shape}; the model needs ({full_dimensions}, kept) "
            f"with kept from 1 to {full_dimensions}"
        )
        raise ConfigurationError(message)
    if mean.shape != (full_dimensions,):
        raise ConfigurationError(
            f"--projection {name!r} has a mean of shape {mean.shape}; the model needs ({full_dimensions},)"
        )
    if matrix.size > MAX_PROJECTION_NUMBERS:
        message = (
            f"--projection {name!r} has {matrix.size:,} numbers; at most {MAX_PROJECTION_NUMBERS:,} travel with a job, "
            f"so keep at most {MAX_PROJECTION_NUMBERS // full_dimensions} dimensions"
        )
        raise ConfigurationError(message)
    is_numeric = all(part.dtype.kind == "f" for part in (matrix, mean))
    if not is_numeric or not (np.isfinite(matrix).all() and np.isfinite(mean).all()):
        raise ConfigurationError(f"--projection {name!r} must hold finite floating-point numbers")
    return Projection(matrix, mean)


def calibrate(vectors: Float32, embedding_space: str, source: str) -> Calibration:
    """The calibration of a sample: (n, full) unit vectors, n at least 1. Summed in float64, so that it hardly depends on the order."""
    return Calibration(embedding_space, vectors.mean(axis=0, dtype=np.float64).astype(np.float32), len(vectors), source)


def check_space(calibration: Calibration, embedding_space: str, full_dimensions: int, name: str) -> Calibration:
    """The same calibration, or `ConfigurationError` if it was made for another space; `name` stands for the file."""
    if calibration.embedding_space != embedding_space or calibration.mean.shape != (full_dimensions,):
        message = (
            f"the calibration {name} was made for embedding space {calibration.embedding_space!r} with "
            f"{len(calibration.mean)} dimensions, this run has {embedding_space!r} with {full_dimensions}; "
            "make one for it with corpus-embed calibrate"
        )
        raise ConfigurationError(message)
    return calibration


def _json_bytes(values: dict[str, Any]) -> bytes:
    return json.dumps(values, indent=1, ensure_ascii=False).encode() + b"\n"
