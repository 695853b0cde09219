"""ReconcileLedger: what the collection holds against what this run wants it to hold."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, PCollection, TaggedOutput

from transforms.adapters.workspace import Held, Workspace, read_intents
from transforms.group import KeyByBucket, Keyed
from transforms.logic.checksum import HELD, WANTED, checksum_counts
from transforms.logic.ledger import gone_documents, reconcile
from transforms.logic.records import Place, reject
from transforms.logic.schemas import INTENTS, LEDGER, POINTERS, REJECTS, Reason, batch_of, slices
from transforms.metrics import REJECTED, TALLIED, ByProducts, Stopwatch, Tally, rejected, tally
from transforms.mirror import DecideMirror, of_schema, rejected_documents

DELETES = "deletes"
PARTS = "parts"


class Reconciled(NamedTuple):
    """Rows to write (`LEDGER`), rows to delete (`INTENTS`), and the names of the parts of the ledger to be committed."""

    writes: PCollection[pa.RecordBatch]
    deletes: PCollection[pa.RecordBatch]
    parts: PCollection[str]


class ReconcileLedger(beam.PTransform[PCollection[pa.RecordBatch], Any]):
    """Pointers of this run meet the held rows of the same documents; only keys and places cross the shuffle.

    Rows about to change are written down as intents before anything downstream touches Milvus, so that a run that dies there leaves
    a trace the next one follows.
    """

    def __init__(
        self,
        workspace: Workspace,
        held: Held,
        bucket_count: int,
        by_products: ByProducts,
        max_delete_fraction: float | None = None,
    ) -> None:
        """Takes what the collection holds, and into how many buckets documents are put.

        With `max_delete_fraction` the run mirrors its source: what is held of documents that the source no longer has is deleted too, if
        `logic.mirroring` allows it. For that all of the source must be read.
        """
        super().__init__()
        self._workspace = workspace
        self._held = held
        self._bucket_count = bucket_count
        self._function = _ReconcileFn(workspace, held)
        self._by_products = by_products
        self._max_delete_fraction = max_delete_fraction

    def expand(self, pointers: PCollection[pa.RecordBatch]) -> Any:
        """Pointers in; `Reconciled` out."""
        root = pointers.pipeline
        parts = root | "Parts" >> beam.Create(self._held.ledger.parts, reshuffle=False)
        intents = root | "Intents" >> beam.Create(self._held.intents, reshuffle=False)
        held = parts | "Read parts" >> beam.ParDo(_ReadPartFn(self._workspace))
        doubts = intents | "Read intents" >> beam.FlatMap(_read_intents)
        inputs = {"pointers": pointers, "held rows": held, "intents": doubts}
        rejects = None if self._max_delete_fraction is None else self._by_products.rejects
        if rejects is not None:
            inputs["rejects"] = rejects | "With their ids" >> beam.Map(rejected_documents)
        keyed: tuple[PCollection[Keyed], ...] = tuple(
            batches | f"Key {name}" >> KeyByBucket("document_id", "text", self._bucket_count)
            for name, batches in inputs.items()
        )
        buckets = keyed | "Join" >> beam.Flatten() | "By document" >> beam.GroupByKey()
        decisions = []
        if rejects is not None and self._max_delete_fraction is not None:
            decided = buckets | "Mirror" >> DecideMirror(rejects, self._max_delete_fraction, self._by_products)
            decisions.append(AsSingleton(decided))
        outputs = buckets | beam.ParDo(self._function, *decisions).with_output_types(
            pa.RecordBatch, **{DELETES: pa.RecordBatch, PARTS: str, REJECTED: pa.RecordBatch, TALLIED: Tally}
        ).with_outputs(DELETES, PARTS, REJECTED, TALLIED, main="main")
        return Reconciled(self._by_products.take(outputs), outputs[DELETES], outputs[PARTS])


class _ReadPartFn(beam.DoFn):
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def process(self, name: str) -> Iterator[pa.RecordBatch]:
        yield from slices(self._workspace.read_ledger_part(name))


def _read_intents(uri: str) -> Iterator[pa.RecordBatch]:
    yield from slices(read_intents(uri))


class _ReconcileFn(beam.DoFn):
    def __init__(self, workspace: Workspace, held: Held) -> None:
        self._workspace = workspace
        self._number = held.next_number
        self._trusted = held.trusted
        self._claim = held.claim

    def process(
        self,
        element: tuple[int, Iterable[pa.RecordBatch]],
        deletes_gone: bool = False,  # noqa: FBT001, FBT002  a side input
    ) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running():
            batches = list(element[1])
            pointers, held, doubts = (of_schema(batches, schema).to_pylist() for schema in (POINTERS, LEDGER, INTENTS))
            rejects = of_schema(batches, REJECTS).column("document_id").to_pylist()
            gone, _ = gone_documents(pointers, held, rejects) if deletes_gone else ((), 0)
            result = reconcile(pointers, held, doubts if self._trusted else [*held, *doubts], gone)
            if result.held:
                part = self._workspace.write_ledger_part(pa.Table.from_batches([batch_of(result.held, LEDGER)]))
                yield TaggedOutput(PARTS, part)
            changes = [*result.writes, *result.deletes]
            if changes:
                if self._claim is not None:
                    self._claim.check()
                self._workspace.write_intents(self._number, pa.Table.from_batches([batch_of(changes, INTENTS)]))
        if result.writes:
            yield from slices(pa.Table.from_batches([batch_of(result.writes, LEDGER)]))
        if result.deletes:
            for batch in slices(pa.Table.from_batches([batch_of(result.deletes, INTENTS)])):
                yield TaggedOutput(DELETES, batch)
        yield from rejected([_duplicate(row) for row in result.duplicates])
        yield tally("reconcile", **{"seconds": watch.seconds, **result.counts})
        checksums = {**checksum_counts(HELD, result.held), **checksum_counts(WANTED, result.writes)}
        yield TaggedOutput(TALLIED, checksums)


def _duplicate(row: Any) -> dict[str, Any]:
    detail = "another document has this id; the first by source and position stands"
    return reject(
        "reconcile",
        Reason.DUPLICATE_ID,
        Place(row["source"], row["position"], "position"),
        detail,
        document_id=row["document_id"],
    )
