"""What else the machine did while something was timed."""

import os
import resource
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self


class OtherLoad:
    """Cores that all other processes kept busy within a `with` block, on Linux; elsewhere 0.

    This process and its children that ended do not count. Above a tenth of a core a timing is not to be trusted.
    """

    cores: float = 0.0

    def __enter__(self) -> Self:
        self._start = perf_counter()
        self._busy, self._own = _busy_seconds(), _own_seconds()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        others = (_busy_seconds() - self._busy) - (_own_seconds() - self._own)
        self.cores = max(0.0, others / (perf_counter() - self._start))


def _busy_seconds() -> float:
    """CPU seconds of all processes since the machine started."""
    statistics_file = Path("/proc/stat")
    if not statistics_file.exists():
        return _own_seconds()
    user, nice, system = map(int, statistics_file.read_text(encoding="ascii").split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
