"""DecideMirror: whether what is held of documents gone from the source is deleted, decided once for all buckets."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.logic.ledger import Bucket
from transforms.logic.mirroring import GONE, HELD, UNREAD, mirror
from transforms.logic.schemas import REJECTS, concatenate
from transforms.metrics import ByProducts, Tally, sum_tallies, tally, with_by_products

Meeting = tuple[int, Iterable[pa.RecordBatch]]
"""A bucket of documents, and batches of several schemas that speak of them."""


class DecideMirror(beam.PTransform[PCollection[Meeting], PCollection[bool]]):
    """Buckets of documents in, one decision out: each bucket is counted where it lies, only counts are brought together."""

    def __init__(
        self,
        open_bucket: Callable[[int, Sequence[pa.RecordBatch]], Bucket],
        rejects: PCollection[pa.RecordBatch],
        max_delete_fraction: float,
        by_products: ByProducts,
    ) -> None:
        """Takes what makes a bucket of what meets there, the rejects so far, and the share of held documents that may be deleted."""
        super().__init__()
        self._open_bucket = open_bucket
        self._rejects = rejects
        self._max_delete_fraction = max_delete_fraction
        self._by_products = by_products

    def expand(self, buckets: PCollection[Meeting]) -> PCollection[bool]:
        """Gives one element."""
        most = self._max_delete_fraction
        counted = (
            self._by_products.take(
                buckets | "Count gone" >> with_by_products(_CountFn(partial(_count_gone, self._open_bucket)), Tally)
            ),
            self._by_products.take(self._rejects | "Count unread" >> with_by_products(_CountFn(_count_unread), Tally)),
        )
        decision: PCollection[bool] = (
            counted
            | beam.Flatten()
            | "Sum" >> beam.CombineGlobally(sum_tallies)
            | "Decide" >> beam.Map(lambda counts: mirror(counts, most).outcome == "deleted").with_output_types(bool)
        )
        return decision


def rejected_documents(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Those of a batch of rejects that name their document."""
    return batch.filter(batch.column("document_id").is_valid())


def rejected_ids(batches: Iterable[pa.RecordBatch]) -> list[str]:
    """Ids of the rejected documents among what met in a bucket."""
    ids: list[str] = of_schema(batches, REJECTS).column("document_id").to_pylist()
    return ids


def of_schema(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Those of mixed batches that have a schema."""
    return concatenate((batch for batch in batches if batch.schema.equals(schema)), schema)


def _count_gone(open_bucket: Callable[[int, Sequence[pa.RecordBatch]], Bucket], met: Meeting) -> Tally:
    batches = list(met[1])
    gone, held = open_bucket(met[0], batches).gone(rejected_ids(batches))
    return {GONE: len(gone), HELD: held}


def _count_unread(rejects: pa.RecordBatch) -> Tally:
    unread = pc.or_(pc.equal(rejects.column("level"), "file"), rejects.column("document_id").is_null())
    return {UNREAD: pc.sum(unread).as_py() or 0}


class _CountFn(beam.DoFn):
    def __init__(self, count: Callable[[Any], Tally]) -> None:
        self._count = count

    def process(self, element: Any) -> Iterator[Any]:
        counts = self._count(element)
        yield counts
        yield tally("reconcile", **counts)
