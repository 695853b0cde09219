"""Batches by token budget."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.packing import token_budget_ranges


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.lists(st.integers(0, 60), max_size=40), st.integers(1, 100))
def test_ranges_cover_every_index_once_within_the_budget(lengths: list[int], budget: int) -> None:
    ranges = list(token_budget_ranges(lengths, budget))

    assert [index for one in ranges for index in one] == list(range(len(lengths)))
    for one in ranges:
        filled = [lengths[index] for index in one if lengths[index]]
        assert sum(filled) <= budget or len(filled) == 1


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 100))
def test_no_range_could_take_the_next_text_as_well(lengths: list[int], budget: int) -> None:
    for one, following in pairwise(token_budget_ranges(lengths, budget)):
        assert sum(lengths[index] for index in one) + lengths[following[0]] > budget


def test_a_text_above_the_budget_stands_alone() -> None:
    assert list(token_budget_ranges([3, 3, 50, 3], 10)) == [range(2), range(2, 3), range(3, 4)]
    assert list(token_budget_ranges([], 10)) == []
