"""Encoded batches on this machine's disk instead of in memory, for runners that keep in memory all that crosses a shuffle.

Such a runner holds what one step made until the next has begun, copies it there, and hands a worker process its whole share in one
message, which may not exceed 2 GiB. What is put here crosses in its place: a reference of some hundred bytes.

Everything lies in one folder of the launching process below the system's folder for temporary files (`TMPDIR`). It goes when the last
pipeline that uses it ends; what a killed process left goes when the next one begins.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from transforms.logic.errors import TransientError

_PREFIX = "corpus-embed-shuffle-"
_LOCK = "in-use"
# No Arrow IPC stream begins so: its first four bytes are 0xffffffff.
_REFERENCE = b"corpus-embed spilled "
# A small run needs no disk, and a small batch is no larger than what would stand in its place.
_KEPT_BYTES = 64 << 20
_SMALL_BYTES = 1 << 10


@dataclass(frozen=True)
class Spill:
    """A folder that batches go to. Picklable; each process writes a file of its own."""

    path: str

    def put(self, data: bytes) -> bytes:
        """What stands for some encoded bytes: themselves, while there are few, or a reference.

        Raises:
            TransientError: the disk is full, or takes nothing.
        """
        with _lock:
            key = (os.getpid(), self.path)
            if key not in _writers:
                _writers[key] = _Writer(Path(self.path, f"{os.getpid()}.batches"))
            return _writers[key].put(data)


class _Writer:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept_bytes = 0

    def put(self, data: bytes) -> bytes:
        if len(data) < _SMALL_BYTES or self._kept_bytes + len(data) <= _KEPT_BYTES:
            self._kept_bytes += len(data)
            return data
        try:
            with self._path.open("ab", buffering=0) as file:
                # Behind whatever a disk that was full took of the one before.
                start = file.tell()
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
        except OSError as error:
            message = (
                f"{self._path.parent} does not take what waits between two steps: {error}; run again with the environment variable "
                "TMPDIR naming a folder with more room, or give the input in slices, some of the files to each run"
            )
            raise TransientError(message) from error
        return b"%s%d %d %s" % (_REFERENCE, start, len(data), os.fsencode(self._path))


_lock = Lock()
_writers: dict[tuple[int, str], _Writer] = {}
_locks: dict[str, int] = {}
_in_use: dict[Spill, int] = {}


def resolve(data: bytes) -> bytes:
    """The encoded bytes that were put, from what stands for them.

    Raises:
        TransientError: the folder went while the run was under way.
    """
    if not data.startswith(_REFERENCE):
        return data
    start, size, path = data.removeprefix(_REFERENCE).split(b" ", 2)
    try:
        with Path(os.fsdecode(path)).open("rb", buffering=0) as file:
            found = os.pread(file.fileno(), int(size), int(start))
    except OSError as error:
        found, reason = b"", str(error)
    else:
        reason = "it is shorter than it was"
    if len(found) != int(size):
        message = f"{os.fsdecode(path)}, where batches wait between two steps, cannot be read: {reason}; run again"
        raise TransientError(message)
    return found


def current_spill() -> Spill | None:
    """Where batches go in this process now."""
    return next(iter(_in_use), None)


@contextmanager
def spilling() -> Iterator[None]:
    """Pipelines that are run inside put their batches on the disk; all that run at once in a process share a folder."""
    with _lock:
        spill = current_spill() or Spill(_new_folder())
        _in_use[spill] = _in_use.get(spill, 0) + 1
    try:
        yield
    finally:
        with _lock:
            _in_use[spill] -= 1
            if not _in_use[spill]:
                del _in_use[spill]
                _writers.pop((os.getpid(), spill.path), None)
                _remove(spill.path)


def _new_folder() -> str:
    """A folder that is locked as long as this process lives, under its name only once it is."""
    parent = Path(tempfile.gettempdir())
    for path in parent.glob(f"{_PREFIX}*"):
        _remove_if_left(path)
    made = Path(tempfile.mkdtemp(prefix=".corpus-embed-", dir=parent))
    lock = os.open(made / _LOCK, os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    folder = str(made.rename(parent / f"{_PREFIX}{made.name.removeprefix('.corpus-embed-')}"))
    _locks[folder] = lock
    return folder


def _remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(_locks.pop(folder))


def _remove_if_left(folder: Path) -> None:
    """Takes a folder away whose process is gone."""
    with suppress(OSError):
        lock = os.open(folder / _LOCK, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        finally:
            os.close(lock)
