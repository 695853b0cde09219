"""Vectors: checked, truncated, renormalised. Axis 0 is the batch; all arithmetic is float32."""

from typing import cast

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


def unit_rows(vectors: Float32) -> Float32:
    """Scales each row of (n, dimensions) float32 to unit Euclidean length; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return cast("Float32", vectors / np.where(norms == 0, 1, norms))


def sound_rows(vectors: Float32, tolerance: float = 0.02) -> npt.NDArray[np.bool_]:
    """Which rows of (n, dimensions) are finite and of unit length within `tolerance`, shape (n,), bool.

    NaN passes every later stage silently (a cast to int8 makes it 0, Milvus Lite stores it), so it is stopped here.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        # Seven times as fast as np.linalg.norm: every vector that is made passes here.
        norms = np.sqrt(np.vecdot(vectors, vectors))
        return cast("npt.NDArray[np.bool_]", np.isfinite(norms) & (np.abs(norms - 1) <= tolerance))


def truncate(vectors: Float32, dimensions: int | None) -> Float32:
    """The first `dimensions` numbers of each row, renormalised: (n, full) to (n, dimensions) float32; None keeps all.

    Matryoshka truncation (Kusupati et al. 2022, arXiv:2205.13147); only models trained for it lose little.
    """
    return unit_rows(vectors if dimensions is None else vectors[:, :dimensions])
