"""The padding-free engine: BERT and XLM-R families, mean or CLS pooling, and the heads of BGE-M3."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import torch

from transforms.adapters.encoders import FIRST_POSITION, Computation, TokenIds, usable_cores
from transforms.adapters.engines.attention import choose_attention
from transforms.adapters.engines.devices import choose_device
from transforms.adapters.engines.heads import Heads
from transforms.adapters.engines.layers import Layers
from transforms.adapters.engines.loading import load_model
from transforms.adapters.engines.passes import Frame, Passes
from transforms.adapters.engines.probe import probe_budget
from transforms.adapters.models import ModelDescription
from transforms.adapters.tokenizers import ModelTokenizer
from transforms.logic.outputs import Outputs

_COMMON_TOKENS = {"cpu": 4096, "cuda": 32768}
_IN_FLIGHT_ON_GPU = 3


class PackedEngine:
    """A checkpoint with one prompt.

    On a CPU each pass has one thread, and as many passes run at once as there are threads: the products are too small to be shared
    well. On a GPU passes are queued.
    """

    by_length = False

    def __init__(
        self, model: ModelDescription, tokenizer: ModelTokenizer, prompt: str, computation: Computation
    ) -> None:
        device = choose_device(computation)
        on_gpu = device.type == "cuda"
        loaded = cast("Any", load_model(model, device, computation.dtype)[0]).auto_model.eval()
        head_size = loaded.config.hidden_size // loaded.config.num_attention_heads
        attend = choose_attention(device, computation.dtype, head_size)
        layers = Layers(loaded, attend, _COMMON_TOKENS[device.type])
        outputs = computation.outputs
        heads = Heads(model, device, computation.dtype, outputs) if set(outputs) - {"dense"} else None
        before, after = tokenizer.frame()
        frame = Frame(
            np.array([*before, *tokenizer.ids(prompt)], np.int64),
            np.array(after, np.int64),
            FIRST_POSITION[model.model_type],
        )
        self._passes = Passes(layers, device, frame, model.pooling if "dense" in outputs else None, heads)
        self.frame_tokens = frame.tokens
        threads = computation.threads or usable_cores()
        self.in_flight = _IN_FLIGHT_ON_GPU if on_gpu else threads
        self._pool = None if on_gpu else ThreadPoolExecutor(threads, "pass", torch.set_num_threads, (1,))
        self.budget_tokens = computation.budget_tokens or probe_budget(self, model.max_sequence_tokens, device)

    def submit(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Callable[[], Outputs]:
        """Only the ids are read."""
        del texts
        if self._pool is not None:
            return self._pool.submit(lambda: self._passes.finish(self._passes.start(token_ids))).result
        started = self._passes.start(token_ids)
        return lambda: self._passes.finish(started)
