"""One run at a time writes to a collection; a dead one does not keep the others waiting, a sleeping one does no harm."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import accumulate, count
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from transforms.adapters import lease
from transforms.adapters.lease import Claim, Timing, leased
from transforms.adapters.storage import join, list_names, read_bytes, remove, write_bytes
from transforms.logic.errors import CorruptDataError, TransientError

PATIENCE_SECONDS = 60.0
_directories = count()


class Clock:
    """Seconds that pass only when somebody sleeps; what happens meanwhile may be told."""

    def __init__(self, meanwhile: Callable[[float], object] = lambda _: None) -> None:
        self.seconds = 1000.0
        self._meanwhile = meanwhile

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self._meanwhile(self.seconds)

    @property
    def timing(self) -> Timing:
        """A thread of the holder renews by the real clock: so rarely that it never does in a test."""
        return Timing(3600, PATIENCE_SECONDS, 1, lambda: self.seconds, self.sleep)


@pytest.fixture(params=["local", "memory"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path / "lease")
    else:
        yield "memory://leases/lease"
        if fsspec.filesystem("memory").exists("/leases"):
            fsspec.filesystem("memory").rm("/leases", recursive=True)


def _elsewhere(directory: str, epoch: int = 1, **changes: Any) -> None:
    """A lease held by a process of another machine."""
    values = {
        "format": 1,
        "run_id": "run-other",
        "host": "other",
        "process_id": 1,
        "kernel": "another",
        "started_ticks": 7,
        "serial": 0,
        "renewals": 0,
        "released": False,
        **changes,
    }
    write_bytes(join(directory, f"{epoch:08d}.json"), json.dumps(values).encode())


def _state(directory: str, epoch: int) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(read_bytes(join(directory, f"{epoch:08d}.json")))
    return values


def test_a_second_run_is_refused_with_the_first_ones_id_and_the_next_is_not(directory: str) -> None:
    with leased(directory, "run-1") as first:
        with (
            pytest.raises(TransientError, match=r"run run-1 \(process \d+ on .*--on-busy wait"),
            leased(directory, "run-2"),
        ):
            pytest.fail("two runs hold one lease")
        first.check()
        assert _state(directory, 1)["run_id"] == "run-1"
    with leased(directory, "run-2") as second:
        assert (first.epoch, second.epoch) == (1, 2)
    # Only the newest epoch stays, so that years of runs leave one file.
    assert list_names(directory) == ["00000002.json"]


def test_leases_of_two_collections_do_not_meet(directory: str) -> None:
    with leased(join(directory, "a"), "run-1") as one, leased(join(directory, "b"), "run-1") as other:
        one.check()
        other.check()


def test_a_lease_is_released_by_a_run_that_fails(directory: str) -> None:
    with pytest.raises(OSError, match="disk"), leased(directory, "run-1"):
        raise OSError("disk full")
    with leased(directory, "run-2"):
        pass


def test_a_holder_that_shows_life_is_not_taken_over_however_long_it_works(directory: str) -> None:
    def meanwhile(seconds: float) -> None:
        if seconds == start + PATIENCE_SECONDS - 1:
            _elsewhere(directory, renewals=1)

    clock = Clock(meanwhile)
    start = clock.seconds
    _elsewhere(directory)
    with pytest.raises(TransientError, match="run run-other"), leased(directory, "run-1", timing=clock.timing):
        pytest.fail("a live holder was taken over")
    assert clock.seconds == start + PATIENCE_SECONDS - 1


def test_a_silent_holder_is_taken_over_after_the_patience_and_not_before(directory: str) -> None:
    clock = Clock()
    said: list[str] = []
    _elsewhere(directory, renewals=5)
    with leased(directory, "run-1", say=said.append, timing=clock.timing) as claim:
        assert claim.epoch == 2
    assert clock.seconds == 1000 + PATIENCE_SECONDS
    (line,) = said
    assert "waiting until run run-other (process 1 on other) is done, or shows no life for 60 seconds" in line


def test_each_sign_of_life_starts_the_patience_anew(directory: str) -> None:
    last = 1000.0 + 200

    def meanwhile(seconds: float) -> None:
        if seconds <= last and seconds % 50 == 0:
            _elsewhere(directory, renewals=int(seconds))

    clock = Clock(meanwhile)
    _elsewhere(directory)
    with leased(directory, "run-1", "wait", timing=clock.timing) as claim:
        assert claim.epoch == 2
    assert clock.seconds == last + PATIENCE_SECONDS


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.integers(1, 90), max_size=6), st.integers(0, 10**6))
def test_a_holder_is_taken_over_at_the_first_silence_as_long_as_the_patience(
    gaps: list[int], watch_starts: int
) -> None:
    """Whatever the clocks say: that of the watcher counts from any number, and the holder's is never asked."""
    directory = f"memory://leases/property/{next(_directories)}"
    clock = Clock()
    clock.seconds = start = float(watch_starts)
    renewed = [start + second for second in accumulate(gaps)]

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.seconds in renewed:
            _elsewhere(directory, renewals=renewed.index(clock.seconds) + 1)

    _elsewhere(directory)
    with leased(directory, "run-1", "wait", timing=replace(clock.timing, sleep=sleep)) as claim:
        assert claim.epoch == 2
    lasts = [start, *renewed]
    silent = next((last for last, gap in zip(lasts, gaps, strict=False) if gap > PATIENCE_SECONDS), lasts[-1])
    assert clock.seconds == silent + PATIENCE_SECONDS


