"""The layers of a BERT or XLM-R checkpoint over a pack of tokens.

Post-norm encoder layers (Devlin et al. 2019, arXiv:1810.04805; Conneau et al. 2020, arXiv:1911.02116), whose weights are taken from the
checkpoint as transformers loaded it. What is gained over its own forward pass: queries, keys and values come from one product; on a CPU
that oneDNN serves in bfloat16, weights are laid out for it once, and it adds bias, residual and activation as it writes each product.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import embedding, gelu, layer_norm, linear
from transformers.activations import ACT2FN

from transforms.adapters.engines.attention import Attention, Pack

Tensor = torch.Tensor
_ONEDNN: Any = torch.ops.mkldnn


class Layers:
    """Embeddings and layers of `BertModel` or `XLMRobertaModel`, on the device and in the number type of its weights."""

    def __init__(self, model: Any, attend: Attention, rows: int) -> None:
        """Takes the loaded model, of which only weights are kept, and how many tokens a pack commonly has."""
        own = model.embeddings
        self._words = own.word_embeddings.weight.detach()
        self.words = len(self._words)
        # Every token is of the first type, so that its vector is a part of the position's.
        self._positions = (own.position_embeddings.weight + own.token_type_embeddings.weight[0]).detach()
        self._norm = _norm_of(own.LayerNorm)
        self._layers = [_Layer(layer, model.config, attend, rows) for layer in model.encoder.layer]

    def hidden(self, pack: Pack) -> Tensor:
        """Last hidden states, shape (tokens, hidden size), also of the tokens behind the last chunk."""
        states = self._norm(embedding(pack.ids, self._words) + embedding(pack.positions, self._positions))
        for layer in self._layers:
            states = layer(states, pack)
        return states


class _Layer:
    def __init__(self, layer: Any, config: Any, attend: Attention, rows: int) -> None:
        own = layer.attention.self
        self._attend = attend
        self._heads: int = config.num_attention_heads
        parts = (own.query, own.key, own.value)
        self._project = _linear(
            torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts]), rows
        )
        self._mix = _linear(*_weights(layer.attention.output.dense), rows)
        self._mix_norm = _norm_of(layer.attention.output.LayerNorm)
        self._widen = _linear(*_weights(layer.intermediate.dense), rows)
        # The exact form is fused with the product where that is possible; any other is computed as transformers does.
        self._activation: Callable[[Tensor], Tensor] | None = (
            None if config.hidden_act == "gelu" else ACT2FN[config.hidden_act]
        )
        self._narrow = _linear(*_weights(layer.output.dense), rows)
        self._narrow_norm = _norm_of(layer.output.LayerNorm)

    def __call__(self, states: Tensor, pack: Pack) -> Tensor:
        mixed = self._attend(self._project.plain(states), pack, self._heads)
        states = self._mix_norm(self._mix.added(mixed, states))
        widened = self._widen.gelu(states) if self._activation is None else self._activation(self._widen.plain(states))
        return self._narrow_norm(self._narrow.added(widened, states))


class _Linear:
    """x W^T + b, and what may follow it; by torch's public functions, on any device."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight, bias

    def plain(self, states: Tensor) -> Tensor:
        return linear(states, self._weight, self._bias)

    def gelu(self, states: Tensor) -> Tensor:
        return gelu(self.plain(states))

    def added(self, states: Tensor, residual: Tensor) -> Tensor:
        return self.plain(states) + residual


class _FusedLinear(_Linear):
    """The same by oneDNN's fused operators, which torch's own compiler uses (`torch._inductor.fx_passes.mkldnn_fusion`)."""

    def __init__(self, weight: Tensor, bias: Tensor, rows: int) -> None:
        super().__init__(_ONEDNN._reorder_linear_weight(weight, rows), bias)  # noqa: SLF001  torch names none of them publicly
        self._fused = _ONEDNN._linear_pointwise  # noqa: SLF001

    def plain(self, states: Tensor) -> Tensor:
        result: Tensor = self._fused(states, self._weight, self._bias, "none", [], "")
        return result

    def gelu(self, states: Tensor) -> Tensor:
        result: Tensor = self._fused(states, self._weight, self._bias, "gelu", [], "none")
        return result

    def added(self, states: Tensor, residual: Tensor) -> Tensor:
        result: Tensor = self._fused.binary(states, residual, self._weight, self._bias, "add")
        return result


def _linear(weight: Tensor, bias: Tensor, rows: int) -> _Linear:
    weight, bias = weight.detach().contiguous(), bias.detach().contiguous()
    return _FusedLinear(weight, bias, rows) if _can_fuse(weight) else _Linear(weight, bias)


def _can_fuse(weight: Tensor) -> bool:
    """Whether oneDNN has these operators in this build of torch, and bfloat16 on this machine."""
    there = all(
        hasattr(_ONEDNN, name) for name in ("_linear_pointwise", "_reorder_linear_weight", "_is_mkldnn_bf16_supported")
    )
    wanted = weight.device.type == "cpu" and weight.dtype == torch.bfloat16
    return there and wanted and bool(_ONEDNN._is_mkldnn_bf16_supported())  # noqa: SLF001


def _weights(module: Any) -> tuple[Tensor, Tensor]:
    return module.weight, module.bias


def _norm_of(module: Any) -> Callable[[Tensor], Tensor]:
    weight, bias, epsilon = module.weight.detach(), module.bias.detach(), module.eps
    return lambda states: layer_norm(states, weight.shape, weight, bias, epsilon)
