"""The library's measures are those that are computed by hand."""

import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.adapters.relevance import measure
from transforms.logic.errors import ConfigurationError

NAMES = list("abcdef")


def test_measures_by_hand() -> None:
    grades = {"q": {"a": 2, "b": 1, "c": 1, "n": 0}}
    (found,) = measure(grades, {"q": ["n", "b", "x", "a", "c"]}, 4).values()
    gain = 1 / math.log2(3) + 2 / math.log2(5)
    best = 2 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found == pytest.approx({"top_1": 0, "recall_at_4": 2 / 3, "ndcg_at_4": gain / best, "mrr": 0.5})


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    ranking=st.lists(st.sampled_from(NAMES), unique=True),
    grades=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 5)).filter(lambda one: any(one.values())),
    k=st.integers(1, 7),
)
def test_measures_are_what_their_definitions_say(ranking: list[str], grades: dict[str, int], k: int) -> None:
    found = measure({0: grades}, {0: ranking}, k)[0]
    first = ranking[:k]
    right = [place for place, name in enumerate(first) if grades.get(name, 0)]
    gain = sum(grades.get(name, 0) / math.log2(place + 2) for place, name in enumerate(first))
    ideal = sorted(grades.values(), reverse=True)[:k]
    best = sum(grade / math.log2(place + 2) for place, grade in enumerate(ideal))
    assert found == pytest.approx(
        {
            "top_1": float(bool(first) and grades.get(first[0], 0) > 0),
            f"recall_at_{k}": len(right) / sum(grade > 0 for grade in grades.values()),
            f"ndcg_at_{k}": gain / best,
            "mrr": 1 / (right[0] + 1) if right else 0.0,
        }
    )


def test_each_ranking_is_measured_alone() -> None:
    grades = {("q", number): {"a": 1} for number in range(12)}
    rankings = {name: ["x"] * (name[1] % 3 > 0) + ["a"] * (name[1] % 3 < 2) for name in grades}
    found = measure(grades, rankings, 5)
    assert [found["q", number]["mrr"] for number in range(6)] == [1, 0.5, 0, 1, 0.5, 0]
    assert list(found) == list(grades)


def test_without_the_extra_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytrec_eval", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'corpus-embed\[evaluate\]'"):
        measure({"q": {"a": 1}}, {"q": ["a"]}, 3)
