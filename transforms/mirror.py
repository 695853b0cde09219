"""DecideMirror: whether what is held of documents gone from the source is deleted, decided once for all buckets."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.logic.ledger import gone_documents
from transforms.logic.mirroring import GONE, HELD, UNREAD, mirror
from transforms.logic.schemas import LEDGER, POINTERS, REJECTS, concatenate
from transforms.metrics import ByProducts, Tally, sum_tallies, tally, with_by_products


class DecideMirror(beam.PTransform[PCollection[tuple[int, Iterable[pa.RecordBatch]]], PCollection[bool]]):
    """Buckets of documents in, one decision out: each bucket is counted where it lies, only counts are brought together."""

    def __init__(
        self, rejects: PCollection[pa.RecordBatch], max_delete_fraction: float, by_products: ByProducts
    ) -> None:
        """Takes the rejects so far, and the share of held documents that may be deleted."""
        super().__init__()
        self._rejects = rejects
        self._max_delete_fraction = max_delete_fraction
        self._by_products = by_products

    def expand(self, buckets: PCollection[tuple[int, Iterable[pa.RecordBatch]]]) -> PCollection[bool]:
        """Gives one element."""
        most = self._max_delete_fraction
        counted = (
            self._by_products.take(buckets | "Count gone" >> with_by_products(_CountFn(_count_gone), Tally)),
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


def of_schema(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Those of mixed batches that have a schema."""
    return concatenate((batch for batch in batches if batch.schema.equals(schema)), schema)


def _count_gone(bucket: tuple[int, Iterable[pa.RecordBatch]]) -> Tally:
    batches = list(bucket[1])
    produced, held, rejects = (
        of_schema(batches, schema).select(["document_id"]) for schema in (POINTERS, LEDGER, REJECTS)
    )
    gone, count = gone_documents(produced.to_pylist(), held.to_pylist(), rejects.column("document_id").to_pylist())
    return {GONE: len(gone), HELD: count}


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
