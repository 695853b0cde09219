"""The script for a card runs here too, on a tiny model: packed vectors equal stock ones."""

import re

import numpy as np
import pytest

from benchmarks.gpu import SHAPES, batches, draw_chunks, main


@pytest.mark.filterwarnings("ignore")
def test_the_script_runs_without_a_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--shapes", "tiny", "--device", "cpu", "--chunks", "40", "--budgets", "1024", "--no-stock"]) == 0
    cosine = re.search(r"packed, 1,024 tokens.* ([01]\.\d{5})\n", capsys.readouterr().out)
    assert cosine is not None
    assert float(cosine[1]) > 0.999


def test_batches_hold_every_chunk_once_within_the_budget() -> None:
    chunks = draw_chunks(50)
    found = batches(chunks, 1500)
    assert all(sum(len(chunk) + 2 for chunk in batch) <= 1500 for batch in found)
    assert [chunk.tolist() for batch in found for chunk in batch] == [chunk.tolist() for chunk in chunks]


def test_arithmetic_of_e5_small_is_that_of_its_published_size() -> None:
    # 12 layers of 4 * 384^2 + 2 * 384 * 1536 weights.
    assert SHAPES["e5-small"].weights == 21_233_664
    assert SHAPES["e5-small"].flops([1]) == 2 * 21_233_664 + 4 * 12 * 384
    assert np.isclose(SHAPES["bge-m3"].weights, 302e6, rtol=0.01)
