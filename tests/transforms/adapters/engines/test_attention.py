from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.adapters.engines.attention import (
    KEY_STEP,
    Attention,
    Pack,
    attend_by_chunk,
    attend_to_all,
    choose_attention,
)

HEADS, WIDTH = 4, 8
LENGTHS = st.lists(st.integers(1, 3 * KEY_STEP + 1), min_size=1, max_size=6)


def pack_of(lengths: list[int]) -> Pack:
    places = [0, *torch.tensor(lengths).cumsum(0).tolist()]
    tokens = places[-1] + -lengths[-1] % KEY_STEP
    zeros = torch.zeros(tokens, dtype=torch.int64)
    return Pack(zeros, zeros, torch.tensor(places, dtype=torch.int32), places, max(lengths))


def projections(pack: Pack, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(pack.ids))
    return torch.randn(len(pack.ids), 3 * HEADS * WIDTH, generator=generator).to(dtype)


def by_hand(projected: torch.Tensor) -> torch.Tensor:
    """Softmax of scaled scores over all rows, as its definition reads."""
    queries, keys, values = projected.double().view(len(projected), 3, HEADS, WIDTH).permute(1, 2, 0, 3)
    weights = (queries @ keys.transpose(1, 2) / WIDTH**0.5).softmax(-1)
    return (weights @ values).transpose(0, 1).reshape(len(projected), -1)


@given(LENGTHS)
@settings(max_examples=60, deadline=None)
def test_each_chunk_attends_to_itself_alone(lengths: list[int]) -> None:
    pack = pack_of(lengths)
    projected = projections(pack)
    mixed = attend_by_chunk(projected, pack, HEADS)
    assert mixed.shape == (len(projected), HEADS * WIDTH)
    for start, stop in pairwise(pack.places):
        torch.testing.assert_close(mixed[start:stop].double(), by_hand(projected[start:stop]), atol=2e-6, rtol=1e-5)


@given(LENGTHS, st.data())
@settings(max_examples=60, deadline=None)
def test_what_its_neighbours_hold_changes_no_bit_of_a_chunk(lengths: list[int], data: st.DataObject) -> None:
    pack = pack_of(lengths)
    chosen = data.draw(st.integers(0, len(lengths) - 1))
    mine = slice(*pack.places[chosen : chosen + 2])
    projected = projections(pack)
    poisoned = torch.full_like(projected, 1e4)
    poisoned[mine] = projected[mine]
    before, after = (attend_by_chunk(values, pack, HEADS)[mine] for values in (projected, poisoned))
    assert torch.equal(before, after)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bits_are_near(dtype: torch.dtype) -> None:
    pack = pack_of([33, 1, 47, 16])
    projected = projections(pack, dtype)
    mixed = attend_by_chunk(projected, pack, HEADS)
    assert mixed.dtype == dtype
    for start, stop in pairwise(pack.places):
        torch.testing.assert_close(mixed[start:stop].double(), by_hand(projected[start:stop]), atol=0.02, rtol=0.02)


@pytest.mark.parametrize(
    ("device", "dtype", "head_size", "capability", "expected"),
    [
        ("cuda", "bfloat16", 64, (9, 0), attend_to_all),
        ("cuda", "float16", 32, (8, 0), attend_to_all),
        # A T4, which choose_device tells to take float16.
        ("cuda", "float16", 64, (7, 5), attend_by_chunk),
        ("cuda", "float32", 64, (9, 0), attend_by_chunk),
        ("cuda", "bfloat16", 36, (9, 0), attend_by_chunk),
        ("cuda", "bfloat16", 264, (9, 0), attend_by_chunk),
        ("cpu", "bfloat16", 64, None, attend_by_chunk),
    ],
)
def test_one_kernel_serves_where_the_card_has_it(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    dtype: str,
    head_size: int,
    capability: tuple[int, int] | None,
    expected: Attention,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_attention(torch.device(device), dtype, head_size) is expected
