"""WriteToMilvus and DeleteFromMilvus: rows by upsert, stale rows by primary key, each in its own partition."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection, TaggedOutput

from transforms.adapters.milvus import Collection, ColumnBatch, Connection, Target, borrow, give_back
from transforms.logic.checksum import REJECTED, WRITTEN, checksum_counts
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.record import rejected_row_counts
from transforms.logic.records import Place, reject
from transforms.logic.row_faults import row_faults, without
from transforms.logic.rows import milvus_rows
from transforms.logic.schemas import Reason
from transforms.metrics import TALLIED, ByProducts, Stopwatch, rejected, tally, with_by_products


@dataclass(frozen=True)
class Writing:
    """How rows are written: as requests built row by row, or of whole columns, and by how many writers of a process at once."""

    path: Literal["rows", "columns"] = "rows"
    writers: int = 4


class WriteToMilvus(beam.PTransform[PCollection[pa.RecordBatch], PCollection[str]]):
    """Upserts compressed rows, whose ids are distinct in the whole run; gives nothing but its tallies and rejects.

    A row that the collection cannot hold becomes a reject, and what was held under its id is deleted: no older version of it may pass
    for the present one. `CommitRun` takes it out of the ledger, so the next run tries it again.
    """

    def __init__(
        self,
        target: Target,
        by_products: ByProducts,
        outputs: tuple[Output, ...] = OUTPUTS[:1],
        writing: Writing = Writing(),
    ) -> None:
        """Takes the collection, and the outputs that it holds; each worker keeps one connection."""
        super().__init__()
        self._function = _UpsertFn(target, outputs, writing)
        self._by_products = by_products

    def expand(self, rows: PCollection[pa.RecordBatch]) -> PCollection[str]:
        """Rows in, nothing out."""
        nothing: PCollection[str] = self._by_products.take(rows | with_by_products(self._function, str))
        return nothing


class DeleteFromMilvus(beam.PTransform[PCollection[pa.RecordBatch], PCollection[str]]):
    """Deletes rows of the `INTENTS` schema; gives nothing but its tallies."""

    def __init__(self, target: Target, by_products: ByProducts, writing: Writing = Writing()) -> None:
        """Takes the collection; each worker keeps one connection."""
        super().__init__()
        self._function = _DeleteFn(target, writing)
        self._by_products = by_products

    def expand(self, rows: PCollection[pa.RecordBatch]) -> PCollection[str]:
        """Rows in, nothing out."""
        nothing: PCollection[str] = self._by_products.take(rows | with_by_products(self._function, str))
        return nothing


class _CollectionFn(beam.DoFn):
    def __init__(self, target: Target, writing: Writing = Writing()) -> None:
        self._target = target
        self._writing = writing
        self._borrowed: Connection | None = None

    # Not a property: Beam reads every attribute of a DoFn while it builds the graph, and would connect there.
    def _connection(self) -> Connection:
        if self._borrowed is None:
            self._borrowed = borrow(self._target, self._writing.writers)
        return self._borrowed

    def teardown(self) -> None:
        if self._borrowed is not None:
            give_back(self._borrowed)
            self._borrowed = None


class _UpsertFn(_CollectionFn):
    def __init__(
        self,
        target: Target,
        outputs: tuple[Output, ...] = OUTPUTS[:1],
        writing: Writing = Writing(),
    ) -> None:
        super().__init__(target, writing)
        self._outputs = outputs

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        watch = Stopwatch()
        rejects: list[dict[str, Any]] = []
        missing: list[dict[str, Any]] = []
        with watch.running(), self._connection().turn() as collection:
            for partition, rows in _by_partition(batch):
                for row, reason, detail in self._write(collection, partition, rows):
                    (faulty,) = rows.slice(row, 1).to_pylist()
                    missing.append(faulty)
                    rejects.append(_reject(faulty, reason, detail))
        ids = {row["id"] for row in missing}
        written = [row for row in batch.select(["id", "row_key"]).to_pylist() if row["id"] not in ids]
        yield tally("write", **{"seconds": watch.seconds, "rows.written": len(written)})
        yield TaggedOutput(TALLIED, checksum_counts(WRITTEN, written))
        if missing:
            yield TaggedOutput(TALLIED, {**rejected_row_counts(missing), **checksum_counts(REJECTED, missing)})
            yield from rejected(rejects)

    def _write(self, collection: Collection, partition: str, rows: pa.RecordBatch) -> Iterator[tuple[int, Reason, str]]:
        """Writes the rows of one partition; gives number, reason and detail of those that cannot be held."""
        too_long = row_faults(rows, collection.max_bytes())
        found = [(row, Reason.TOO_LARGE, detail) for row, detail in too_long.items()]
        numbers = [number for number in range(rows.num_rows) if number not in too_long]
        sent = without(rows, too_long)
        if sent.num_rows:
            of_columns = self._writing.path == "columns"
            refused = collection.upsert(
                partition, ColumnBatch(sent) if of_columns else milvus_rows(sent, self._outputs)
            )
            found += [(numbers[one.row], Reason.REFUSED_ROW, one.said) for one in refused]
        if found:
            collection.delete(partition, rows.column("id").take(pa.array([row for row, _, _ in found])).to_pylist())
        yield from found


class _DeleteFn(_CollectionFn):
    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running(), self._connection().turn() as collection:
            for partition, rows in _by_partition(batch):
                collection.delete(partition, rows.column("id").to_pylist())
        yield tally("delete", **{"seconds": watch.seconds, "rows.deleted": batch.num_rows})


def _reject(row: dict[str, Any], reason: Reason, detail: str) -> dict[str, Any]:
    """The reject of a dataset row."""
    place = Place(row["source"], row["ordinal"], "chunk")
    described = reject("write", reason, place, detail, row["text"].encode(), row["document_id"])
    return {**described, "level": "chunk"}


def _by_partition(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    for partition in pc.unique(batch.column("partition")).sort().to_pylist():
        yield partition, batch.filter(pc.equal(batch.column("partition"), partition))