def test_who_waits_goes_on_when_the_holder_is_done(directory: str) -> None:
    clock = Clock(lambda seconds: _elsewhere(directory, renewals=int(seconds), released=seconds >= 1100))
    _elsewhere(directory)
    with leased(directory, "run-1", "wait", timing=clock.timing):
        assert clock.seconds == 1100


def test_of_many_that_find_a_dead_holder_one_takes_over(directory: str) -> None:
    _elsewhere(directory)
    start, won, lost = threading.Barrier(8), [], []
    end = threading.Barrier(8)

    def run(number: int) -> None:
        clock = Clock()
        start.wait()
        try:
            with leased(directory, f"run-{number}", timing=clock.timing) as claim:
                won.append(claim.epoch)
                end.wait()
        except TransientError:
            lost.append(number)
            end.wait()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (won, len(lost)) == ([2], 7)


def test_a_holder_that_was_taken_over_finds_out(directory: str) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(leased(directory, "run-1"))
        _elsewhere(directory, epoch=2, run_id="run-2")
        worker: Claim = pickle.loads(pickle.dumps(first))
        with pytest.raises(TransientError, match=r"run run-2 .* took over the lease .*; run again"):
            worker.check()
    # What the one that was taken over writes at its end does not give the lease free.
    assert _state(directory, 2) == {**_state(directory, 2), "run_id": "run-2", "released": False}
    with pytest.raises(TransientError, match="run-2"):
        first.check()


def test_who_is_slow_does_not_win_an_epoch_that_is_past(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its look and its claim two others came and went, and the older epoch was removed."""
    _elsewhere(directory, released=True)

    def late(uri: str, data: bytes, *, exclusive: bool = False) -> None:
        if uri.endswith("2.json") and exclusive:
            remove(join(directory, "00000001.json"))
            _elsewhere(directory, epoch=3)
        write_bytes(uri, data, exclusive=exclusive)

    monkeypatch.setattr(lease, "write_bytes", late)
    clock = Clock()
    with leased(directory, "run-1", "wait", timing=clock.timing) as claim:
        assert claim.epoch == 4
    assert clock.seconds == 1000 + PATIENCE_SECONDS


def test_a_store_that_lost_its_answer_does_not_lock_the_run_out(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store did as told, but was asked again: the second request finds the name taken, by the first."""

    def twice(uri: str, data: bytes, *, exclusive: bool = False) -> None:
        write_bytes(uri, data, exclusive=exclusive)
        if exclusive:
            write_bytes(uri, data, exclusive=True)

    monkeypatch.setattr(lease, "write_bytes", twice)
    with leased(directory, "run-1") as claim:
        assert claim.epoch == 1


def test_the_counter_advances_and_survives_a_store_that_fails_for_a_while(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough, writes = threading.Event(), []

    def failing(uri: str, data: bytes, *, exclusive: bool = False) -> None:
        writes.append(json.loads(data)["renewals"])
        if len(writes) in {2, 3}:
            raise TransientError("503")
        write_bytes(uri, data, exclusive=exclusive)
        if len(writes) >= 6:
            enough.set()

    monkeypatch.setattr(lease, "write_bytes", failing)
    with leased(directory, "run-1", timing=Timing(renew_seconds=0.01)):
        assert enough.wait(30)
    assert writes[:6] == [0, 1, 2, 3, 4, 5]
    assert _state(directory, 1)["released"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is no lease"),
        (b"[]", "is no lease"),
        (b'{"format": 1, "run_id": "r"}', "is no lease"),
        (b'{"format": 9}', "has format 9, this version reads 1"),
    ],
)
def test_a_foreign_lease_is_refused_by_name(directory: str, content: bytes, said: str) -> None:
    write_bytes(join(directory, "00000004.json"), content)
    with pytest.raises(CorruptDataError, match=rf"00000004\.json {said}"), leased(directory, "run-1"):
        pytest.fail("a foreign lease was taken")


_HOLDER = """
import sys
from transforms.adapters.lease import leased
with leased(sys.argv[1], "run-of-child") as claim:
    print(claim.epoch, flush=True)
    sys.stdin.read()
"""


def _child(directory: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "1\n"
    return child


def _forbidden(_: float) -> None:
    pytest.fail("the kernel knows whether the holder lives; nothing has to be waited for")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a dead process is known by its silence only")
def test_a_process_that_lives_is_refused_to_and_a_killed_one_followed_at_once(tmp_path: Path) -> None:
    timing = Timing(sleep=_forbidden)
    with _child(tmp_path) as child:
        with (
            pytest.raises(TransientError, match=f"run run-of-child .process {child.pid}"),
            leased(str(tmp_path), "run-1", timing=timing),
        ):
            pytest.fail("a live holder was taken over")
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        # Dead, but its parent did not ask after it yet: a zombie.
        with leased(str(tmp_path), "run-1", timing=timing) as claim:
            assert claim.epoch == 2


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a dead process is known by its silence only")
def test_a_process_id_that_is_used_again_is_not_the_holder(tmp_path: Path) -> None:
    with leased(str(tmp_path), "run-1"):
        mine = _state(str(tmp_path), 1)
    _elsewhere(str(tmp_path), epoch=2, **{**mine, "started_ticks": mine["started_ticks"] - 1, "released": False})
    with leased(str(tmp_path), "run-2", timing=Timing(sleep=_forbidden)) as claim:
        assert claim.epoch == 3
