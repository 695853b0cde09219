"""The pure parts of the benchmark; its speeds are shown, never asserted."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.encode import flops, render, timed


def test_arithmetic_is_counted_by_hand(tmp_path: Path) -> None:
    config = {"hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 3}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = 3 * (4 * 4 * 4 + 2 * 4 * 8)
    assert flops(str(tmp_path), [5]) == 2 * weights * 5 + 3 * 4 * 4 * 5 * 5
    assert flops(str(tmp_path), [5, 7]) == flops(str(tmp_path), [5]) + flops(str(tmp_path), [7])


def test_the_table_shows_ratios_to_stock_and_to_the_limit() -> None:
    result = {
        "threads": 1,
        "gemm": 100e9,
        "flops": 200e9,
        "tokens": 4000,
        "chunks": 40,
        "seconds": {"stock float32, 32 a batch": 20.0, "packed bfloat16": 4.0},
        "cosine": {"stock float32, 32 a batch": 1.0, "packed bfloat16": 0.99997},
        "other_load": {"stock float32, 32 a batch": 0.0, "packed bfloat16": 0.25},
    }
    title, header, stock, packed = render(result).splitlines()
    assert title == "1 thread: 40 chunks, 4,000 tokens; the limit, one bfloat16 product: 100 GFLOP/s"
    assert len({len(line) for line in (header, stock, packed)}) == 1
    assert stock.endswith("       200     1.0 x       10          0.10   1.00000        0.00")
    assert packed.endswith("     1,000     5.0 x       50          0.50   0.99997        0.25")


@pytest.mark.parametrize(("most_seconds", "times"), [(0.0, 1), (3600.0, 3)])
def test_a_slow_contender_goes_once(most_seconds: float, times: int) -> None:
    given = [np.full(1, number, np.float32) for number in range(3)]
    waiting = iter(given)
    seconds, last = timed(lambda: next(waiting), 3, most_seconds)
    assert len(seconds) == times
    assert last is given[times - 1]
