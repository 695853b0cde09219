"""WriteToMilvus and DeleteFromMilvus: rows by upsert, stale rows by primary key, each in its own partition."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection, TaggedOutput

from transforms.adapters.milvus import Collection, Target, connect
from transforms.logic.checksum import WRITTEN, checksum_counts
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.rows import milvus_rows
from transforms.metrics import TALLIED, ByProducts, Stopwatch, tally, with_by_products


class WriteToMilvus(beam.PTransform[PCollection[pa.RecordBatch], PCollection[str]]):
    """Upserts compressed rows, whose ids are distinct in the whole run; gives nothing but its tallies."""

    def __init__(self, target: Target, by_products: ByProducts, outputs: tuple[Output, ...] = OUTPUTS[:1]) -> None:
        """Takes the collection, and the outputs that it holds; each worker keeps one connection."""
        super().__init__()
        self._function = _UpsertFn(target, outputs)
        self._by_products = by_products

    def expand(self, rows: PCollection[pa.RecordBatch]) -> PCollection[str]:
        """Rows in, nothing out."""
        nothing: PCollection[str] = self._by_products.take(rows | with_by_products(self._function, str))
        return nothing


class DeleteFromMilvus(beam.PTransform[PCollection[pa.RecordBatch], PCollection[str]]):
    """Deletes rows of the `INTENTS` schema; gives nothing but its tallies."""

    def __init__(self, target: Target, by_products: ByProducts) -> None:
        """Takes the collection; each worker keeps one connection."""
        super().__init__()
        self._function = _DeleteFn(target)
        self._by_products = by_products

    def expand(self, rows: PCollection[pa.RecordBatch]) -> PCollection[str]:
        """Rows in, nothing out."""
        nothing: PCollection[str] = self._by_products.take(rows | with_by_products(self._function, str))
        return nothing


class _CollectionFn(beam.DoFn):
    def __init__(self, target: Target) -> None:
        self._target = target
        self._opened: Collection | None = None

    # Not a property: Beam reads every attribute of a DoFn while it builds the graph, and would connect there.
    def _collection(self) -> Collection:
        if self._opened is None:
            self._opened = connect(self._target)
        return self._opened

    def teardown(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


class _UpsertFn(_CollectionFn):
    def __init__(self, target: Target, outputs: tuple[Output, ...] = OUTPUTS[:1]) -> None:
        super().__init__(target)
        self._outputs = outputs

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running():
            for partition, rows in _by_partition(batch):
                self._collection().upsert(partition, milvus_rows(rows, self._outputs))
        yield tally("write", **{"seconds": watch.seconds, "rows.written": batch.num_rows})
        yield TaggedOutput(TALLIED, checksum_counts(WRITTEN, batch.select(["id", "row_key"]).to_pylist()))


class _DeleteFn(_CollectionFn):
    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running():
            for partition, rows in _by_partition(batch):
                self._collection().delete(partition, rows.column("id").to_pylist())
        yield tally("delete", **{"seconds": watch.seconds, "rows.deleted": batch.num_rows})


def _by_partition(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    for partition in pc.unique(batch.column("partition")).sort().to_pylist():
        yield partition, batch.filter(pc.equal(batch.column("partition"), partition))
