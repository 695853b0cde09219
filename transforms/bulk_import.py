"""ImportToMilvus: rows into a collection that holds none, by files that Milvus imports.

In place of `WriteToMilvus`, and with the same contract: compressed rows in, nothing out but tallies, which come once the rows can be
counted. Only names of files cross a shuffle. What a bundle that was given up has written, nothing names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import AsList, PCollection, TaggedOutput

from transforms.adapters.milvus import CollectionSpace, Target
from transforms.adapters.milvus.import_jobs import connect_to_import, open_jobs
from transforms.adapters.milvus.import_storage import ImportStorage, ImportWriter, max_text_bytes
from transforms.adapters.milvus.imports import Import, Journal, Timing, remove_files
from transforms.adapters.workspace import Held, Workspace
from transforms.logic.checksum import WRITTEN, checksum, counts_of
from transforms.logic.import_files import ImportFile, rows_by_partition
from transforms.metrics import TALLIED, ByProducts, Stopwatch, at_end_of_bundle, tally, with_by_products


@dataclass(frozen=True)
class Importing:
    """How files are imported.

    Attributes:
        storage: where files of the collection go.
        endpoint: address of the REST interface where it is not Milvus's own.
        file_bytes: a file is complete when it is as large.
        patience_seconds: a job without progress for so long is given up.
    """

    storage: ImportStorage
    endpoint: str | None
    file_bytes: int
    patience_seconds: float

    def storage_of(self, held: Held) -> ImportStorage:
        """Where the files of the import lie that leads to the next ledger."""
        return self.storage.below(f"{held.next_number:08d}")


class ImportToMilvus(beam.PTransform[PCollection[pa.RecordBatch], PCollection[str]]):
    """Writes compressed rows, whose ids are distinct in the whole run, to files and imports these; gives nothing but its tallies."""

    def __init__(
        self,
        target: Target,
        space: CollectionSpace,
        importing: Importing,
        workspace: Workspace,
        held: Held,
        by_products: ByProducts,
    ) -> None:
        """Takes the collection, which holds no rows but those of an import that died, what it records, and where its journal is."""
        super().__init__()
        self._write = _WriteFilesFn(importing.storage_of(held), space, importing.file_bytes)
        self._import = _ImportFn(target, importing, workspace, held)
        self._by_products = by_products

    def expand(self, rows: PCollection[pa.RecordBatch]) -> PCollection[str]:
        """Rows in, nothing out."""
        files = self._by_products.take(rows | "Write files" >> with_by_products(self._write, str))
        one = rows.pipeline | "Once" >> beam.Create([None], reshuffle=False)
        nothing: PCollection[str] = self._by_products.take(
            one | "Import files" >> with_by_products(self._import, str, [AsList(files)])
        )
        return nothing


class _WriteFilesFn(beam.DoFn):
    def __init__(self, storage: ImportStorage, space: CollectionSpace, file_bytes: int) -> None:
        self._settings = (storage, space, file_bytes)
        self._writer: ImportWriter | None = None
        self._watch = Stopwatch()

    def start_bundle(self) -> None:
        # Of a bundle that failed in this instance something may be open.
        self.teardown()
        storage, space, file_bytes = self._settings
        self._writer = ImportWriter(storage, space.milvus_outputs, max_text_bytes(space), file_bytes)
        self._watch = Stopwatch()

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        if self._writer is None:
            raise RuntimeError("a bundle begins with start_bundle")
        complete = []
        with self._watch.running():
            for partition, rows in _by_partition(batch):
                value = checksum(rows.select(["id", "row_key"]).to_pylist())
                complete += self._writer.add(partition, rows, value)
        yield from (file.to_json() for file in complete)

    def finish_bundle(self) -> Iterator[Any]:
        if self._writer is None:
            raise RuntimeError("a bundle ends after start_bundle")
        with self._watch.running():
            complete = self._writer.close()
        outputs = [*(file.to_json() for file in complete), tally("write", seconds=self._watch.seconds)]
        yield from at_end_of_bundle(outputs)

    def teardown(self) -> None:
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None


class _ImportFn(beam.DoFn):
    def __init__(self, target: Target, importing: Importing, workspace: Workspace, held: Held) -> None:
        self._target = target
        self._importing = importing
        self._workspace = workspace
        self._held = held

    def process(self, element: None, written: Sequence[str]) -> Iterator[Any]:
        del element
        watch = Stopwatch()
        files = [ImportFile.from_json(text) for text in written]
        with watch.running():
            if files:
                self._run(files)
        yield tally("write", **{"seconds": watch.seconds, "rows.written": sum(file.rows for file in files)})
        total = sum(file.checksum for file in files) % (1 << 128)
        yield TaggedOutput(TALLIED, counts_of(WRITTEN, total))

    def _run(self, files: Sequence[ImportFile]) -> None:
        storage = self._importing.storage_of(self._held)
        journal = Journal(self._workspace.imports, self._held.next_number)
        planned = journal.plan(files, storage)
        collection = connect_to_import(self._target)
        try:
            for partition in rows_by_partition(planned):
                collection.create_partition(partition)

            def counts() -> dict[str, int]:
                collection.refresh()
                return collection.counts()

            Import(
                open_jobs(self._target, collection, self._importing.endpoint),
                journal,
                storage,
                counts,
                self._held.check_lease,
                Timing(patience_seconds=self._importing.patience_seconds),
            ).run(planned)
        finally:
            collection.close()
        # Those of a bundle that ran twice were perhaps cut in another way; they hold the same rows.
        remove_files(storage, list({file.name: file for file in (*planned, *files)}.values()))


def _by_partition(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    for partition in pc.unique(batch.column("partition")).sort().to_pylist():
        yield partition, batch.filter(pc.equal(batch.column("partition"), partition))
