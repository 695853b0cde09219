"""Counts and rejects beside the rows."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.records import Place, reject
from transforms.logic.schemas import REJECTS, Reason
from transforms.metrics import REJECTED, TALLIED, Stopwatch, rejected, sum_tallies, tally

TALLIES = st.dictionaries(st.sampled_from("abc"), st.integers(0, 100))


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(TALLIES, max_size=8))
def test_tallies_add_up_in_any_order_and_grouping(tallies: list[dict[str, float]]) -> None:
    expected: Counter[str] = Counter()
    for one in tallies:
        expected.update(one)
    assert sum_tallies(tallies) == dict(expected)
    assert sum_tallies([sum_tallies(tallies[:3]), sum_tallies(tallies[3:])]) == dict(expected)
    assert sum_tallies(tallies[::-1]) == dict(expected)


def test_the_sum_of_nothing_is_empty() -> None:
    assert sum_tallies([]) == {}


def test_a_tally_puts_seconds_under_its_stage_and_leaves_out_zeros() -> None:
    tagged = tally("embed", seconds=0.5, **{"vectors.encoded": 3, "vectors.reused": 0})
    assert tagged.tag == TALLIED
    assert tagged.value == {"stage.embed.seconds": 0.5, "vectors.encoded": 3}


def _telling(element: int) -> Iterator[Any]:
    yield tally("embed", seconds=0.25, **{"tokens.encoded": element, "language.de.tokens": element, "partition.x": 1})


def test_the_runner_gets_counters_with_units_for_what_is_on_the_list() -> None:
    pipeline = beam.Pipeline(FnApiRunner())
    _ = pipeline | beam.Create([3, 4]) | beam.ParDo(_telling).with_outputs(TALLIED)
    result = pipeline.run()
    result.wait_until_finish()
    counters = {
        (one.key.metric.namespace, one.key.metric.name): one.committed
        for one in result.metrics().query()["counters"]
        if one.key.metric.namespace == "embed"
    }
    assert counters == {("embed", "embed_msec"): 500, ("embed", "tokens_encoded"): 7, ("embed", "tokens_of_de"): 7}


def test_rejects_come_as_one_batch_with_their_counts() -> None:
    place = Place("a.jsonl", 7, "byte")
    rows = [
        reject("read", Reason.EMPTY_TEXT, place, "nothing visible"),
        reject("read", Reason.EMPTY_TEXT, place, "null"),
        reject("read", Reason.UNREADABLE_FILE, "b.parquet", "no footer"),
    ]
    batch, counts = rejected(rows)
    assert (batch.tag, counts.tag) == (REJECTED, TALLIED)
    assert batch.value.schema.equals(REJECTS)
    assert batch.value.to_pylist() == rows
    assert counts.value == {"rejects.total": 3, "rejects.record.empty_text": 2, "rejects.file.unreadable_file": 1}


def test_no_reject_hands_out_nothing() -> None:
    assert list(rejected([])) == []


def test_a_stopwatch_counts_blocks_that_fail_and_adds_up() -> None:
    watch = Stopwatch()
    with watch.running():
        sum(range(1000))
    first = watch.seconds
    with pytest.raises(ValueError, match="inside"), watch.running():
        raise ValueError("inside")
    assert 0 < first < watch.seconds
