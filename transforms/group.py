"""Batches grouped by bucket: the one shape in which rows cross a shuffle.

A shuffle costs per element, so rows go in batches: each worker gathers what it has for a bucket before it hands it on. The batch
stays small enough for any transport.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from transforms.logic.identity import buckets_of, key_prefixes, text_prefixes
from transforms.logic.schemas import slices

_GATHERED_BYTES = 32 << 20

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


class _GatherFn(beam.DoFn):
    def __init__(self, column: str, kind: str, bucket_count: int) -> None:
        self._column = column
        self._kind = kind
        self._bucket_count = bucket_count
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0

    def start_bundle(self) -> None:
        self._batches, self._bytes = [], 0

    def process(self, batch: pa.RecordBatch) -> Iterator[Keyed]:
        self._batches.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= _GATHERED_BYTES:
            yield from self._drain()

    def finish_bundle(self) -> Iterator[Any]:
        window = GlobalWindow()
        for keyed in self._drain():
            yield WindowedValue(keyed, window.max_timestamp(), (window,))

    def _drain(self) -> Iterator[Keyed]:
        if not self._batches:
            return
        table = pa.Table.from_batches(self._batches)
        self._batches, self._bytes = [], 0
        column = table.column(self._column)
        prefixes = key_prefixes(column) if self._kind == "key" else text_prefixes(column.to_pylist())
        buckets = buckets_of(prefixes, self._bucket_count)
        order = np.argsort(buckets, kind="stable")
        ordered, buckets = table.take(pa.array(order)), buckets[order]
        borders = [*np.flatnonzero(np.diff(buckets, prepend=-1)).tolist(), len(buckets)]
        for start, stop in pairwise(borders):
            for batch in slices(ordered.slice(start, stop - start)):
                yield int(buckets[start]), batch
