"""What was done when, and what took longest."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.timeline import (
    MOST_SLOWEST,
    describe_slowest,
    describe_timeline,
    keep_slowest,
    slowest_name,
    timeline_counts,
)

TEN_DAYS = 864_000
moments = st.lists(st.tuples(st.floats(-5, TEN_DAYS), st.floats(0, 3000), st.integers(1, 1000)), max_size=60)


def added(done: list[tuple[float, float, int]]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for end, took, tokens in done:
        total.update({name: int(value) for name, value in timeline_counts(end, took, tokens=tokens).items()})
    return dict(total)


@given(moments, st.floats(0, TEN_DAYS))
def test_nothing_is_lost_and_buckets_are_equal_ordered_and_few(
    done: list[tuple[float, float, int]], seconds: float
) -> None:
    found = describe_timeline(added(done), seconds)
    assert sum(one["tokens"] for one in found) == sum(tokens for _, _, tokens in done)
    assert len({one["width"] for one in found}) <= 1
    assert all(before["start"] + before["width"] <= after["start"] for before, after in pairwise(found))
    if found:
        width = found[0]["width"]
        assert all(one["start"] % width == 0 for one in found)
        assert max(seconds, *(end for end, _, _ in done)) / width <= 128


@given(st.floats(0, TEN_DAYS), st.floats(0, 3000), st.integers(1, 100_000))
def test_work_is_spread_evenly_over_its_time(end: float, took: float, tokens: int) -> None:
    first = max(0.0, end - took)
    done = {int(name.split(".")[1]): value for name, value in timeline_counts(end, took, tokens=tokens).items()}
    assert sum(done.values()) == tokens
    assert max(done) <= end
    for start in done:
        before = sum(value for other, value in done.items() if other < start)
        share = (start - first) / (end - first) if start > first else 0.0
        assert abs(before - tokens * share) <= 1 + 1e-6 * tokens


def test_ten_days_take_a_thousand_tallies() -> None:
    assert len(added([(second, 0.0, 1) for second in range(TEN_DAYS)])) <= 1000


def test_eight_seconds_of_work_are_eight_buckets() -> None:
    assert timeline_counts(13.0, 8.0, tokens=17) == {
        f"timeline.{second}.tokens": 3 if second == 12 else 2 for second in range(5, 13)
    }


def test_nothing_done_is_no_tally() -> None:
    assert timeline_counts(3.0, 2.0, tokens=0) == {}
    assert describe_timeline({}, 100.0) == []


splits = st.dictionaries(
    st.tuples(st.text(min_size=1), st.integers(0, 99), st.integers(100, 199)), st.floats(0.001, 1e4), max_size=40
)


@given(splits, st.integers(0, 40))
def test_the_slowest_are_the_same_whatever_is_added_up_first(
    seconds: dict[tuple[str, int, int], float], cut: int
) -> None:
    named = {slowest_name(*key): value for key, value in seconds.items()}
    first, rest = dict(list(named.items())[:cut]), dict(list(named.items())[cut:])
    assert keep_slowest({**keep_slowest(first), **keep_slowest(rest)}) == keep_slowest(named)
    found = describe_slowest({**named, "rows.held": 5})
    assert [one["seconds"] for one in found] == sorted((round(one, 3) for one in seconds.values()), reverse=True)[
        :MOST_SLOWEST
    ]
    assert all((one["source"], one["start"], one["stop"]) in seconds for one in found)


def test_other_tallies_stay() -> None:
    counts = {"rows.held": 5.0, **{slowest_name(f"{number}.jsonl", 0, 1): number for number in range(1, 50)}}
    kept = keep_slowest(counts)
    assert kept.pop("rows.held") == 5
    assert sorted(kept.values()) == list(range(40, 50))
