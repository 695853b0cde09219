"""RecogniseDocuments: a document that the collection holds as it is skips the pipeline."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsMultiMap, PCollection, TaggedOutput

from transforms.adapters.ledger_buckets import buckets_of_rows, document_bucket_count
from transforms.adapters.workspace import Held, Workspace
from transforms.group import Keyed
from transforms.logic.identity import buckets_of, text_prefixes
from transforms.logic.notices import NoticeGatherer
from transforms.logic.recognition import KEY_COLUMNS, Known, KnownKeys, known_by_source, recognise, with_keys
from transforms.metrics import REJECTED, TALLIED, ByProducts, Stopwatch, Tally, at_end_of_bundle, tally

_KEPT = "kept"

# Enough that a bucket's batch is worth its shuffle, within what a worker may hold.
_GATHERED_DOCUMENTS_OF_BUCKET = 4096
_MOST_GATHERED_DOCUMENTS = 1 << 19

_KnownOfSource = tuple[str, Known]


class Recognised(NamedTuple):
    """Documents that are new or changed (`RECOGNISED`), and by bucket `NOTICES` of those whose rows stay."""

    changed: PCollection[pa.RecordBatch]
    kept: PCollection[Keyed]


class RecogniseDocuments(beam.PTransform[PCollection[pa.RecordBatch], Any]):
    """Batches of the `RECORDS` schema, parted by whether the ledger knows each document as it is.

    What the ledger knows is brought to the workers by source, so that each holds that of the files that it reads and no other: 8 bytes a
    document. Of a document that stays some 5 bytes cross a shuffle.
    """

    def __init__(
        self,
        workspace: Workspace,
        held: Held,
        bucket_count: int,
        recipe: str,
        by_products: ByProducts,
        *,
        recheck: bool = False,
    ) -> None:
        """Takes what the collection holds, and the fingerprint of how documents become rows.

        `bucket_count` is that of the `ReconcileLedger` to come. With `recheck` no document is known.
        """
        super().__init__()
        count = document_bucket_count(held.ledger, bucket_count)
        self._parts = () if recheck else held.ledger.parts
        self._read_keys = _ReadKeysFn(workspace, count)
        self._function = _RecogniseFn(recipe, count)
        self._by_products = by_products

    def expand(self, documents: PCollection[pa.RecordBatch]) -> Any:
        """Documents in, `Recognised` out."""
        known = (
            documents.pipeline
            | "Parts" >> beam.Create(self._parts, reshuffle=False)
            | "Read keys" >> beam.ParDo(self._read_keys).with_output_types(_KnownOfSource)
        )
        typed = beam.ParDo(self._function, AsMultiMap(known)).with_output_types(
            pa.RecordBatch, **{_KEPT: Keyed, REJECTED: pa.RecordBatch, TALLIED: Tally}
        )
        outputs = documents | typed.with_outputs(_KEPT, REJECTED, TALLIED, main="main")
        return Recognised(self._by_products.take(outputs), outputs[_KEPT])


class _ReadKeysFn(beam.DoFn):
    def __init__(self, workspace: Workspace, bucket_count: int) -> None:
        self._workspace = workspace
        self._bucket_count = bucket_count

    def process(self, name: str) -> Iterator[_KnownOfSource]:
        rows = self._workspace.read_ledger_part(name, KEY_COLUMNS)
        yield from known_by_source(rows, buckets_of_rows(name, rows, self._bucket_count)).items()


class _RecogniseFn(beam.DoFn):
    def __init__(self, recipe: str, bucket_count: int) -> None:
        self._recipe = recipe
        self._bucket_count = bucket_count
        self._enough = min(_MOST_GATHERED_DOCUMENTS, bucket_count * _GATHERED_DOCUMENTS_OF_BUCKET)
        self._known: dict[str, KnownKeys] = {}
        self._gathered = NoticeGatherer()

    def start_bundle(self) -> None:
        self._known, self._gathered = {}, NoticeGatherer()

    def process(self, batch: pa.RecordBatch, known: Mapping[str, Iterable[Known]]) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running():
            documents = with_keys(batch, self._recipe)
            buckets = buckets_of(text_prefixes(batch.column("document_id").to_pylist()), self._bucket_count)
            # Batches of a file follow one another; of the files before nothing is needed any more.
            self._known = {
                source: self._known.get(source) or KnownKeys(known[source])
                for source in batch.column("source").unique().to_pylist()
            }
            found = recognise(documents, buckets, self._known)
            changed = documents.filter(pa.array(found.ranks < 0))
            self._gathered.add(documents, buckets, found)
        if changed.num_rows:
            yield changed
        yield tally(
            "recognise", seconds=watch.seconds, **{"documents.recognised": documents.num_rows - changed.num_rows}
        )
        if len(self._gathered) >= self._enough:
            yield from self._drain()

    def finish_bundle(self) -> Iterator[Any]:
        yield from at_end_of_bundle(self._drain())

    def _drain(self) -> Iterator[TaggedOutput[str, Any]]:
        for keyed in self._gathered.drain():
            yield TaggedOutput(_KEPT, keyed)
