"""StoreVectors: chunk rows become durable in the dataset before Milvus sees them."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.adapters.workspace import Workspace
from transforms.logic.identity import buckets_of, key_prefixes
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.rows import stored_rows
from transforms.logic.schemas import POINTERS, REUSED, Origin, with_columns
from transforms.metrics import ByProducts, Stopwatch, at_end_of_bundle, tally, with_by_products

_SHARD_BYTES = 128 << 20


class StoreVectors(beam.PTransform[Any, PCollection[pa.RecordBatch]]):
    """Batches of the `REUSED` schema to batches of the `POINTERS` schema; a shard never mixes buckets."""

    def __init__(
        self,
        workspace: Workspace,
        dimensions: int,
        bucket_count: int,
        by_products: ByProducts,
        outputs: tuple[Output, ...] = OUTPUTS[:1],
    ) -> None:
        """Takes the length of the dense vectors, the bucket count of `ReuseVectors`, and the outputs that every chunk has."""
        super().__init__()
        self._function = _StoreFn(workspace, dimensions, bucket_count, outputs)
        self._by_products = by_products

    def expand(self, sources: Any) -> PCollection[pa.RecordBatch]:
        """Chunks with vectors, a mapping from the name of where they come from, in; their places in the dataset out.

        Each source is stored by a step of its own: where one step took all, runners that keep what crosses a step in memory would
        store nothing before the last vector is made, and a run that dies would have nothing to show.
        """
        pointers: PCollection[pa.RecordBatch] = (
            tuple(
                self._by_products.take(chunks | f"Store {name}" >> with_by_products(self._function))
                for name, chunks in sources.items()
            )
            | "All pointers" >> beam.Flatten()
        )
        return pointers


class _StoreFn(beam.DoFn):
    def __init__(self, workspace: Workspace, dimensions: int, bucket_count: int, outputs: tuple[Output, ...]) -> None:
        self._workspace = workspace
        self._dimensions = dimensions
        self._outputs = outputs
        self._bucket_count = bucket_count
        self._waiting: list[pa.RecordBatch] = []
        self._bucket = -1

    def start_bundle(self) -> None:
        self._waiting, self._bucket = [], -1

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        is_new = pc.is_in(batch.column("origin"), value_set=pa.array([Origin.ENCODED.value, Origin.REUSED.value]))
        settled = batch.filter(pc.invert(is_new))
        if settled.num_rows:
            yield with_columns(settled, POINTERS)
        new = batch.filter(is_new)
        if not new.num_rows:
            return
        bucket = int(buckets_of(key_prefixes(new.column("content_key"))[:1], self._bucket_count)[0])
        full = sum(waiting.nbytes for waiting in self._waiting) >= _SHARD_BYTES
        if self._waiting and (bucket != self._bucket or full):
            yield from self._flush()
        self._bucket = bucket
        self._waiting.append(new)

    def finish_bundle(self) -> Iterator[Any]:
        return at_end_of_bundle(self._flush()) if self._waiting else iter(())

    def _flush(self) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running():
            chunks = _ordered(pa.Table.from_batches(self._waiting, REUSED))
            self._waiting = []
            name = self._workspace.write_shard(stored_rows(chunks, self._dimensions, self._outputs))
        batch = chunks.to_batches()[0]
        yield with_columns(
            batch,
            POINTERS,
            shard=pa.array([name] * batch.num_rows),
            row=pa.array(np.arange(batch.num_rows, dtype=np.int32)),
        )
        yield tally("store", **{"seconds": watch.seconds, "rows.stored": batch.num_rows, "shards.written": 1})


def _ordered(chunks: pa.Table) -> pa.Table:
    """By content key, as shards are: what comes of several groups of a bucket is ordered within each only."""
    order = pc.sort_indices(chunks.column("content_key"))
    is_ordered = np.array_equal(order.to_numpy(), np.arange(chunks.num_rows))
    return (chunks if is_ordered else chunks.take(order)).combine_chunks()
