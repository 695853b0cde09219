"""The padding-free engine: BERT and XLM-R families, mean or CLS pooling, and the heads of BGE-M3.

Chunks lie end to end and attention runs within each, so nothing is padded and nothing has to be sorted. On a CPU each pass has one
thread, and as many passes run at once as there are threads: small products share no work well. On a GPU three stages overlap: while
one pass computes, the next is packed into pinned memory and queued, and the outputs of the one before are copied back.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize

from transforms.adapters.encoders import FIRST_POSITION, Computation, TokenIds
from transforms.adapters.engines.attention import KEY_STEP, Pack, attend_by_chunk, attend_to_all
from transforms.adapters.engines.devices import choose_device, to_device, to_host
from transforms.adapters.engines.heads import Heads, Launched
from transforms.adapters.engines.layers import Layers
from transforms.adapters.engines.loading import load_model
from transforms.adapters.engines.probe import probe_budget
from transforms.adapters.models import ModelDescription
from transforms.adapters.tokenizers import ModelTokenizer
from transforms.logic.outputs import Outputs

_COMMON_TOKENS = {"cpu": 4096, "cuda": 32768}
_IN_FLIGHT_ON_GPU = 3


class _Started(NamedTuple):
    """A pass that was launched: dense vectors and heads on their way to the host, and what they belong to."""

    dense: torch.Tensor | None
    heads: Launched | None
    ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    done: torch.cuda.Event | None


class PackedEngine:
    """A BERT or XLM-R checkpoint with one prompt."""

    by_length = False

    def __init__(
        self, model: ModelDescription, tokenizer: ModelTokenizer, prompt: str, computation: Computation
    ) -> None:
        self._device = choose_device(computation)
        on_gpu = self._device.type == "cuda"
        self._outputs = computation.outputs
        # FlashAttention has no float32; a GPU in float32 is asked for where exactness counts, not speed.
        attend = attend_to_all if on_gpu and computation.dtype != "float32" else attend_by_chunk
        loaded = cast("Any", load_model(model, self._device, computation.dtype)[0]).auto_model.eval()
        self._layers = Layers(loaded, attend, _COMMON_TOKENS[self._device.type])
        needs_heads = set(computation.outputs) - {"dense"}
        self._heads = Heads(model, self._device, computation.dtype, computation.outputs) if needs_heads else None
        self._mean = model.pooling == "mean"
        self._first_position = FIRST_POSITION[model.model_type]
        before, after = tokenizer.frame()
        self._before = np.array([*before, *tokenizer.ids(prompt)], np.int64)
        self._after = np.array(after, np.int64)
        self.frame_tokens = len(self._before) + len(self._after)
        threads = computation.threads or len(os.sched_getaffinity(0))
        self.in_flight = _IN_FLIGHT_ON_GPU if on_gpu else threads
        self._pool = None if on_gpu else ThreadPoolExecutor(threads, "pass", torch.set_num_threads, (1,))
        self.budget_tokens = probe_budget(self, model.max_sequence_tokens, self._device)

    def submit(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Callable[[], Outputs]:
        """Only the ids are read."""
        del texts
        if self._pool is not None:
            return self._pool.submit(lambda: self._finish(self._start(token_ids))).result
        started = self._start(token_ids)
        return lambda: self._finish(started)

    @torch.inference_mode()
    def _start(self, token_ids: Sequence[TokenIds]) -> _Started:
        """Launches a pass; on a GPU nothing waits for it."""
        ids, positions, offsets = self._pack(token_ids)
        count = int(offsets[-1])
        pack = Pack(
            to_device(ids, self._device),
            to_device(positions, self._device),
            to_device(offsets.astype(np.int32), self._device),
            offsets.tolist(),
            int(np.diff(offsets).max()),
        )
        hidden = self._layers.hidden(pack)[:count]
        dense = to_host(self._pooled(hidden, pack)) if "dense" in self._outputs else None
        heads = self._heads.launch(hidden, pack.offsets) if self._heads else None
        done = None
        if self._device.type == "cuda":
            done = cast("Any", torch.cuda.Event)()
            done.record(torch.cuda.current_stream(self._device))
        return _Started(dense, heads, ids[:count], offsets, done)

    def _finish(self, started: _Started) -> Outputs:
        if started.done is not None:
            started.done.synchronize()
        dense = None if started.dense is None else started.dense.numpy()
        if self._heads is None or started.heads is None:
            return Outputs(dense)
        return Outputs(dense, *self._heads.finish(started.heads, started.ids, started.offsets))

    def _pack(
        self, token_ids: Sequence[TokenIds]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Ids and positions of all tokens, frames included and some behind the last that belong to no chunk; and the offsets."""
        lengths = np.array([len(ids) + self.frame_tokens for ids in token_ids], np.int64)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        behind = np.zeros(-int(lengths[-1]) % KEY_STEP, np.int64)
        parts = [part for ids in token_ids for part in (self._before, ids, self._after)]
        positions = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + self._first_position
        return np.concatenate([*parts, behind]), np.concatenate([positions, behind]), offsets

    def _pooled(self, hidden: torch.Tensor, pack: Pack) -> torch.Tensor:
        """One vector a chunk, shape (chunks, hidden size), float32, of unit length."""
        if not self._mean:
            return normalize(hidden[pack.offsets[:-1]].float(), dim=-1)
        lengths = pack.offsets.diff()
        owners = torch.repeat_interleave(lengths, output_size=len(hidden))
        sums = torch.zeros(len(lengths), hidden.shape[1], device=hidden.device)
        sums.index_add_(0, owners, hidden.float())
        return normalize(sums, dim=-1)
