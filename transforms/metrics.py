"""What every verb hands out beside its rows: rejects, and counts of what it did.

Counts travel as elements, so that a retried bundle counts once: the run record is made of them. Beam's own counters, which
over-count on retries, get the same figures for the runner's dashboard; so does who watches a run on this machine (`adapters.progress`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from transforms.adapters.progress import tell
from transforms.logic.counters import counter_of
from transforms.logic.schemas import REJECTS, batch_of
from transforms.logic.timeline import keep_slowest, timeline_counts

REJECTED = "rejects"
TALLIED = "tallies"

CLOCK = perf_counter
"""Measures; nothing that decides a row depends on it."""

Tally = dict[str, float]


@dataclass
class ByProducts:
    """Collects, while a pipeline is built, the rejects and tallies of every verb."""

    _rejects: list[PCollection[pa.RecordBatch]] = field(default_factory=list)
    _tallies: list[PCollection[Tally]] = field(default_factory=list)

    @property
    def rejects(self) -> PCollection[pa.RecordBatch]:
        """The rejects of every verb so far."""
        together: PCollection[pa.RecordBatch] = tuple(self._rejects) | "All rejects" >> beam.Flatten()
        return together

    @property
    def tallies(self) -> PCollection[Tally]:
        """The tallies of every verb so far."""
        together: PCollection[Tally] = tuple(self._tallies) | "All tallies" >> beam.Flatten()
        return together

    def take(self, outputs: Any) -> Any:
        """Keeps the tagged outputs of a `ParDo` made by `with_by_products` and gives its main output."""
        self._rejects.append(outputs[REJECTED])
        self._tallies.append(outputs[TALLIED])
        return outputs["main"]


def with_by_products(function: beam.DoFn, main_type: Any = pa.RecordBatch, side_inputs: Sequence[Any] = ()) -> Any:
    """A `ParDo` with a typed main output and the tagged outputs that `ByProducts.take` expects."""
    typed = beam.ParDo(function, *side_inputs).with_output_types(
        main_type, **{REJECTED: pa.RecordBatch, TALLIED: Tally}
    )
    return typed.with_outputs(REJECTED, TALLIED, main="main")


def rejected(rows: Sequence[Mapping[str, Any]]) -> Iterator[TaggedOutput[str, Any]]:
    """The rejects of one element as a tagged output, and their tally by reason; nothing for no rows."""
    if rows:
        yield TaggedOutput(REJECTED, batch_of(rows, REJECTS))
        counts = Counter(f"rejects.{row['level']}.{row['reason']}" for row in rows)
        yield tally("reject", **{"rejects.total": len(rows), **counts})


def tally(stage: str, **counts: float) -> TaggedOutput[str, Any]:
    """Counts of one element as a tagged output; names are dotted, `seconds` is put under the stage."""
    named = {f"stage.{stage}.seconds" if name == "seconds" else name: value for name, value in counts.items() if value}
    for name, value in named.items():
        counter = counter_of(name, value)
        if counter is not None:
            Metrics.counter(stage, counter[0]).inc(counter[1])
    tell(named)
    return TaggedOutput(TALLIED, named)


def at_end_of_bundle(outputs: Iterable[Any]) -> Iterator[Any]:
    """Outputs of a DoFn's `finish_bundle`, which Beam wants with a window."""
    window = GlobalWindow()
    for output in outputs:
        tag, value = (output.tag, output.value) if isinstance(output, TaggedOutput) else (None, output)
        windowed = WindowedValue(value, window.max_timestamp(), (window,))
        yield TaggedOutput(tag, windowed) if tag else windowed


@dataclass
class Stopwatch:
    """Seconds spent inside `running()` blocks."""

    seconds: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Times a block, also one that fails."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds += perf_counter() - start


@dataclass(frozen=True)
class Timeline:
    """Says when something was done: `started_seconds` is the time at which the run began, None for one that is not asked."""

    started_seconds: float | None = None

    def counts(self, took_seconds: float = 0.0, **counts: float) -> dict[str, float]:
        """Tallies of what has just been done, in so many seconds."""
        if self.started_seconds is None:
            return {}
        return timeline_counts(time() - self.started_seconds, took_seconds, **counts)


UNTIMED = Timeline()


def sum_tallies(tallies: Iterable[Tally]) -> Tally:
    """Adds tallies name by name; of the slowest splits so many are kept as a record names."""
    total: Counter[str] = Counter()
    for one in tallies:
        total.update(one)
    return keep_slowest(total)
