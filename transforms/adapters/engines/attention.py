"""Attention within each chunk of a pack, one after another or all in one kernel.

A pack is chunks end to end, with the place where each begins. Both ways give what attention over each chunk alone gives, as long as the
numbers are finite: chunk by chunk, a NaN reaches the chunk before it too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import cast

import torch
from torch.nn.functional import scaled_dot_product_attention

KEY_STEP = 16
"""On a CPU keys are read in steps of so many: a remainder is computed one by one, which makes 127 keys twice as slow as 128."""


@dataclass(frozen=True)
class Pack:
    """Chunks end to end, and behind them tokens that belong to none, so that the last can be read in steps of `KEY_STEP`.

    Attributes:
        ids: shape (tokens,), int64.
        positions: shape (tokens,), int64, counted in each chunk as the model counts.
        offsets: shape (chunks + 1,), int32, on the device: chunk i has the tokens `offsets[i]` to `offsets[i + 1]`.
        places: the same numbers on the host.
        longest: tokens of the longest chunk.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    offsets: torch.Tensor
    places: list[int]
    longest: int


Attention = Callable[[torch.Tensor, Pack, int], torch.Tensor]
"""(queries, keys and values of all tokens, shape (tokens, 3 * hidden size); the pack; heads) to (tokens, hidden size)."""

# Of FlashAttention, as torch builds it (aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp).
_FLASH_CAPABILITY = (8, 0)
_FLASH_HEAD_STEP, _FLASH_MOST_OF_HEAD = 8, 256


def choose_attention(device: torch.device, dtype: str, head_size: int) -> Attention:
    """All in one kernel where the device has one for this number type and size of a head, else chunk by chunk."""
    fits = head_size % _FLASH_HEAD_STEP == 0 and head_size <= _FLASH_MOST_OF_HEAD
    if device.type != "cuda" or dtype == "float32" or not fits:
        return attend_by_chunk
    has_kernel = torch.cuda.get_device_capability(device) >= _FLASH_CAPABILITY
    return attend_to_all if has_kernel else attend_by_chunk


def attend_by_chunk(projected: torch.Tensor, pack: Pack, heads: int) -> torch.Tensor:
    """Chunk by chunk. Keys run on into the next chunk up to a multiple of `KEY_STEP`, where a mask gives them no weight."""
    tokens = len(projected)
    queries, keys, values = projected.view(tokens, 3, heads, -1).permute(1, 2, 0, 3).unsqueeze(1)
    mixed = projected.new_empty(tokens, heads, queries.shape[-1])
    # What stands behind the last chunk is read by its attention in the next layer: whatever it is, it has to be finite.
    mixed[pack.places[-1] :] = 0
    for start, stop in pairwise(pack.places):
        beyond = -(stop - start) % KEY_STEP
        read = slice(start, stop + beyond)
        mask = _mask(stop - start, beyond, projected.dtype, projected.device) if beyond else None
        chunk = scaled_dot_product_attention(queries[:, :, start:stop], keys[:, :, read], values[:, :, read], mask)
        mixed[start:stop] = chunk[0].transpose(0, 1)
    return mixed.view(tokens, -1)


def attend_to_all(projected: torch.Tensor, pack: Pack, heads: int) -> torch.Tensor:
    """All chunks in one kernel (FlashAttention over variable lengths), which computes in 16 bits only."""
    # With it comes torch's compiler, which takes more than a second: no worker without a GPU needs it.
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415

    tokens = len(projected)
    queries, keys, values = projected.view(tokens, 3, heads, -1).unbind(1)
    offsets, longest = pack.offsets, pack.longest
    mixed = varlen_attn(queries, keys, values, offsets, offsets, longest, longest)
    return cast("torch.Tensor", mixed).reshape(tokens, -1)


@cache
def _mask(length: int, beyond: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """What is added to the scores of one query: nothing for `length` keys, minus infinity for those beyond."""
    mask = torch.zeros(1, 1, 1, length + beyond, dtype=dtype, device=device)
    mask[..., length:] = -torch.inf
    return mask
