"""Rankings fused, against the formulas by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.fusion import reciprocal_ranks, weighted_scores

DENSE = [("a", 0.9), ("b", 0.8), ("c", -0.2)]
SPARSE = [("c", 5.0), ("d", 2.5), ("a", 0.5)]
RANKINGS = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 100)).map(
        lambda one: sorted(one.items(), key=lambda pair: -pair[1])
    ),
    min_size=1,
    max_size=3,
)


def test_reciprocal_ranks_are_added() -> None:
    assert reciprocal_ranks([DENSE, SPARSE]) == pytest.approx(
        {"a": 1 / 61 + 1 / 63, "c": 1 / 63 + 1 / 61, "b": 1 / 62, "d": 1 / 62}
    )
    assert list(reciprocal_ranks([DENSE, SPARSE])) == ["a", "c", "b", "d"]


def test_weighted_scores_are_scaled_from_the_least_possible_to_the_best() -> None:
    found = weighted_scores([DENSE, SPARSE], [-1, 0], [3, 1])
    assert found == pytest.approx(
        {"a": 0.75 + 0.25 * 0.1, "b": 0.75 * 1.8 / 1.9, "c": 0.75 * 0.8 / 1.9 + 0.25, "d": 0.25 * 0.5}
    )
    assert list(found) == ["a", "b", "c", "d"]


def test_nothing_found_fuses_to_nothing() -> None:
    assert reciprocal_ranks([]) == reciprocal_ranks([[], []]) == weighted_scores([[], []], [-1, 0], [1, 1]) == {}
    assert weighted_scores([[("a", -1.0)]], [-1], [1]) == {"a": 0}


@given(RANKINGS)
def test_every_row_of_a_ranking_is_fused_once_best_first(rankings: list[list[tuple[str, float]]]) -> None:
    names = {name for ranking in rankings for name, _ in ranking}
    for found in (
        reciprocal_ranks(rankings),
        weighted_scores(rankings, [0] * len(rankings), [1] * len(rankings)),
    ):
        assert found.keys() == names
        assert list(found.items()) == sorted(found.items(), key=lambda one: (-one[1], one[0]))
        assert all(0 <= score <= 1 + 1e-9 for score in found.values())


@given(RANKINGS)
def test_one_ranking_keeps_its_order(rankings: list[list[tuple[str, float]]]) -> None:
    ranking = rankings[0]
    assert list(reciprocal_ranks([ranking])) == [name for name, _ in ranking]
