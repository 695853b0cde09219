"""Batches by token budget."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.packing import token_budget_ranges, tokens_of_pass


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.lists(st.integers(0, 60), max_size=40), st.integers(1, 100), st.booleans())
def test_ranges_cover_every_index_once_within_the_budget(lengths: list[int], budget: int, padded: bool) -> None:
    ranges = list(token_budget_ranges(lengths, budget, padded=padded))

    assert [index for one in ranges for index in one] == list(range(len(lengths)))
    for one in ranges:
        inside = [lengths[index] for index in one]
        assert tokens_of_pass(inside, padded=padded) <= budget or sum(length > 0 for length in inside) == 1


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 100), st.booleans())
def test_no_range_could_take_the_next_text_as_well(lengths: list[int], budget: int, padded: bool) -> None:
    for one, following in pairwise(token_budget_ranges(lengths, budget, padded=padded)):
        assert tokens_of_pass([lengths[index] for index in (*one, following[0])], padded=padded) > budget


def test_what_a_pass_costs() -> None:
    assert tokens_of_pass([3, 1, 5]) == 9
    assert tokens_of_pass([3, 1, 5], padded=True) == 15
    assert tokens_of_pass([]) == tokens_of_pass([], padded=True) == 0


def test_a_text_above_the_budget_stands_alone() -> None:
    assert list(token_budget_ranges([3, 3, 50, 3], 10)) == [range(2), range(2, 3), range(3, 4)]
    assert list(token_budget_ranges([3, 3, 50, 3], 10, padded=True)) == [range(2), range(2, 3), range(3, 4)]
    assert list(token_budget_ranges([], 10)) == []
