"""Batches grouped by bucket: the one shape in which rows cross a shuffle.

A shuffle costs per element, so rows go in batches: each worker gathers what it has for a bucket before it hands it on. The batch
stays small enough for any transport.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput

from transforms.logic.identity import buckets_of, key_prefixes, text_prefixes
from transforms.logic.repeats import RepeatFinder
from transforms.logic.schemas import slices
from transforms.metrics import at_end_of_bundle

REPEATS = "repeats"

# Enough that batches are worth their shuffle, within what a worker may hold.
_GATHERED_BYTES_OF_BUCKET = 256 << 10
_MOST_GATHERED_BYTES = 32 << 20
# More would only cut the repeats of rarer contents into smaller shards.
_PARTS_OF_BUCKET = 16

Keyed = tuple[int, pa.RecordBatch]


class KeyByBucket(beam.PTransform[PCollection[pa.RecordBatch], PCollection[Keyed]]):
    """Puts rows into `bucket_count` buckets by a column of 16-byte keys or of text; all batches must have one schema."""

    def __init__(self, column: str, kind: Literal["key", "text"], bucket_count: int) -> None:
        """Takes the column to bucket by and how many buckets there are."""
        super().__init__()
        self._settings = (column, kind, bucket_count)

    def expand(self, batches: PCollection[pa.RecordBatch]) -> PCollection[Keyed]:
        """Batches in, (bucket, batch) out."""
        keyed: PCollection[Keyed] = batches | "Gather" >> beam.ParDo(_GatherFn(*self._settings))
        return keyed


class KeyedByContent(NamedTuple):
    """Rows by bucket of their content key, and repeats by bucket and part: see `KeyByContent`."""

    rows: PCollection[Keyed]
    repeats: PCollection[Keyed]


class KeyByContent(beam.PTransform[PCollection[pa.RecordBatch], Any]):
    """Puts batches of the `CHUNKS` schema into buckets by content key, but sets repeats aside (`RepeatFinder`).

    A content that comes too often would bring all its rows to one worker. Its repeats are keyed by bucket and one of a few parts, so
    that several workers share them and each still sees a narrow range of content keys.
    """

    def __init__(self, bucket_count: int) -> None:
        """Takes how many buckets there are."""
        super().__init__()
        self._function = _GatherContentFn(bucket_count)

    def expand(self, chunks: PCollection[pa.RecordBatch]) -> Any:
        """Batches in, `KeyedByContent` out."""
        gather = beam.ParDo(self._function).with_output_types(Keyed, **{REPEATS: Keyed})
        outputs = chunks | "Gather" >> gather.with_outputs(REPEATS, main="main")
        return KeyedByContent(outputs["main"], outputs[REPEATS])


class _GatherFn(beam.DoFn):
    def __init__(self, column: str, kind: str, bucket_count: int) -> None:
        self._column = column
        self._kind = kind
        self._bucket_count = bucket_count
        self._enough_bytes = min(_MOST_GATHERED_BYTES, bucket_count * _GATHERED_BYTES_OF_BUCKET)
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0

    def start_bundle(self) -> None:
        self._batches, self._bytes = [], 0

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        self._batches.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= self._enough_bytes:
            yield from self._drain()

    def finish_bundle(self) -> Iterator[Any]:
        return at_end_of_bundle(self._drain())

    def _drain(self) -> Iterator[Any]:
        if self._batches:
            table = pa.Table.from_batches(self._batches)
            self._batches, self._bytes = [], 0
            yield from self._hand_on(table)

    def _hand_on(self, table: pa.Table) -> Iterator[Any]:
        yield from self._keyed(table)

    def _keyed(self, table: pa.Table) -> Iterator[Keyed]:
        column = table.column(self._column)
        prefixes = key_prefixes(column) if self._kind == "key" else text_prefixes(column.to_pylist())
        buckets = buckets_of(prefixes, self._bucket_count)
        order = np.argsort(buckets, kind="stable")
        ordered, buckets = table.take(pa.array(order)), buckets[order]
        borders = [*np.flatnonzero(np.diff(buckets, prepend=-1)).tolist(), len(buckets)]
        for start, stop in pairwise(borders):
            for batch in slices(ordered.slice(start, stop - start)):
                yield int(buckets[start]), batch


class _GatherContentFn(_GatherFn):
    def __init__(self, bucket_count: int) -> None:
        super().__init__("content_key", "key", bucket_count)
        # The more there is, the more repeats are seen in it.
        self._enough_bytes = _MOST_GATHERED_BYTES
        # It lives as long as the worker, so that it also finds a content that comes a few times in every buffer.
        self._finder = RepeatFinder()

    def _hand_on(self, table: pa.Table) -> Iterator[Any]:
        repeats = self._finder.find(table)
        if not repeats.any():
            yield from self._keyed(table)
            return
        yield from self._keyed(table.filter(pa.array(~repeats)))
        for bucket, batch in self._keyed(table.filter(pa.array(repeats))):
            part = int(key_prefixes(batch.column("row_key")[:1])[0]) % _PARTS_OF_BUCKET
            yield TaggedOutput(REPEATS, (bucket * _PARTS_OF_BUCKET + part, batch))
