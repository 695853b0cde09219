"""Numbers as people read them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.report.numbers import compact, count, counted, decimal, duration, share, ticks


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (7, "7"),
        (987, "987"),
        (999.7, "1k"),
        (1000, "1k"),
        (1234, "1.23k"),
        (65_217, "65.2k"),
        (999_499, "999k"),
        (999_999, "1M"),
        (4_200_000, "4.2M"),
        (3.0e15, "3000T"),
        (0.25, "0.25"),
        (2.5, "2.5"),
    ],
)
def test_a_compact_number_has_three_digits(value: float, said: str) -> None:
    assert compact(value) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (1, 4, "25 %"),
        (1, 3, "33.3 %"),
        (1, 10_000_000, "< 0.1 %"),
        (9_999_999, 10_000_000, "> 99.9 %"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
    ],
)
def test_a_share_is_never_rounded_to_nothing_or_all(part: float, whole: float, said: str) -> None:
    assert share(part, whole) == said


def test_what_is_not_there_is_a_dash() -> None:
    assert (count(None), decimal(None, 2), share(0, 0)) == ("–", "–", "–")
    assert (count(1234567.0), decimal(1234.5, 2)) == ("1,234,567", "1,234.50")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (61, "1 min 01 s"),
        (3599.6, "1 h 00 min"),
        (90_061, "25 h 01 min"),
    ],
)
def test_a_duration_has_two_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_one_thing_is_no_plural() -> None:
    assert [counted(value, "reject") for value in (0, 1, 2000)] == ["0 rejects", "1 reject", "2,000 rejects"]


@given(st.floats(1e-6, 1e15), st.integers(2, 8))
def test_ticks_start_at_zero_are_even_few_and_reach_the_top(most: float, wanted: int) -> None:
    found = ticks(most, wanted)
    assert found[0] == 0
    assert found[-1] >= most * (1 - 1e-6)
    assert 2 <= len(found) <= wanted + 2
    steps = [after - before for before, after in pairwise(found)]
    assert max(steps) == pytest.approx(min(steps))
    assert found[-2] < most * (1 + 1e-6)


def test_ticks_of_nothing_still_make_an_axis() -> None:
    assert ticks(0) == ticks(float("nan")) == [0.0, 1.0]
