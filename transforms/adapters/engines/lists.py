"""The checkpoint's own forward pass, for models that the packed engine does not know."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch

from transforms.adapters.encoders import Computation, Role, TokenIds, usable_cores
from transforms.adapters.engines.devices import choose_device
from transforms.adapters.engines.heads import Heads
from transforms.adapters.engines.loading import load_model
from transforms.adapters.models import ModelDescription, check_outputs
from transforms.adapters.tokenizers import ModelTokenizer
from transforms.logic.outputs import Multi, Outputs, Sparse
from transforms.logic.vectors import Float32, unit_rows

# On a CPU larger padded passes fall out of its caches; a GPU wants work, and what does not fit its memory is divided.
_BUDGET_TOKENS = {"cpu": 2048, "cuda": 16384}
# A masked language model makes a number for each token and each word of its vocabulary: at most 256 MiB of float32 in one pass.
_LOGITS = 1 << 26


class ListEngine:
    """Whatever sentence-transformers can load; chunks of like length go together, because it pads."""

    in_flight = 1
    by_length = True

    def __init__(
        self,
        model: ModelDescription,
        tokenizer: ModelTokenizer,
        prompt: str,
        computation: Computation,
        role: Role = "document",
    ) -> None:
        check_outputs(model, computation.outputs)
        device = choose_device(computation)
        self._kind = model.kind
        self._outputs = computation.outputs
        self._model = load_model(model, device, computation.dtype).eval()
        self._heads = (
            Heads(model, device, computation.dtype, self._outputs)
            if model.heads and self._outputs != ("dense",)
            else None
        )
        self._prompt = prompt
        self._role = role
        before, after = tokenizer.frame()
        self.frame_tokens = len(before) + len(after) + len(tokenizer.ids(prompt))
        self.budget_tokens = computation.budget_tokens or _BUDGET_TOKENS[device.type]
        if model.kind == "SparseEncoder" and model.hidden_size:
            self.budget_tokens = min(self.budget_tokens, _LOGITS // len(self._model.tokenizer))
        if device.type == "cpu":
            torch.set_num_threads(computation.threads or usable_cores())

    def submit(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Callable[[], Outputs]:
        """The ids are not read: the model tokenises prompt and text itself."""
        del token_ids
        if self._kind == "SparseEncoder":
            outputs = Outputs(sparse=self._sparse(texts))
        elif self._kind == "MultiVectorEncoder":
            outputs = Outputs(multi=self._multi(texts))
        elif self._heads is not None:
            outputs = self._with_heads(self._heads, texts)
        else:
            outputs = Outputs(unit_rows(np.asarray(self._encode(texts), np.float32)))
        return lambda: outputs

    def _encode(self, texts: Sequence[str], **settings: Any) -> Any:
        return self._model.encode(
            list(texts),
            prompt=self._prompt,
            task=self._role,
            batch_size=len(texts),
            show_progress_bar=False,
            **settings,
        )

    @torch.inference_mode()
    def _forward(self, texts: Sequence[str]) -> Mapping[str, torch.Tensor]:
        """What the modules made of the texts in one pass, in order, padded."""
        features = self._model.preprocess(list(texts), prompt=self._prompt, task=self._role)
        on_device = {
            name: value.to(self._model.device) if isinstance(value, torch.Tensor) else value
            for name, value in features.items()
        }
        return cast("Mapping[str, torch.Tensor]", self._model(on_device, task=self._role))

    def _sparse(self, texts: Sequence[str]) -> Sparse:
        """The numbers that are not 0 of the model's [texts, vocabulary] matrix; the library makes it, `encode` would stack its rows."""
        scores = self._forward(texts)["sentence_embedding"].float()
        if self._model.max_active_dims is not None:
            kept = scores.topk(min(self._model.max_active_dims, scores.shape[1]), dim=1).indices
            scores = torch.zeros_like(scores).scatter_(1, kept, scores.gather(1, kept))
        rows, columns = (part.cpu().numpy() for part in scores.nonzero(as_tuple=True))
        offsets = np.searchsorted(rows, np.arange(len(texts) + 1))
        return Sparse(offsets.astype(np.int64), columns.astype(np.int32), scores[scores != 0].cpu().numpy())

    def _multi(self, texts: Sequence[str]) -> Multi:
        vectors: list[Float32] = self._encode(texts, convert_to_numpy=True)
        offsets = np.cumsum([0, *(len(of_text) for of_text in vectors)], dtype=np.int64)
        return Multi(offsets, unit_rows(np.concatenate(vectors).astype(np.float32, copy=False)))

    def _with_heads(self, heads: Heads, texts: Sequence[str]) -> Outputs:
        features = self._forward(texts)
        mask = features["attention_mask"].bool()
        offsets = torch.nn.functional.pad(mask.sum(dim=1).cumsum(0), (1, 0))
        launched = heads.launch(features["token_embeddings"][mask], offsets)
        dense = None
        if "dense" in self._outputs:
            dense = unit_rows(features["sentence_embedding"].float().cpu().numpy())
        # This copy waits for the stream, and so for all that was launched before it.
        ids = features["input_ids"][mask].cpu().numpy()
        return Outputs(dense, *heads.finish(launched, ids, offsets.cpu().numpy()))
