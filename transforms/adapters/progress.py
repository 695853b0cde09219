"""Counts on their way from the workers of this machine to the process that launched them, while the run goes on.

Who works in the launching process adds to sums in memory. A worker process writes its sums into a small file of its own, and the launching
process reads the files when it likes: nobody waits for anybody, and nothing that is lost or counted twice on this way gets into a result.
Worker processes inherit the directory by an environment variable; where there is none, as on the machines of a runner elsewhere, nothing
is written.
"""

import os
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from transforms.logic.progress import COUNTS, PHASE, Counts, PhaseName

VARIABLE = "CORPUS_EMBED_PROGRESS"
_PLACES = {name: place for place, name in enumerate(COUNTS)}
_FORMAT = struct.Struct(f"<{len(COUNTS)}d")


class _Sums:
    """What one process told so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums = [0.0] * len(COUNTS)

    def add(self, counts: Counts) -> None:
        places = [(_PLACES[name], value) for name, value in counts.items() if name in _PLACES]
        if places:
            with self._lock:
                for place, value in places:
                    self._sums[place] += value
                self._keep(self._sums)

    def read(self) -> Counts:
        with self._lock:
            return dict(zip(COUNTS, self._sums, strict=True))

    def _keep(self, sums: list[float]) -> None:
        """Called under the lock after each change."""


class Board:
    """What the processes of a run tell."""

    def __init__(self, directory: Path | None) -> None:
        """Takes where other processes write, if there are any."""
        self._directory = directory
        self._own = _Sums()

    def add(self, counts: Counts) -> None:
        """This process tells."""
        self._own.add(counts)

    def read(self) -> dict[int, Counts]:
        """What each process told so far, by its id; those that told nothing yet are missing."""
        own = self._own.read()
        told = {os.getpid(): own} if any(own.values()) else {}
        for path in self._directory.iterdir() if self._directory else ():
            data = path.read_bytes()
            # One that was just made is empty.
            if len(data) == _FORMAT.size:
                told[int(path.name)] = dict(zip(COUNTS, _FORMAT.unpack(data), strict=True))
        return told


_open: Board | None = None


@contextmanager
def open_board(*, shared: bool) -> Iterator[Board]:
    """A board on which this process, and if it is shared each that it starts, tells for the length of a block."""
    global _open  # noqa: PLW0603  what works in this process does not know who launched it
    with ExitStack() as until_done:
        directory = None
        if shared:
            directory = until_done.enter_context(TemporaryDirectory(prefix="corpus-embed-", ignore_cleanup_errors=True))
            os.environ[VARIABLE] = directory  # noqa: TID251  for processes of this machine alone
            until_done.callback(os.environ.pop, VARIABLE, None)  # noqa: TID251
        before, _open = _open, Board(None if directory is None else Path(directory))
        try:
            yield _open
        finally:
            _open = before


def tell(counts: Mapping[str, float]) -> None:
    """Adds counts to what this process told; those of other names than `COUNTS` are left out. Takes microseconds, never fails."""
    if _open is not None:
        _open.add(counts)
        return
    directory = os.environ.get(VARIABLE)  # noqa: TID251
    if directory:
        _file_below(directory).add(counts)


def tell_phase(name: PhaseName) -> None:
    """Tells that a phase has begun whose beginning no count shows."""
    tell({f"{PHASE}{name}": 1})


class _File(_Sums):
    """The file of a worker process."""

    def __init__(self, directory: str) -> None:
        super().__init__()
        self.directory = directory
        self._file = -1
        # Who launched this process may be gone, and the directory with it.
        with suppress(OSError):
            self._file = os.open(Path(directory, str(os.getpid())), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    def _keep(self, sums: list[float]) -> None:
        if self._file >= 0:
            with suppress(OSError):
                os.pwrite(self._file, _FORMAT.pack(*sums), 0)


_file: _File | None = None
_file_lock = threading.Lock()


def _file_below(directory: str) -> _File:
    """The same for each call: a worker process has one launching process."""
    global _file  # noqa: PLW0603
    with _file_lock:
        if _file is None or _file.directory != directory:
            _file = _File(directory)
        return _file
