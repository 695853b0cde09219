import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from transforms.adapters.encoders import TokenIds
from transforms.adapters.engines.probe import probe_budget
from transforms.logic.outputs import Outputs

CPU = torch.device("cpu")


class Clocked:
    """An engine on a clock of its own: `seconds` of a pass of so many tokens; memory for `capacity` tokens."""

    frame_tokens = 4

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int], float], capacity: int = 1 << 30
    ) -> None:
        self.now = 0.0
        self.sizes: list[int] = []
        self.longest = 0
        self._seconds = seconds
        self._capacity = capacity
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def submit(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Callable[[], Outputs]:
        assert len(texts) == len(token_ids)
        tokens = sum(len(ids) + self.frame_tokens for ids in token_ids)
        if tokens > self._capacity:
            raise torch.OutOfMemoryError("out of memory")
        self.sizes.append(tokens)
        self.longest = max(self.longest, *(len(ids) + self.frame_tokens for ids in token_ids))
        self.now += self._seconds(tokens)
        return lambda: Outputs(np.ones((len(texts), 1), np.float32))


def test_the_smallest_budget_near_the_best_rate_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    # A fixed cost that 4,096 tokens make small, and nothing to be gained beyond.
    engine = Clocked(monkeypatch, lambda tokens: (tokens + (900 if tokens < 4000 else 0)) / 1e6)
    assert probe_budget(engine, 512, CPU) == 4096


def test_a_rate_that_falls_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Clocked(monkeypatch, lambda tokens: tokens * (2.0 if tokens > 3000 else 1.0) / 1e6)
    assert probe_budget(engine, 512, CPU) == 2048
    assert max(engine.sizes) < 6000


def test_patience_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Clocked(monkeypatch, lambda tokens: tokens / 100)
    assert probe_budget(engine, 512, CPU) == 2048
    assert max(engine.sizes) < 2048


def test_what_the_first_pass_loads_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Clocked(
        monkeypatch, lambda tokens: (tokens + (900 if tokens < 4000 else 0)) / 1e6 + 20 * (not engine.sizes[1:])
    )
    assert probe_budget(engine, 512, CPU) == 4096


def test_memory_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Clocked(monkeypatch, lambda tokens: 1e-6 * tokens**0.5, capacity=5000)
    assert probe_budget(engine, 512, CPU) == 4096


def test_no_chunk_is_longer_than_the_model_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Clocked(monkeypatch, lambda tokens: tokens / 1e6)
    probe_budget(engine, 64, CPU)
    assert engine.longest <= 64
