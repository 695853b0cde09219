"""The forward passes.

`PackedEncoder` replaces the forward pass of models it knows (BERT and XLM-R families, mean or CLS pooling): chunks lie end to end
in one row and attention runs per chunk, so nothing is padded and nothing has to be sorted. Every other checkpoint that
sentence-transformers can load goes through its own forward pass, in token-budget lists.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.utils.logging import disable_progress_bar

from transforms.adapters.encoders import FIRST_POSITION
from transforms.adapters.models import ModelDescription
from transforms.adapters.tokenizers import ModelTokenizer
from transforms.logic.packing import token_budget_ranges
from transforms.logic.vectors import Float32, unit_rows

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
_ATTENTION = "corpus_embed_packed"
# Larger batches fall out of the CPU's caches: 2,048 to 4,096 tokens were fastest on two Zen 5 cores.
_BUDGET_TOKENS = 4096


def _load(model: ModelDescription, dtype: str, **model_settings: Any) -> SentenceTransformer:
    disable_progress_bar()
    return SentenceTransformer(
        model.directory,
        device="cpu",
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": DTYPES[dtype], "use_safetensors": True, **model_settings},
    )


class PackedEncoder:
    """Padding-free forward pass of a BERT or XLM-R checkpoint on the CPU."""

    def __init__(self, model: ModelDescription, tokenizer: ModelTokenizer, prompt: str, dtype: str) -> None:
        AttentionInterface.register(_ATTENTION, _attend_per_chunk)
        AttentionMaskInterface.register(_ATTENTION, _no_mask)
        transformer = _load(model, dtype, attn_implementation=_ATTENTION)[0]
        self._forward = cast("Any", transformer).auto_model.eval()
        self._mean = model.pooling == "mean"
        self._first_position = FIRST_POSITION[model.model_type]
        before, after = tokenizer.frame()
        self._before = [*before, *tokenizer.ids(prompt)]
        self._after = after
        self.dimensions = model.dimensions

    def encode(self, texts: Sequence[str], token_ids: Sequence[Sequence[int]]) -> Float32:
        """Vectors (n, dimensions) float32 of unit length, in order; only the ids are read."""
        del texts
        vectors = np.empty((len(token_ids), self.dimensions), np.float32)
        frame = len(self._before) + len(self._after)
        lengths = [len(ids) + frame for ids in token_ids]
        for batch in token_budget_ranges(lengths, _BUDGET_TOKENS):
            vectors[batch.start : batch.stop] = self._encode_packed([token_ids[index] for index in batch])
        return unit_rows(vectors)

    def _encode_packed(self, token_ids: Sequence[Sequence[int]]) -> Float32:
        chunks = [[*self._before, *ids, *self._after] for ids in token_ids]
        lengths = np.array([len(chunk) for chunk in chunks])
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        positions = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + self._first_position
        with torch.inference_mode():
            hidden = self._forward(
                input_ids=torch.from_numpy(np.concatenate(chunks).astype(np.int64))[None],
                position_ids=torch.from_numpy(positions)[None],
                cu_seq_lens_q=offsets.tolist(),
            ).last_hidden_state[0]
            if not self._mean:
                return cast("Float32", hidden[torch.from_numpy(offsets[:-1])].float().numpy())
            owner = torch.from_numpy(np.repeat(np.arange(len(chunks)), lengths))
            sums = torch.zeros(len(chunks), self.dimensions).index_add_(0, owner, hidden.float())
            return cast("Float32", (sums / torch.from_numpy(lengths)[:, None]).numpy())


class ListEncoder:
    """The checkpoint's own forward pass, fed lists of about one token budget in order of token count."""

    def __init__(self, model: ModelDescription, prompt: str, dtype: str) -> None:
        self._model = _load(model, dtype)
        self._prompt = prompt
        self.dimensions = model.dimensions

    def encode(self, texts: Sequence[str], token_ids: Sequence[Sequence[int]]) -> Float32:
        """Vectors (n, dimensions) float32 of unit length, in order; the ids only tell how long each text is."""
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        order = sorted(range(len(texts)), key=lambda index: (len(token_ids[index]), index))
        for batch in token_budget_ranges([len(token_ids[index]) for index in order], _BUDGET_TOKENS):
            chosen = [order[place] for place in batch]
            encoded = self._model.encode(
                [texts[index] for index in chosen], prompt=self._prompt, batch_size=len(chosen), show_progress_bar=False
            )
            vectors[chosen] = np.asarray(encoded, np.float32)
        return unit_rows(vectors)


def _attend_per_chunk(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    cu_seq_lens_q: Sequence[int],
    scaling: float | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot product attention within each chunk; all of shape (1, heads, tokens, head dimensions)."""
    del module, attention_mask, settings
    out = torch.empty_like(query)
    for start, stop in pairwise(cu_seq_lens_q):
        part = slice(start, stop)
        out[:, :, part] = torch.nn.functional.scaled_dot_product_attention(
            query[:, :, part], key[:, :, part], value[:, :, part], scale=scaling
        )
    return out.transpose(1, 2), None


def _no_mask(*_: Any, **__: Any) -> None:
    """Chunk borders are given by offsets, so no mask is built."""
