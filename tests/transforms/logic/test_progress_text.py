"""States of a run in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.progress import Expected, Tracker
from transforms.logic.progress_text import amount_of, duration, line_of, values_of


def _tracker() -> Tracker:
    tracker = Tracker()
    tracker.expect(Expected(4, 10_000_000))
    return tracker


def test_a_line_says_phase_share_time_left_figures_and_speed() -> None:
    tracker = _tracker()
    counts: dict[str, float] = {
        "source_bytes.read": 10_000_000,
        "documents.read": 1_200,
        "documents.recognised": 200,
        "tokens.split": 100_000,
        "chunks.looked_up": 5,
    }
    tracker.look(60.0, {7: counts})
    state = tracker.look(
        100.0,
        {7: {**counts, "tokens.encoded": 40_000, "vectors.encoded": 160, "vectors.reused": 3, "rejects.total": 6}},
    )
    assert line_of(state) == (
        "1:40 encode 40%, 1:00 left; 1,200 documents, 200 unchanged, 160 vectors, 3 reused, 6 rejects; 1,000 tokens/s"
    )
    assert values_of(state) == {
        "phase": "encode",
        "fraction": 0.4,
        "seconds": 100.0,
        "seconds_left_of_phase": 60.0,
        "tokens_per_second": 1000.0,
        "documents_read": 1200,
        "documents_recognised": 200,
        "vectors_encoded": 160,
        "vectors_reused": 3,
        "rows_written": 0,
        "rejects_total": 6,
        "workers": None,
    }


def test_what_is_not_known_is_left_out() -> None:
    assert line_of(Tracker().look(0.4, {})) == "0:00 plan"
    assert line_of(_tracker().look(3725.0, {})) == "1:02:05 read 0%"


def test_workers_are_told_apart_where_there_are_several() -> None:
    tracker = _tracker()
    one: dict[str, float] = {"documents.read": 10, "source_bytes.read": 5_000_000, "chunks.looked_up": 1}
    assert "process" not in line_of(tracker.look(1.0, {4711: one}))
    state = tracker.look(
        11.0, {4711: {**one, "tokens.encoded": 500, "vectors.encoded": 2}, 4712: {"documents.read": 4}}
    )
    assert line_of(state).endswith(
        "process 4711: 10 documents, 2 vectors, 50 tokens/s; process 4712: 4 documents, 0 vectors"
    )


def test_bytes_are_shown_as_megabytes_and_nothing_before_it_begins() -> None:
    tracker = _tracker()
    tracker.look(0.0, {})
    state = tracker.look(2.0, {1: {"source_bytes.read": 2_500_000, "tokens.split": 900}})
    read, encode = state.phases[1], state.phases[2]
    assert amount_of(read) == "2.5 of 10.0 MB"
    assert amount_of(encode) == ""
    assert "1.2 MB/s" in line_of(state)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599.6, "1:00:00"), (90_061, "25:01:01")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@given(st.dictionaries(st.sampled_from(["documents.read", "source_bytes.read", "tokens.split"]), st.floats(0, 1e15)))
def test_a_line_is_one_line_of_ascii(counts: dict[str, float]) -> None:
    line = line_of(_tracker().look(1.0, {1: counts}))
    assert line.isascii()
    assert line.isprintable()
