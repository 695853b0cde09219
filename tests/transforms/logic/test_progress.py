"""From counts to phases, speeds and time left."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.progress import COUNTS, PHASES_OF_LOAD, PHASES_OF_RUN, Expected, Pace, PhaseName, State, Tracker

READ = {"splits.read": 4, "source_bytes.read": 1000, "documents.read": 200, "chunks.split": 240, "tokens.split": 48_000}
ENCODED = {**READ, "chunks.looked_up": 240, "tokens.encoded": 40_000, "tokens.spared": 8_000}
RECONCILED = {**ENCODED, "stage.reconcile.seconds": 0.1, "chunks.reconciled": 240, "rows.to_write": 240}
WRITTEN = {**RECONCILED, "rows.loaded": 240, "rows.written": 240}


def planned(expected: Expected | None = None, phases: Sequence[PhaseName] = PHASES_OF_RUN) -> Tracker:
    tracker = Tracker(phases)
    tracker.expect(expected or Expected(4, 1000))
    return tracker


def looked(counts: Mapping[str, float], tracker: Tracker | None = None, seconds: float = 1.0) -> State:
    return (tracker or planned()).look(seconds, {7: counts})


def test_before_the_plan_is_made_the_run_is_planned() -> None:
    assert looked({}, Tracker()).now.name == "plan"


@pytest.mark.parametrize(
    ("counts", "phase"),
    [
        ({}, "read"),
        ({"splits.read": 4, "source_bytes.read": 999}, "read"),
        (READ, "encode"),
        ({**READ, "chunks.looked_up": 1}, "encode"),
        (ENCODED, "reconcile"),
        ({**RECONCILED, "chunks.reconciled": 239}, "reconcile"),
        (RECONCILED, "write"),
        ({**WRITTEN, "rows.written": 239}, "write"),
        (WRITTEN, "verify"),
        ({**WRITTEN, "phase.verify": 1}, "verify"),
        ({**WRITTEN, "phase.verify": 1, "phase.commit": 1}, "commit"),
    ],
)
def test_the_phase_is_the_last_that_began_or_the_one_after_it(counts: Mapping[str, float], phase: str) -> None:
    state = looked(counts)
    assert state.now.name == phase
    place = PHASES_OF_RUN.index(state.now.name)
    assert [one.state for one in state.phases] == ["done"] * place + ["running"] + ["waiting"] * (6 - place)


def test_a_run_that_changes_nothing_goes_on_after_reconciling() -> None:
    counts = {"splits.read": 4, "source_bytes.read": 1000, "documents.read": 9, "documents.recognised": 9}
    assert looked(counts).now.name == "encode"
    assert looked({**counts, "stage.reconcile.seconds": 0.1}).now.name == "write"
    assert looked({**counts, "stage.reconcile.seconds": 0.1, "phase.verify": 1}).now.name == "verify"


def test_a_load_encodes_nothing() -> None:
    counts = {"splits.read": 1, "chunks.split": 12, "chunks.looked_up": 12}
    assert looked(counts, planned(Expected(2), PHASES_OF_LOAD)).now.fraction == 0.5
    assert looked({**counts, "splits.read": 2}, planned(Expected(2), PHASES_OF_LOAD)).now.name == "reconcile"


def test_a_limited_run_has_read_what_it_may() -> None:
    tracker = planned(Expected(4, 1000, documents=50))
    assert looked({"documents.read": 20, "source_bytes.read": 900}, tracker).now.fraction == 0.4
    assert looked({"documents.read": 50}, tracker).now.name == "encode"


def test_an_empty_day_is_read_without_a_share() -> None:
    assert looked({}, planned(Expected(0))).now.fraction is None


def test_workers_are_added_up_and_told_apart() -> None:
    tracker = planned()
    start = {**READ, "chunks.looked_up": 1}
    tracker.look(0.0, {1: start})
    state = tracker.look(
        10.0, {2: {"tokens.encoded": 1000, "vectors.encoded": 5}, 1: {**start, "tokens.encoded": 3000}}
    )
    assert state.counts["tokens.encoded"] == 4000
    assert state.tokens_per_second == 400.0
    assert [(worker.process_id, worker.documents, worker.vectors) for worker in state.workers] == [
        (1, 200, 0),
        (2, 0, 5),
    ]
    assert state.workers[0].tokens_per_second == 300.0


def test_time_left_is_what_is_left_at_the_pace_so_far() -> None:
    tracker = planned()
    counts = {**READ, "chunks.looked_up": 1}
    tracker.look(10.0, {1: counts})
    assert tracker.look(11.0, {1: counts}).now.seconds_left is None
    assert tracker.look(12.0, {1: {**counts, "tokens.spared": 900}}).now.seconds_left is None
    half = {**counts, "tokens.encoded": 24_000}
    assert tracker.look(20.0, {1: half}).now.seconds_left == pytest.approx(10.0)
    # Until more is told, what is left passes.
    assert tracker.look(24.0, {1: half}).now.seconds_left == pytest.approx(6.0)
    assert tracker.look(40.0, {1: half}).now.seconds_left == 0.0


def test_passes_of_a_batch_count_while_it_is_under_way_and_never_end_the_phase() -> None:
    tracker = planned()
    counts = {**READ, "chunks.looked_up": 240, "tokens.spared": 8_000}
    tracker.look(0.0, {1: counts})
    half = tracker.look(10.0, {1: {**counts, "tokens.passed": 16_000}})
    assert (half.now.done, half.tokens_per_second) == (24_000, 1_600)
    # Special tokens are passed too.
    all_passed = tracker.look(20.0, {1: {**counts, "tokens.passed": 41_000}})
    assert (all_passed.now.name, all_passed.now.done) == ("encode", 47_600)
    assert looked({**counts, "tokens.passed": 41_000, "tokens.encoded": 40_000}).now.name == "reconcile"


def test_a_pace_forgets_what_is_longer_ago_than_a_minute() -> None:
    pace = Pace()
    for second in range(0, 1000, 10):
        pace.see(second, 100.0 * second)
    for second in range(1000, 1100, 10):
        pace.see(second, 100_000.0 + second)
    assert pace.per_second == pytest.approx(1.0)


@given(st.lists(st.floats(0.01, 100), min_size=1))
def test_a_steady_pace_is_found_however_it_is_looked_at(pauses: list[float]) -> None:
    pace, seconds = Pace(), 0.0
    pace.see(0.0, 0.0)
    for pause in pauses:
        seconds += pause
        pace.see(seconds, 5.0 * seconds)
    assert pace.per_second == pytest.approx(5.0)
    left = pace.seconds_left(seconds, 5.0 * seconds + 50.0)
    assert left == pytest.approx(10.0)


@given(
    st.lists(st.dictionaries(st.sampled_from(COUNTS), st.integers(0, 10**9)), max_size=8),
    st.booleans(),
    st.sampled_from([PHASES_OF_RUN, PHASES_OF_LOAD]),
)
def test_whatever_is_told_there_is_one_phase_and_every_share_is_one(
    told: list[dict[str, float]], known: bool, phases: Sequence[PhaseName]
) -> None:
    tracker = planned(phases=phases) if known else Tracker(phases)
    sums: dict[str, float] = {}
    places = []
    for second, counts in enumerate(told):
        for name, value in counts.items():
            sums[name] = sums.get(name, 0) + value
        state = tracker.look(float(second), {1: dict(sums)})
        assert [one.state for one in state.phases].count("running") == 1
        assert all(one.fraction is None or 0 <= one.fraction <= 1 for one in state.phases)
        assert all(one.seconds_left is None or one.seconds_left >= 0 for one in state.phases)
        places.append(phases.index(state.now.name))
    assert known or not any(places)
