import numpy as np
import pytest

from transforms.logic.forecast_intervals import Estimate, exactly
from transforms.logic.forecast_repeats import repeats

CONFIDENCE = 0.95


def test_all_rows_are_counted() -> None:
    assert repeats([[1, 2, 2], [3, 1]], exactly(5), CONFIDENCE, complete=True) == Estimate(2, 2, 2)
    assert repeats([], exactly(0), CONFIDENCE, complete=True) == exactly(0)


def test_a_sample_without_a_repeat_tells_how_many_it_may_have_missed() -> None:
    groups = [[number] for number in range(1000)]
    few = repeats(groups, exactly(2000), CONFIDENCE, complete=False)
    # Of 15 pairs, each of which shows with a chance of a quarter, one shows nearly always.
    assert (few.value, few.low) == (0, 0)
    assert few.high == pytest.approx(3.69 / 0.25, abs=0.01)
    assert repeats(groups, exactly(10**6), CONFIDENCE, complete=False).high == 10**6 / 2


@pytest.mark.parametrize("times", [2, 4])
def test_of_contents_that_come_equally_often_no_more_repeats_are_claimed_than_there_are(times: int) -> None:
    true = 20_000 - 20_000 // times
    for seed in range(20):
        rows = np.random.default_rng(seed).permutation(np.repeat(np.arange(20_000 // times), times))
        groups = [group.tolist() for group in np.array_split(rows[:4000], 100)]
        estimate = repeats(groups, exactly(20_000), CONFIDENCE, complete=False)
        assert estimate.low <= estimate.value <= true <= estimate.high


def test_few_repeats_among_contents_that_are_there_once_are_not_taken_for_many() -> None:
    """One row in twenty repeats another: four hundred contents are there three times or four."""
    found = []
    for seed in range(20):
        rows = np.concatenate([np.arange(18_600), 18_600 + np.arange(1400) % 400])
        groups = [group.tolist() for group in np.array_split(np.random.default_rng(seed).permutation(rows)[:3000], 50)]
        estimate = repeats(groups, exactly(20_000), CONFIDENCE, complete=False)
        assert estimate.low <= 1000 <= estimate.high
        found.append(estimate.value)
    assert np.mean(found) == pytest.approx(1000, rel=0.6)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
def test_footers_do_not_make_contents_rare_that_are_there_once(share: float) -> None:
    """Half of the rows are there once, half are ten footers."""
    rows = np.random.default_rng(1).permutation(np.concatenate([np.arange(10_000), 10_000 + np.arange(10_000) % 10]))
    groups = [group.tolist() for group in np.array_split(rows[: int(share * 20_000)], 50)]
    estimate = repeats(groups, exactly(20_000), CONFIDENCE, complete=False)
    assert estimate.value == pytest.approx(9_990, rel=0.05)
    assert estimate.low <= 9_990 <= estimate.high


def test_of_a_mixture_the_interval_holds_what_both_ways_say() -> None:
    """A third of the rows is there once, the others some thirty times each."""
    rows = np.concatenate([np.arange(10_000), 10_000 + np.arange(20_000) % 700])
    groups = [group.tolist() for group in np.array_split(np.random.default_rng(2).permutation(rows)[:3000], 50)]
    estimate = repeats(groups, exactly(30_000), CONFIDENCE, complete=False)
    assert estimate.low <= 19_300 <= estimate.high


def test_what_was_seen_is_the_least() -> None:
    estimate = repeats([["footer"] * 50, list(range(50))], exactly(200), CONFIDENCE, complete=False)
    assert estimate.low >= 49
