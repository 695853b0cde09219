"""Batches on the disk: they come back as they were put, and nothing stays behind."""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.adapters import spill
from transforms.adapters.spill import Spill, current_spill, resolve, spilling
from transforms.logic.errors import TransientError

LARGE = bytes(range(256)) * 8


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files, and nothing that is kept in memory for being little."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(spill, "_KEPT_BYTES", 0)
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def used() -> Spill:
    found = current_spill()
    assert found is not None
    return found


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=8).map(lambda data: data * 400), max_size=12))
def test_whatever_is_put_comes_back(batches: list[bytes]) -> None:
    with spilling():
        standing = [used().put(data) for data in batches]
        assert all(len(one) < spill._SMALL_BYTES for one in standing)
        assert [resolve(one) for one in reversed(standing)] == batches[::-1]


def test_a_little_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "_KEPT_BYTES", 2 * len(LARGE))
    with spilling():
        assert [used().put(LARGE) == LARGE for _ in range(4)] == [True, True, False, False]


def test_threads_may_put_at_once() -> None:
    batches = [bytes([number]) * 3000 for number in range(64)]
    with spilling(), ThreadPoolExecutor(8) as pool:
        assert [resolve(one) for one in pool.map(used().put, batches)] == batches


def test_another_process_puts_and_reads(tmp_path: Path) -> None:
    script = (
        "import pickle, sys; from transforms.adapters import spill; spill._KEPT_BYTES = 0; "
        "place, given = pickle.load(sys.stdin.buffer); "
        "sys.stdout.buffer.write(pickle.dumps((spill.resolve(given), place.put(b'theirs' * 999))))"
    )
    with spilling():
        given = pickle.dumps((used(), used().put(LARGE)))
        done = subprocess.run([sys.executable, "-c", script], input=given, capture_output=True, check=True)
        read, theirs = pickle.loads(done.stdout)
        assert read == LARGE
        assert theirs.startswith(spill._REFERENCE)
        assert resolve(theirs) == b"theirs" * 999
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(list(folder.glob("*.batches"))) == 2


def test_runs_at_once_share_a_folder_until_the_last_ends(tmp_path: Path) -> None:
    with spilling():
        with spilling():
            first = used().put(LARGE)
        assert resolve(first) == LARGE
        assert len(list(tmp_path.iterdir())) == 1
    assert current_spill() is None


def test_what_a_killed_process_left_goes_and_what_a_living_one_uses_stays(tmp_path: Path) -> None:
    script = (
        "import os, signal, tempfile; from transforms.adapters import spill; spill._KEPT_BYTES = 0\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "with spill.spilling(): spill.current_spill().put(bytes(5000)); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    with spilling():
        (own,) = tmp_path.iterdir()
        assert own == Path(used().path)
        spill._remove(spill._new_folder())
        assert list(tmp_path.iterdir()) == [own]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with spilling():
        Path(used().path, f"{os.getpid()}.batches").symlink_to("/dev/full")
        with pytest.raises(TransientError, match=r"No space left on device; run again with .* TMPDIR"):
            used().put(LARGE)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_went_is_named() -> None:
    with spilling():
        put = used().put(LARGE)
        path = Path(used().path, f"{os.getpid()}.batches")
        path.write_bytes(LARGE[:-1])
        with pytest.raises(TransientError, match="it is shorter than it was; run again"):
            resolve(put)
        path.unlink()
        with pytest.raises(TransientError, match=r"\.batches, where batches wait .* No such file"):
            resolve(put)
