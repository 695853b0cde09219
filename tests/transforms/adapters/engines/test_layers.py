from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

from transforms.adapters.engines import layers
from transforms.adapters.engines.attention import KEY_STEP, Pack, attend_by_chunk
from transforms.adapters.engines.layers import Layers

LENGTHS = (5, 40, 1, 17)
PADDING = 1
SIZES: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
}


def build(kind: str, **changes: Any) -> tuple[Any, int]:
    torch.manual_seed(0)
    if kind == "bert":
        return BertModel(BertConfig(**{**SIZES, **changes}), add_pooling_layer=False).eval(), 0
    config = XLMRobertaConfig(**{**SIZES, "type_vocab_size": 1, "pad_token_id": PADDING, **changes})
    return XLMRobertaModel(config, add_pooling_layer=False).eval(), PADDING + 1


def pack_of(first_position: int) -> Pack:
    generator = torch.Generator().manual_seed(1)
    places = [0, *torch.tensor(LENGTHS).cumsum(0).tolist()]
    behind = -LENGTHS[-1] % KEY_STEP
    ids = torch.randint(5, 100, (places[-1] + behind,), generator=generator)
    positions = torch.cat([*(torch.arange(length) + first_position for length in LENGTHS), torch.zeros(behind)]).long()
    return Pack(ids, positions, torch.tensor(places, dtype=torch.int32), places, max(LENGTHS))


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
@pytest.mark.parametrize("activation", ["gelu", "relu", "gelu_new"])
@torch.inference_mode()
def test_float32_states_are_those_of_the_models_own_forward_pass(kind: str, activation: str) -> None:
    model, first_position = build(kind, hidden_act=activation)
    pack = pack_of(first_position)
    states = Layers(model, attend_by_chunk, 64).hidden(pack)
    for start, stop in zip(pack.places, pack.places[1:], strict=False):
        own = model(input_ids=pack.ids[None, start:stop]).last_hidden_state[0]
        torch.testing.assert_close(states[start:stop], own, atol=2e-5, rtol=1e-4)


@torch.inference_mode()
def test_fused_products_give_what_plain_ones_give(monkeypatch: pytest.MonkeyPatch) -> None:
    model, first_position = build("bert")
    exact = Layers(model, attend_by_chunk, 64).hidden(pack_of(first_position))
    model = model.to(torch.bfloat16)
    fused = Layers(model, attend_by_chunk, 64)
    monkeypatch.setattr(layers, "_can_fuse", lambda _: False)
    plain = Layers(model, attend_by_chunk, 64)
    found = [made.hidden(pack_of(first_position)).float() for made in (fused, plain)]
    for states in found:
        assert torch.nn.functional.cosine_similarity(states, exact, dim=-1).min() > 0.999


def test_nothing_is_fused_but_bfloat16_on_a_cpu() -> None:
    assert not layers._can_fuse(torch.zeros(2, 2))
    assert not layers._can_fuse(torch.zeros(2, 2, dtype=torch.bfloat16, device="meta"))
