"""What an encoder gives for chunks: a dense vector, and where the model has them, weights of tokens and one vector a token.

The three are those of BGE-M3 (Chen et al. 2024, arXiv:2402.03216, section 3.2). Axis 0 counts chunks; all numbers are float32.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from transforms.logic.vectors import Float32, sound_rows

Output = Literal["dense", "sparse", "multi"]
OUTPUTS: tuple[Output, ...] = ("dense", "sparse", "multi")
"""Names of the outputs, in the order in which they are always named."""
_MAX_WEIGHT = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Sparse:
    """Weights of vocabulary ids of n chunks, as compressed sparse rows.

    Attributes:
        offsets: shape (n + 1,), int64, from 0: chunk i has the entries `offsets[i]` to `offsets[i + 1]`.
        indices: shape (entries,), int32: vocabulary ids, ascending and distinct within a chunk.
        values: shape (entries,), float32, above 0.
    """

    offsets: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    values: Float32


@dataclass(frozen=True)
class Multi:
    """One vector a token of n chunks.

    Attributes:
        offsets: shape (n + 1,), int64, from 0: chunk i has the rows `offsets[i]` to `offsets[i + 1]`.
        vectors: shape (rows, dimensions), float32, each row of unit length.
    """

    offsets: npt.NDArray[np.int64]
    vectors: Float32


@dataclass(frozen=True)
class Outputs:
    """Outputs of n chunks; None for one that was not asked for. `dense` has shape (n, dimensions), float32, rows of unit length."""

    dense: Float32 | None = None
    sparse: Sparse | None = None
    multi: Multi | None = None

    def __len__(self) -> int:
        """How many chunks."""
        if self.dense is not None:
            return len(self.dense)
        ragged = self.sparse if self.sparse is not None else self.multi
        return 0 if ragged is None else len(ragged.offsets) - 1

    def take(self, chosen: Sequence[int] | npt.NDArray[np.int64]) -> "Outputs":
        """The outputs of some chunks, in the order asked for."""
        numbers = np.asarray(chosen, np.int64)
        sparse = multi = None
        if self.sparse is not None:
            offsets, entries = _take_ragged(self.sparse.offsets, numbers)
            sparse = Sparse(offsets, self.sparse.indices[entries], self.sparse.values[entries])
        if self.multi is not None:
            offsets, entries = _take_ragged(self.multi.offsets, numbers)
            multi = Multi(offsets, self.multi.vectors[entries])
        return Outputs(None if self.dense is None else self.dense[numbers], sparse, multi)


def concatenate_outputs(parts: Sequence[Outputs]) -> Outputs:
    """All chunks of some parts in order; each part must have the same outputs."""
    first = parts[0]
    dense = sparse = multi = None
    if first.dense is not None:
        dense = np.concatenate([cast("Float32", part.dense) for part in parts])
    if first.sparse is not None:
        rows = [cast("Sparse", part.sparse) for part in parts]
        sparse = Sparse(
            _join_offsets([part.offsets for part in rows]),
            np.concatenate([part.indices for part in rows]),
            np.concatenate([part.values for part in rows]),
        )
    if first.multi is not None:
        matrices = [cast("Multi", part.multi) for part in parts]
        multi = Multi(
            _join_offsets([part.offsets for part in matrices]), np.concatenate([part.vectors for part in matrices])
        )
    return Outputs(dense, sparse, multi)


def spread_outputs(outputs: Outputs, numbers: Sequence[int], count: int) -> Outputs:
    """Outputs of `count` chunks, of which row i of `outputs` is chunk `numbers[i]`.

    A chunk that none of the distinct `numbers` names gets zeros as dense vector, and no entries.
    """
    places = np.asarray(numbers, np.int64)
    if np.any(np.diff(places) < 0):
        order = np.argsort(places)
        outputs, places = outputs.take(order), places[order]
    if len(places) == count:
        return outputs
    dense, sparse, multi = outputs.dense, outputs.sparse, outputs.multi
    if dense is not None:
        spread = np.zeros((count, dense.shape[1]), np.float32)
        spread[places] = dense
        dense = spread
    if sparse is not None:
        sparse = Sparse(_spread_offsets(sparse.offsets, places, count), sparse.indices, sparse.values)
    if multi is not None:
        multi = Multi(_spread_offsets(multi.offsets, places, count), multi.vectors)
    return Outputs(dense, sparse, multi)


def no_outputs(names: Collection[Output]) -> Outputs:
    """The named outputs of no chunk, of vectors without numbers."""
    nothing, offsets = np.zeros((0, 0), np.float32), np.zeros(1, np.int64)
    return Outputs(
        nothing if "dense" in names else None,
        Sparse(offsets, np.empty(0, np.int32), np.empty(0, np.float32)) if "sparse" in names else None,
        Multi(offsets, nothing) if "multi" in names else None,
    )


def unsound_chunks(outputs: Outputs) -> dict[int, str]:
    """Chunks of which an output cannot be used, with the first reason of each.

    A vector must be finite and of unit length within 0.02, a weight above 0 and within what 16 bits hold. A chunk without any weight
    is sound: its tokens may all be unknown.
    """
    found: dict[int, str] = {}
    if outputs.multi is not None:
        unsound = np.flatnonzero(~sound_rows(outputs.multi.vectors))
        _name_owners(found, outputs.multi.offsets, unsound, "a vector of a token is not finite or not of unit length")
    if outputs.sparse is not None:
        weights = outputs.sparse.values
        unsound = np.flatnonzero(~((weights > 0) & (weights <= _MAX_WEIGHT)))
        _name_owners(found, outputs.sparse.offsets, unsound, f"a weight of a token is not within 0 and {_MAX_WEIGHT:g}")
    if outputs.dense is not None:
        unsound = np.flatnonzero(~sound_rows(outputs.dense))
        found.update(dict.fromkeys(unsound.tolist(), "the dense vector is not finite or not of unit length"))
    return found


def _name_owners(
    found: dict[int, str], offsets: npt.NDArray[np.int64], entries: npt.NDArray[np.int64], reason: str
) -> None:
    """Puts a reason beside the chunks that some entries belong to."""
    owners = np.searchsorted(offsets, entries, side="right") - 1
    found.update(dict.fromkeys(owners.tolist(), reason))


def _spread_offsets(offsets: npt.NDArray[np.int64], places: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    lengths = np.zeros(count, np.int64)
    lengths[places] = np.diff(offsets)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def _take_ragged(
    offsets: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Offsets of the chosen rows, and the numbers of their entries."""
    lengths = offsets[numbers + 1] - offsets[numbers]
    taken = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    entries = np.arange(taken[-1]) + np.repeat(offsets[numbers] - taken[:-1], lengths)
    return taken, entries


def _join_offsets(parts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    lengths = np.concatenate([np.diff(offsets) for offsets in parts])
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
