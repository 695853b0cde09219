"""ReconcileLedger: what the collection holds against what this run wants it to hold."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, PCollection, TaggedOutput

from transforms.adapters.ledger_buckets import LedgerBuckets, document_bucket_count
from transforms.adapters.workspace import Held, Workspace, read_intents
from transforms.group import KeyByBucket, Keyed
from transforms.logic.checksum import HELD, WANTED, checksum_counts
from transforms.logic.ledger import Bucket, reconcile_bucket
from transforms.logic.notices import kept_documents
from transforms.logic.records import Place, reject
from transforms.logic.schemas import INTENTS, LEDGER, NOTICES, POINTERS, Reason, batch_of, slices
from transforms.metrics import REJECTED, TALLIED, ByProducts, Stopwatch, Tally, rejected, tally
from transforms.mirror import DecideMirror, Meeting, of_schema, rejected_documents, rejected_ids

DELETES = "deletes"
PARTS = "parts"

_NOTHING = batch_of([], NOTICES)


class Reconciled(NamedTuple):
    """Rows to write (`LEDGER`), rows to delete (`INTENTS`), and the names of the parts of the ledger to be committed."""

    writes: PCollection[pa.RecordBatch]
    deletes: PCollection[pa.RecordBatch]
    parts: PCollection[str]


class ReconcileLedger(beam.PTransform[Any, Any]):
    """Pointers of this run meet the held rows of the same documents; only keys and places cross the shuffle, and no held row.

    Rows about to change are written down as intents before anything downstream touches Milvus, so that a run that dies there leaves
    a trace the next one follows. A part of the ledger in which nothing changes is named again as it is.
    """

    def __init__(
        self,
        workspace: Workspace,
        held: Held,
        bucket_count: int,
        by_products: ByProducts,
        max_delete_fraction: float | None = None,
    ) -> None:
        """Takes what the collection holds, and into how many buckets documents are put at least.

        With `max_delete_fraction` the run mirrors its source: what is held of documents that the source no longer has is deleted too, if
        `logic.mirroring` allows it. For that all of the source must be read.
        """
        super().__init__()
        self._held = held
        self._bucket_count = document_bucket_count(held.ledger, bucket_count)
        self._function = _ReconcileFn(workspace, held, self._bucket_count)
        self._open_bucket = _OpenBucket(workspace, held, self._bucket_count)
        self._by_products = by_products
        self._max_delete_fraction = max_delete_fraction

    def expand(self, found: Any) -> Any:
        """`Reconciled` out of `POINTERS` of stored chunks under the name "pointers" and, if any, `NOTICES` by bucket under "kept"."""
        pointers = found["pointers"]
        root = pointers.pipeline
        intents = root | "Intents" >> beam.Create(self._held.intents, reshuffle=False)
        inputs = {"pointers": pointers, "intents": intents | "Read intents" >> beam.FlatMap(_read_intents)}
        rejects = None if self._max_delete_fraction is None else self._by_products.rejects
        if rejects is not None:
            inputs["rejects"] = rejects | "With their ids" >> beam.Map(rejected_documents)
        keyed: list[PCollection[Keyed]] = [
            batches | f"Key {name}" >> KeyByBucket("document_id", "text", self._bucket_count)
            for name, batches in inputs.items()
        ]
        if "kept" in found:
            keyed.append(found["kept"])
        # Each is visited, whether or not this run says anything of it: rows that are held there stay held.
        visits = (
            root
            | "Buckets" >> beam.Create(range(self._bucket_count), reshuffle=False)
            | "Visit each" >> beam.Map(lambda number: (number, _NOTHING)).with_output_types(Keyed)
        )
        buckets = (*keyed, visits) | "Join" >> beam.Flatten() | "By document" >> beam.GroupByKey()
        decisions = []
        if rejects is not None and self._max_delete_fraction is not None:
            decided = buckets | "Mirror" >> DecideMirror(
                self._open_bucket, rejects, self._max_delete_fraction, self._by_products
            )
            decisions.append(AsSingleton(decided))
        outputs = buckets | beam.ParDo(self._function, *decisions).with_output_types(
            pa.RecordBatch, **{DELETES: pa.RecordBatch, PARTS: str, REJECTED: pa.RecordBatch, TALLIED: Tally}
        ).with_outputs(DELETES, PARTS, REJECTED, TALLIED, main="main")
        return Reconciled(self._by_products.take(outputs), outputs[DELETES], outputs[PARTS])


class _OpenBucket:
    """What met in a bucket, and the rows that are held there."""

    def __init__(self, workspace: Workspace, held: Held, bucket_count: int) -> None:
        self._held = LedgerBuckets(workspace, held.ledger.parts)
        self._trusted = held.trusted
        self._bucket_count = bucket_count

    def __call__(self, number: int, batches: Sequence[pa.RecordBatch]) -> Bucket:
        return self.with_parts(number, batches)[0]

    def with_parts(self, number: int, batches: Sequence[pa.RecordBatch]) -> tuple[Bucket, tuple[str, ...] | None]:
        """Also the parts that hold those rows and no others, or None if some hold more."""
        produced, notices, doubts = (of_schema(batches, schema) for schema in (POINTERS, NOTICES, INTENTS))
        held = self._held.of_bucket(number, self._bucket_count)
        if not self._trusted:
            doubts = pa.concat_tables([held.rows.select(INTENTS.names), doubts])
        return Bucket(produced, kept_documents(notices, held.rows), held.rows, doubts), held.parts


class _ReconcileFn(beam.DoFn):
    def __init__(self, workspace: Workspace, held: Held, bucket_count: int) -> None:
        self._workspace = workspace
        self._number = held.next_number
        self._claim = held.claim
        self._open_bucket = _OpenBucket(workspace, held, bucket_count)

    def process(
        self,
        element: Meeting,
        deletes_gone: bool = False,  # noqa: FBT001, FBT002  a side input
    ) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running():
            batches = list(element[1])
            bucket, parts = self._open_bucket.with_parts(element[0], batches)
            gone, _ = bucket.gone(rejected_ids(batches)) if deletes_gone else ((), 0)
            result, held = reconcile_bucket(bucket, gone)
            if held.num_rows and (parts is None or not held.equals(bucket.ledger)):
                parts = (self._workspace.write_ledger_part(held),)
            changes = [*result.writes, *result.deletes]
            if changes:
                if self._claim is not None:
                    self._claim.check()
                self._workspace.write_intents(self._number, pa.Table.from_batches([batch_of(changes, INTENTS)]))
        for name in parts if held.num_rows and parts else ():
            yield TaggedOutput(PARTS, name)
        if result.writes:
            yield from slices(pa.Table.from_batches([batch_of(result.writes, LEDGER)]))
        if result.deletes:
            for batch in slices(pa.Table.from_batches([batch_of(result.deletes, INTENTS)])):
                yield TaggedOutput(DELETES, batch)
        yield from rejected([_duplicate(row) for row in result.duplicates])
        yield tally("reconcile", **{"seconds": watch.seconds, **result.counts})
        # Batch by batch: all rows of a bucket as Python objects take ten times their memory.
        rows = (row for batch in slices(held.select(["id", "row_key"])) for row in batch.to_pylist())
        yield TaggedOutput(TALLIED, {**checksum_counts(HELD, rows), **checksum_counts(WANTED, result.writes)})


def _read_intents(uri: str) -> Iterator[pa.RecordBatch]:
    yield from slices(read_intents(uri))


def _duplicate(row: Any) -> dict[str, Any]:
    detail = "another document has this id; the first by source and position stands"
    return reject(
        "reconcile",
        Reason.DUPLICATE_ID,
        Place(row["source"], row["position"], "position"),
        detail,
        document_id=row["document_id"],
    )
