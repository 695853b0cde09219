"""Forward passes over packed chunks: nothing is padded, nothing has to be sorted.

On a GPU three stages overlap: while one pass computes, the next is packed into pinned memory and queued, and the outputs of the one
before are copied back. So a pass is started without waiting for it, and finished when its outputs have come.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize

from transforms.adapters.engines.attention import KEY_STEP, Pack
from transforms.logic.outputs import Multi, Outputs, Sparse

TOKEN_STEP = 128
"""Tokens of a pass are a multiple of it: products of a size that is new are slower by a tenth, for they are prepared first."""


class States(Protocol):
    """What makes hidden states, such as `layers.Layers`.

    Attributes:
        words: how many token ids it knows, counted from 0.
    """

    words: int

    def hidden(self, pack: Pack) -> torch.Tensor:
        """Shape (tokens, hidden size)."""
        ...


class Heads(Protocol):
    """What makes sparse weights and multi-vectors of hidden states, such as `heads.Heads`."""

    def launch(self, hidden: torch.Tensor, offsets: torch.Tensor) -> Any:
        """Starts on the device."""
        ...

    def finish(
        self, launched: Any, ids: npt.NDArray[np.integer], offsets: npt.NDArray[np.integer]
    ) -> tuple[Sparse | None, Multi | None]:
        """Ends on the host, when the device has come so far."""
        ...


class Frame(NamedTuple):
    """What stands around the ids of each chunk, prompt and special tokens, and the number of its first position."""

    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]
    first_position: int

    @property
    def tokens(self) -> int:
        """How many tokens it adds."""
        return len(self.before) + len(self.after)


class Started(NamedTuple):
    """A pass that was launched: dense vectors and heads on their way to the host, and what they belong to."""

    dense: torch.Tensor | None
    launched: Any
    ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    done: torch.cuda.Event | None


class Passes:
    """Passes of one model with one prompt on one device.

    Args:
        states: the layers.
        device: where they are.
        frame: what each chunk gets around it.
        pooling: `mean` over the chunk's tokens, its frame included, or `cls`, the first; None makes no dense vectors.
        heads: makes the other outputs; None makes none.
    """

    def __init__(
        self, states: States, device: torch.device, frame: Frame, pooling: str | None, heads: Heads | None = None
    ) -> None:
        self._states = states
        self._device = device
        self._frame = frame
        self._pooling = pooling
        self._heads = heads

    @torch.inference_mode()
    def start(self, token_ids: Sequence[npt.NDArray[np.int32]]) -> Started:
        """Launches a pass over some chunks; on a GPU nothing waits for it.

        Raises:
            IndexError: a token id that the model does not know. A CPU would say so too; a GPU would be lost to the whole process.
        """
        ids, positions, offsets = pack_chunks(token_ids, self._frame)
        if ids.max() >= self._states.words:
            message = f"token id {ids.max()}: the model has {self._states.words} tokens, its tokenizer more"
            raise IndexError(message)
        pack = Pack(
            to_device(ids, self._device),
            to_device(positions, self._device),
            to_device(offsets.astype(np.int32), self._device),
            offsets.tolist(),
            int(np.diff(offsets).max()),
        )
        hidden = self._states.hidden(pack)[: offsets[-1]]
        dense = None
        if self._pooling:
            # Into pinned memory, there when the stream has come so far.
            dense = _pooled(hidden, pack.offsets, self._pooling).to("cpu", non_blocking=True)
        launched = self._heads.launch(hidden, pack.offsets) if self._heads else None
        done = None
        if self._device.type == "cuda":
            # Who waits sleeps: spinning would take a core from those that split text.
            done = cast("Any", torch.cuda.Event)(blocking=True)
            done.record(torch.cuda.current_stream(self._device))
        return Started(dense, launched, ids[: offsets[-1]], offsets, done)

    def finish(self, started: Started) -> Outputs:
        """Waits for a pass."""
        if started.done is not None:
            started.done.synchronize()
        dense = None if started.dense is None else started.dense.numpy()
        if self._heads is None:
            return Outputs(dense)
        return Outputs(dense, *self._heads.finish(started.launched, started.ids, started.offsets))


def pack_chunks(
    token_ids: Sequence[npt.NDArray[np.int32]], frame: Frame
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Ids and positions of all tokens in their frames, and offsets, shape (chunks + 1,).

    Behind the last chunk follow tokens that belong to none, so that it can be read in steps of `KEY_STEP` and all in `TOKEN_STEP`.
    """
    lengths = np.array([len(ids) + frame.tokens for ids in token_ids], np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    after_last = -int(lengths[-1]) % KEY_STEP
    behind = np.zeros(after_last + -int(offsets[-1] + after_last) % TOKEN_STEP, np.int64)
    parts = [part for ids in token_ids for part in (frame.before, ids, frame.after)]
    ids: npt.NDArray[np.int64] = np.concatenate(parts)
    positions = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + frame.first_position
    if frame.first_position:
        _skip_padding(positions, ids, offsets, frame.first_position - 1)
    return np.concatenate([ids, behind]), np.concatenate([positions, behind]), offsets


def _skip_padding(
    positions: npt.NDArray[np.int64], ids: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], padding: int
) -> None:
    """A text may hold the padding token itself, which XLM-R does not count and puts at the position of its own number."""
    is_padding = ids == padding
    if is_padding.any():
        before = np.cumsum(is_padding)
        positions -= before - np.repeat(np.concatenate([[0], before])[offsets[:-1]], np.diff(offsets))
        positions[is_padding] = padding


def to_device(numbers: npt.NDArray[np.integer], device: torch.device) -> torch.Tensor:
    """A copy on the device; to a GPU by pinned memory, without waiting."""
    tensor = torch.from_numpy(numbers)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _pooled(hidden: torch.Tensor, offsets: torch.Tensor, pooling: str) -> torch.Tensor:
    """One vector a chunk, shape (chunks, hidden size), float32, of unit length."""
    if pooling == "cls":
        return normalize(hidden[offsets[:-1]].float(), dim=-1)
    lengths = offsets.diff()
    owners = torch.repeat_interleave(lengths, output_size=len(hidden))
    sums = torch.zeros(len(lengths), hidden.shape[1], device=hidden.device)
    # The mean has the direction of the sum.
    sums.index_add_(0, owners, hidden.float())
    return normalize(sums, dim=-1)
