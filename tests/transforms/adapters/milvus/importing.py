"""A collection on the importing server, files for it, and an import that can be begun again as after a death of its process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.milvus_import_server import ImportServer
from tests.transforms.import_rows import rows_of, space_of
from transforms.adapters.milvus import Target
from transforms.adapters.milvus.import_jobs import ImportCollection, open_jobs
from transforms.adapters.milvus.import_storage import ImportStorage, ImportWriter, max_text_bytes
from transforms.adapters.milvus.imports import Import, Journal, Timing
from transforms.logic.access import Access
from transforms.logic.checksum import checksum
from transforms.logic.import_files import ImportFile
from transforms.logic.outputs import OUTPUTS

SPACE = space_of()


@dataclass
class Clock:
    """A clock that only waiting moves; the server's goes with it."""

    server: ImportServer
    seconds: float = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.server.hours += seconds / 3600


@dataclass
class Place:
    """A server with an empty collection, a storage that it reads, and a journal."""

    server: ImportServer
    home: Path
    patience_seconds: float = 600
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(self.server)
        with self.collection() as collection:
            collection.create(SPACE)
        self.server.partitions |= {"lang_de": {}, "lang_en": {}}

    @property
    def storage(self) -> ImportStorage:
        return ImportStorage(str(self.server.root / "imports"), "imports")

    @property
    def target(self) -> Target:
        return Target(self.server.uri, "c", Access("env:TOKEN_OF_TEST") if self.server.token else Access())

    @property
    def journal(self) -> Journal:
        return Journal(str(self.home / "journal"), 1)

    @contextmanager
    def collection(self) -> Iterator[ImportCollection]:
        opened = ImportCollection(self.target)
        yield opened
        opened.close()

    def write(self, **partitions: Sequence[int]) -> list[ImportFile]:
        """A file of each partition, with rows of these numbers."""
        files = []
        for partition, numbers in partitions.items():
            writer = ImportWriter(self.storage, OUTPUTS[:1], max_text_bytes(SPACE), 1 << 30)
            add(writer, partition, rows_of(numbers, partition=partition))
            files += writer.close()
        return files

    def run(self, files: Sequence[ImportFile], **changes: Any) -> None:
        """Imports as a new process would."""
        timing = Timing(self.patience_seconds, 2, self.clock.now, self.clock.sleep)
        with self.collection() as collection:

            def counts() -> dict[str, int]:
                collection.refresh()
                return collection.counts()

            jobs = open_jobs(self.target, collection, self.server.endpoint)
            Import(jobs, self.journal, self.storage, counts, timing=timing, **changes).run(
                self.journal.plan(files, self.storage)
            )


def add(writer: ImportWriter, partition: str, rows: pa.RecordBatch) -> list[ImportFile]:
    """Hands rows to a writer with their checksum."""
    return writer.add(partition, rows, checksum(rows.select(["id", "row_key"]).to_pylist()))


def ids_of(**partitions: Sequence[int]) -> list[str]:
    """Ids of the rows of `Place.write`."""
    return sorted(
        identity
        for partition, numbers in partitions.items()
        for identity in rows_of(numbers, partition=partition).column("id").to_pylist()
    )
