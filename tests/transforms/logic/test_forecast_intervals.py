import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.forecast_intervals import Estimate, One, exactly, share_interval, student_quantile, sum_interval


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    # Tables of Student's distribution, as in Cochran, "Sampling Techniques"; the last row is the normal one.
    [(0.975, 1, 12.706), (0.95, 2, 2.920), (0.975, 10, 2.228), (0.995, 30, 2.750), (0.975, 1e9, 1.960), (0.5, 5, 0.0)],
)
def test_quantiles_are_those_of_the_tables(probability: float, freedom: float, expected: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(
    ("seen", "trials", "expected"),
    # 0 of n is 1 - 0.025 ** (1 / n); the others are tabled.
    [
        (0, 100, (0.0, 1 - 0.025**0.01)),
        (5, 100, (0.0164, 0.1128)),
        (100, 100, (0.025**0.01, 1.0)),
        (1, 2, (0.0126, 0.9874)),
    ],
)
def test_intervals_of_shares_are_those_of_clopper_and_pearson(
    seen: float, trials: float, expected: tuple[float, float]
) -> None:
    assert share_interval(seen, trials, 0.95) == pytest.approx(expected, abs=5e-5)


@given(st.integers(0, 40), st.integers(1, 40), st.sampled_from([0.5, 0.8, 0.95, 0.999]))
def test_an_interval_of_a_share_covers_as_often_as_it_says(seen: int, more: int, confidence: float) -> None:
    """At its own ends the binomial distribution leaves half of the rest beyond what was seen."""
    trials = seen + more
    low, high = share_interval(seen, trials, confidence)
    tail = (1 - confidence) / 2
    assert 0 <= low <= seen / trials <= high <= 1
    assert sum(_binomial(k, trials, high) for k in range(seen + 1)) == pytest.approx(tail, abs=1e-9)
    if seen:
        assert sum(_binomial(k, trials, low) for k in range(seen, trials + 1)) == pytest.approx(tail, abs=1e-9)


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([0.5, 0.9, 0.99]), st.floats(0.1, 1e6))
def test_an_interval_of_a_sum_of_things_of_one_size_is_that_of_their_share(
    seen: int, more: int, confidence: float, size: float
) -> None:
    trials = seen + more
    one = One(size, size**2, (seen + 1) / trials)
    found = sum_interval(seen * size, seen * size**2, seen / trials, one, confidence)
    assert found == pytest.approx([end * trials * size for end in share_interval(seen, trials, confidence)], rel=1e-6)


def test_an_interval_of_a_sum_of_few_among_many_ends_at_quantiles_of_chi_squared_distributions() -> None:
    """As Fay and Feuer have it; of 8 degrees of freedom, 2 * 2**2 / 1 and 2 * 3**2 / 2.25, the tabled quantiles are 2.180 and 17.535."""
    low, high = sum_interval(2.0, 1.0, 1e-7, One(1.0, 1.25, 1e-7), 0.95)
    assert low == pytest.approx(1.0 / 4 * 2.180, rel=5e-4)
    assert high == pytest.approx(2.25 / 6 * 17.535, rel=5e-4)


def _binomial(k: int, n: int, share: float) -> float:
    return math.comb(n, k) * share**k * (1 - share) ** (n - k)


@pytest.mark.parametrize(("seen", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_what_is_no_share_is_refused(seen: float, trials: float) -> None:
    with pytest.raises(ValueError, match="is no share"):
        share_interval(seen, trials, 0.95)


def test_an_estimate_says_how_wide_it_is() -> None:
    assert Estimate(100, 90, 110).relative_half_width == pytest.approx(0.1)
    assert Estimate(100, 90, 110).times(2) == Estimate(200, 180, 220)
    assert exactly(7).is_exact
    assert exactly(0).relative_half_width == 0
    assert Estimate(0, 0, 3).relative_half_width == math.inf
