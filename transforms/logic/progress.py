"""How far a run is, from counts that its workers tell: phases, speeds and time left.

For people who watch, and for nothing else: what a bundle that is tried again counts is counted twice here. The run record is made of
tallies.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

PhaseName = Literal["plan", "read", "encode", "reconcile", "write", "verify", "commit"]

PHASES_OF_RUN: tuple[PhaseName, ...] = ("plan", "read", "encode", "reconcile", "write", "verify", "commit")
PHASES_OF_LOAD: tuple[PhaseName, ...] = ("plan", "read", "reconcile", "write", "verify", "commit")
"""In order. Reading goes on to chunks, encoding includes that vectors become durable, and writing that rows are loaded and deleted."""

PHASE = "phase."
"""Before the name of a phase that is told to have begun."""

COUNTS: tuple[str, ...] = (
    "splits.read",
    "splits.left_out",
    "source_bytes.read",
    "documents.read",
    "documents.recognised",
    "chunks.split",
    "chunks.looked_up",
    "chunks.reconciled",
    "tokens.split",
    "tokens.spared",
    "tokens.encoded",
    "tokens.passed",
    "vectors.encoded",
    "vectors.reused",
    "rejects.total",
    "rows.stored",
    "rows.loaded",
    "rows.to_write",
    "rows.to_delete",
    "rows.written",
    "rows.deleted",
    "stage.reconcile.seconds",
    f"{PHASE}verify",
    f"{PHASE}commit",
)
"""Names of the tallies that are told, and `tokens.passed`: those of passes that a model made while a larger batch is under way."""

Counts: TypeAlias = Mapping[str, float]

_WINDOW_SECONDS = 60.0
# A model is loaded, and a few known vectors are found, before there is a pace.
_LEAST_FRACTION = 0.02
# Until their vectors are handed on, chunks that went through the model count for no more than that.
_MOST_UNDER_WAY = 0.99
_STARTED_BY: Mapping[PhaseName, tuple[str, ...]] = MappingProxyType(
    {
        "encode": ("chunks.looked_up",),
        "reconcile": ("stage.reconcile.seconds",),
        "write": ("rows.loaded", "rows.written", "rows.deleted"),
        "verify": (f"{PHASE}verify",),
        "commit": (f"{PHASE}commit",),
    }
)


@dataclass(frozen=True)
class Expected:
    """What the plan knows of a run.

    Attributes:
        splits: how many are planned.
        source_bytes: their sizes together, as stored; 0 where only their number is known.
        documents: of so many documents the run ends, if it is limited.
    """

    splits: int
    source_bytes: int = 0
    documents: int | None = None


@dataclass(frozen=True)
class Phase:
    """How far a phase is: `done` of `total` `unit`, where a total is known."""

    name: PhaseName
    state: Literal["waiting", "running", "done"]
    done: float
    total: float | None
    unit: str
    per_second: float | None = None
    seconds_left: float | None = None

    @property
    def fraction(self) -> float | None:
        """Which share is done, from 0 to 1; None where no total is known."""
        if self.state == "done":
            return 1.0
        return min(1.0, self.done / self.total) if self.total else None


@dataclass(frozen=True)
class Worker:
    """What one process did, and how many tokens a second it encodes."""

    process_id: int
    documents: int
    vectors: int
    tokens_per_second: float | None


@dataclass(frozen=True)
class State:
    """A run as it looks at a moment.

    Attributes:
        seconds: since it began.
        phases: all of them, in order.
        counts: over all workers.
        tokens_per_second: encoded in the last minute; None before there is anything to tell it by.
        workers: the processes that did something, in order of their ids.
    """

    seconds: float
    phases: tuple[Phase, ...]
    counts: Counts
    tokens_per_second: float | None
    workers: tuple[Worker, ...]

    @property
    def now(self) -> Phase:
        """The phase that is under way."""
        return next(phase for phase in self.phases if phase.state == "running")


class Pace:
    """How fast something grows that grows by leaps: from the first to the last leap within a minute."""

    def __init__(self) -> None:
        self._leaps: deque[tuple[float, float]] = deque()

    def see(self, seconds: float, value: float) -> None:
        """Takes the value at a moment; the first is where it starts."""
        if self._leaps and value == self._leaps[-1][1]:
            return
        self._leaps.append((seconds, value))
        while len(self._leaps) > 2 and self._leaps[1][0] < seconds - _WINDOW_SECONDS:  # noqa: PLR2004  two make a pace
            self._leaps.popleft()

    @property
    def per_second(self) -> float | None:
        """None before the first leap."""
        (start, first), (stop, last) = (self._leaps[0], self._leaps[-1]) if self._leaps else ((0.0, 0.0), (0.0, 0.0))
        return (last - first) / (stop - start) if stop > start and last > first else None

    def seconds_left(self, seconds: float, total: float) -> float | None:
        """Until the total is reached, from a moment on, if it goes on like that."""
        rate = self.per_second
        if rate is None:
            return None
        reached, value = self._leaps[-1]
        return max(0.0, (total - value) / rate - (seconds - reached))


class Tracker:
    """Makes states of counts, look by look."""

    def __init__(self, phases: Sequence[PhaseName] = PHASES_OF_RUN) -> None:
        self._names = tuple(phases)
        self._expected: Expected | None = None
        self._paces: dict[str, Pace] = {}
        self._encoding: dict[int | None, Pace] = {}

    def expect(self, expected: Expected) -> None:
        """The plan is made."""
        self._expected = expected

    def look(self, seconds: float, told: Mapping[int, Counts]) -> State:
        """The state at a moment.

        Args:
            seconds: since the run began; never less than before.
            told: of each process, by its id, all that it told so far.
        """
        counts: Counter[str] = Counter()
        for one in told.values():
            counts.update(one)
        amounts = {name: self._amount(name, counts) for name in self._names}
        current = self._current(counts, amounts)
        phases = []
        for place, name in enumerate(self._names):
            done, total, unit = amounts[name]
            if place != current:
                phases.append(Phase(name, "done" if place < current else "waiting", done, total, unit))
                continue
            pace = self._paces.setdefault(name, Pace())
            pace.see(seconds, done)
            left = pace.seconds_left(seconds, total) if total and done >= _LEAST_FRACTION * total else None
            phases.append(Phase(name, "running", done, total, unit, pace.per_second, left))
        return State(seconds, tuple(phases), counts, self._speed(None, seconds, counts), self._workers(seconds, told))

    def _amount(self, name: PhaseName, counts: Counts) -> tuple[float, float | None, str]:
        """What of a phase is done, of how much, and of what."""

        def sum_of(*names: str) -> float:
            return sum(counts.get(one, 0) for one in names)

        if name == "read" and self._expected is not None:
            return self._read(self._expected, counts)
        if name == "encode":
            total, spared, encoded = sum_of("tokens.split"), sum_of("tokens.spared"), sum_of("tokens.encoded")
            under_way = min(sum_of("tokens.passed"), _MOST_UNDER_WAY * (total - spared))
            return spared + max(encoded, under_way), total, "tokens"
        if name == "reconcile":
            return sum_of("chunks.reconciled"), sum_of("chunks.split"), "chunks"
        if name == "write":
            return sum_of("rows.written", "rows.deleted"), sum_of("rows.to_write", "rows.to_delete"), "rows"
        return 0, None, ""

    def _read(self, expected: Expected, counts: Counts) -> tuple[float, float, str]:
        if expected.documents is not None:
            # Who is limited may leave most of the splits out.
            return counts.get("documents.read", 0), expected.documents, "documents"
        if expected.source_bytes:
            return counts.get("source_bytes.read", 0), expected.source_bytes, "bytes"
        return counts.get("splits.read", 0), expected.splits, "splits"

    def _current(self, counts: Counts, amounts: Mapping[PhaseName, tuple[float, float | None, str]]) -> int:
        """The place of the last phase that has begun, or of the one after those that are complete."""
        if self._expected is None:
            return 0
        started = [
            place for place, name in enumerate(self._names) if any(counts.get(one) for one in _STARTED_BY.get(name, ()))
        ]
        current = max([1, *started])
        while current + 1 < len(self._names):
            done, total, _ = amounts[self._names[current]]
            # Of a run in which nothing changes nothing is split and nothing written.
            nothing_to_do = total == 0 and current in started
            if not nothing_to_do and (not total or done < total):
                break
            current += 1
        return current

    def _speed(self, process_id: int | None, seconds: float, counts: Counts) -> float | None:
        pace = self._encoding.setdefault(process_id, Pace())
        if counts.get("chunks.looked_up"):
            pace.see(seconds, max(counts.get("tokens.encoded", 0), counts.get("tokens.passed", 0)))
        return pace.per_second

    def _workers(self, seconds: float, told: Mapping[int, Counts]) -> tuple[Worker, ...]:
        return tuple(
            Worker(
                process_id,
                int(counts.get("documents.read", 0)),
                int(counts.get("vectors.encoded", 0)),
                self._speed(process_id, seconds, counts),
            )
            for process_id, counts in sorted(told.items())
        )
