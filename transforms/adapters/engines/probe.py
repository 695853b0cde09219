"""How many tokens a pass should have: found by trying, in a second or two."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch

from transforms.adapters.encoders import TokenIds
from transforms.logic.outputs import Outputs

_SMALLEST = {"cpu": 2048, "cuda": 8192}
_LARGEST = {"cpu": 8192, "cuda": 524_288}
_PATIENCE_SECONDS = 1.5
_NEAR_BEST = 0.98
_CLEARLY_SLOWER = 0.9
_MEMORY_SHARE = 0.5
_COMMON_LENGTH = 160


class _Submits(Protocol):
    frame_tokens: int

    def submit(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Callable[[], Outputs]: ...


def probe_budget(engine: _Submits, most_tokens: int, device: torch.device) -> int:
    """The token budget of a pass: the smallest of those tried that comes within a few hundredths of the best rate.

    Budgets are doubled as long as the rate does not fall much, memory lasts and patience does. The passes are the warm-up too.

    Args:
        engine: the loaded engine.
        most_tokens: of one chunk, frame included.
        device: where it computes.
    """
    lengths = _lengths(min(most_tokens, 4 * _COMMON_LENGTH) - engine.frame_tokens)
    budget = _SMALLEST[device.type]
    # The first pass of a process loads kernels and libraries, which takes a GPU seconds; patience is for passes.
    _timed(engine, lengths, 1)
    start = time.perf_counter()
    _timed(engine, lengths, budget // 4)
    rates: dict[int, float] = {budget: 0.0}
    while budget <= _LARGEST[device.type] and time.perf_counter() - start < _PATIENCE_SECONDS:
        free = _free_bytes(device)
        try:
            # The first pass of a size prepares what the second finds ready.
            rates[budget] = budget / min(_timed(engine, lengths, budget) for _ in range(2))
        except torch.OutOfMemoryError:
            break
        is_slower = rates[budget] < max(rates.values()) * _CLEARLY_SLOWER
        if is_slower or _peak_bytes(device) * 2 > free * _MEMORY_SHARE:
            break
        budget *= 2
    return next(budget for budget, rate in rates.items() if rate >= max(rates.values()) * _NEAR_BEST)


def _timed(engine: _Submits, lengths: Sequence[int], budget: int) -> float:
    chosen: list[TokenIds] = []
    total = 0
    while total < budget:
        length = lengths[len(chosen) % len(lengths)]
        chosen.append(np.full(length, 5, np.int32))
        total += length + engine.frame_tokens
    start = time.perf_counter()
    engine.submit([""] * len(chosen), chosen)()
    return time.perf_counter() - start


def _lengths(most: int) -> list[int]:
    """Lengths as chunks of a corpus have them, around a common one; the same every time."""
    draws = np.random.default_rng(0).lognormal(np.log(_COMMON_LENGTH), 0.6, 64)
    return [int(length) for length in np.clip(draws, 1, max(1, most))]


def _free_bytes(device: torch.device) -> int:
    if device.type != "cuda":
        return 1 << 62
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _peak_bytes(device: torch.device) -> int:
    return 0 if device.type != "cuda" else torch.cuda.max_memory_allocated(device)
