"""A verb run alone, on the runner that tests name, and rows to feed it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import pyarrow as pa

import transforms.coders  # noqa: F401  registers the coder of record batches
from tests.fakes import FakeDetector, FakeTokenizer
from transforms.identify import Partitioning, identify_language
from transforms.logic.checksum import counted_checksum
from transforms.logic.chunking import Limits
from transforms.logic.reuse import Known, reuse_vectors
from transforms.logic.schemas import CHUNKS, RECORDS, batch_of
from transforms.metrics import ByProducts, Tally, sum_tallies
from transforms.split import Splitting, split_into_chunks

SPACE = "space"
LIMITS = Limits(32)

Row = dict[str, Any]


@dataclass
class Outcome:
    """What a verb handed out: elements of its outputs by name, rows of rejects, and the sum of its tallies."""

    outputs: dict[str, list[Any]] = field(default_factory=dict)
    rejects: list[Row] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)

    @property
    def main(self) -> list[Any]:
        return self.outputs["main"]

    @property
    def rows(self) -> list[Row]:
        """Rows of the batches of the main output."""
        return self.rows_of("main")

    def rows_of(self, name: str) -> list[Row]:
        """Rows of the batches of an output."""
        return [row for batch in self.outputs[name] for row in batch.to_pylist()]

    @property
    def counts(self) -> Tally:
        """The sum of the tallies, without measured times and checksums."""
        return {
            name: value
            for name, value in sum_tallies(self.tallies).items()
            if not name.endswith(".seconds") and not name.startswith(("checksum.", "slowest."))
        }

    def checksum(self, name: str) -> int:
        """The checksum that the tallies add up to."""
        return counted_checksum(name, sum_tallies(self.tallies))


# The runner works in this process, so that its workers reach this list.
_seen: dict[str, list[Any]] = {}


class _SeeFn(beam.DoFn):
    def __init__(self, name: str) -> None:
        self._name = name

    def process(self, element: Any) -> None:
        _seen.setdefault(self._name, []).append(element)


def run_verb(make: Callable[[ByProducts], beam.PTransform[Any, Any]], elements: Sequence[Any]) -> Outcome:
    """Runs one verb over elements; outputs of a tuple are named by its fields, a single one is `main`."""
    _seen.clear()
    kept = ByProducts()
    pipeline = beam.Pipeline("FnApiRunner")
    made = pipeline | "Elements" >> beam.Create(list(elements), reshuffle=False) | "Verb" >> make(kept)
    outputs: dict[str, Any] = made._asdict() if hasattr(made, "_asdict") else {"main": made}
    for name, collection in outputs.items():
        _ = collection | f"See {name}" >> beam.ParDo(_SeeFn(name))
    if kept._rejects:
        _ = kept.rejects | "See rejects" >> beam.ParDo(_SeeFn("rejects"))
        _ = kept.tallies | "See tallies" >> beam.ParDo(_SeeFn("tallies"))
    pipeline.run().wait_until_finish()
    rejects = [row for batch in _seen.get("rejects", []) for row in batch.to_pylist()]
    return Outcome({name: list(_seen.get(name, [])) for name in outputs}, rejects, list(_seen.get("tallies", [])))


def record(name: str, text: str, **changes: Any) -> Row:
    """A row of the `RECORDS` schema."""
    row = {
        "document_id": name,
        "text": text,
        "declared_language": None,
        "source": "a.jsonl",
        "position": 0,
        "date": "2026-03-01",
        "metadata": "{}",
    }
    return row | changes


def records(*rows: Row) -> pa.RecordBatch:
    """A batch of the `RECORDS` schema."""
    return batch_of(rows, RECORDS)


def chunks(*rows: Row, limits: Limits = LIMITS) -> pa.RecordBatch:
    """A batch of the `CHUNKS` schema made of rows of the `RECORDS` schema."""
    documents = identify_language(records(*rows), FakeDetector(), Partitioning())
    of_chunks, _ = split_into_chunks(documents, FakeTokenizer(), FakeDetector(), Splitting(limits, SPACE))
    return batch_of(of_chunks, CHUNKS)


def reused(batches: Iterable[pa.RecordBatch], known: Known | None = None) -> pa.RecordBatch:
    """A batch of the `REUSED` schema: what one bucket would hand on."""
    return reuse_vectors(pa.Table.from_batches(list(batches)), known or Known())
