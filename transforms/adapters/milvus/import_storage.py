"""Where import files lie, as this project and as Milvus call the place, and the writer that fills it."""

import hashlib
import os
import tempfile
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.adapters.crashpoints import durable
from transforms.adapters.milvus.schema import schema_of
from transforms.adapters.milvus.space import CollectionSpace
from transforms.adapters.storage import filesystem_of, join, remove, write_bytes
from transforms.logic.errors import ConfigurationError
from transforms.logic.import_files import REPEATING_FIELDS, ImportFile, check_columns, import_columns
from transforms.logic.outputs import Output

ROW_GROUP_BYTES = 32 << 20
"""What pymilvus's bulk writer aims at, so that a reader of many files at once stays small."""
_WAITING_BYTES = 256 << 20
_OPEN_FILES_FACTOR = 16
_TEXTS = ("text", "metadata", "source", "document_id")


@dataclass(frozen=True)
class ImportStorage:
    """A directory or part of a bucket.

    Attributes:
        uri: as this project reaches it: a directory, `s3://bucket/path` or `gs://bucket/path`.
        path: what Milvus calls the same place.
    """

    uri: str
    path: str

    def uri_of(self, file: ImportFile) -> str:
        """Where a file is written."""
        return join(self.uri, file.name)

    def path_of(self, file: ImportFile) -> str:
        """What Milvus is asked to import."""
        return join(self.path, file.name) if self.path else file.name

    def below(self, *names: str) -> "ImportStorage":
        """A place below this one."""
        return ImportStorage(join(self.uri, *names), join(self.path, *names) if self.path else "/".join(names))


def import_storage(uri: str, path: str | None = None) -> ImportStorage:
    """The storage that `--import-storage` and `--import-path` name.

    Without a path of its own a directory is called by its absolute path, which a standalone Milvus on local storage reads, and a part of a
    bucket by what follows the bucket's name, because Milvus reads nothing but the bucket that it is configured with.

    Raises:
        ConfigurationError: the scheme is unknown, or its extra is not installed.
    """
    filesystem, place = filesystem_of(uri)
    if "file" in filesystem.protocol:
        return ImportStorage(place.rstrip("/"), (place if path is None else path).rstrip("/"))
    within = place.strip("/").partition("/")[2]
    return ImportStorage(uri.rstrip("/"), (within if path is None else path).rstrip("/"))


def check_storage(storage: ImportStorage) -> None:
    """Writes and removes a small file; one that cannot be written raises `ConfigurationError`."""
    probe = join(storage.uri, ".write-probe")
    try:
        write_bytes(probe, b"corpus-embed")
        remove(probe)
    except OSError as error:
        raise ConfigurationError(f"--import-storage {storage.uri!r} cannot be written: {error}") from error


def max_text_bytes(space: CollectionSpace) -> dict[str, int]:
    """How many bytes each text field of a collection holds."""
    fields = schema_of(space).fields
    return {one.name: int(one.params["max_length"]) for one in fields if "max_length" in one.params}


@dataclass
class ImportWriter:
    """Writes compressed rows to files of one partition each; memory is bounded, and so is the disk that open files take.

    A file has its name, a digest of the row keys in it, once it is complete; the same rows in the same order give the same file. Files are
    not changed afterwards. Local files are synchronised with the disk before they have their name: what is written goes there while the
    next row group is encoded, so that little is left to wait for.

    Attributes:
        storage: where they go.
        outputs: the outputs that the collection holds.
        max_bytes: of text fields (`max_text_bytes`).
        file_bytes: a file is complete when it is as large.
    """

    storage: ImportStorage
    outputs: Collection[Output]
    max_bytes: Mapping[str, int]
    file_bytes: int
    _open: dict[str, "_OpenFile"] = field(default_factory=dict)
    _disk: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def add(self, partition: str, rows: pa.RecordBatch, checksum: int) -> list[ImportFile]:
        """Takes rows of one partition, with their checksum; gives the files that they completed. Rows are looked at a row group at a time.

        Raises:
            CorruptDataError: a row is not what the collection holds (`check_columns`).
            OSError: the storage cannot be written.
        """
        if partition not in self._open:
            self._open[partition] = _OpenFile.begin(self, partition)
        file = self._open[partition]
        file.add(rows, checksum)
        complete = []
        if file.waiting_bytes >= ROW_GROUP_BYTES:
            file.flush()
        elif sum(one.waiting_bytes for one in self._open.values()) >= _WAITING_BYTES:
            max(self._open.values(), key=lambda one: one.waiting_bytes).flush()
        if file.written_bytes >= self.file_bytes:
            complete.append(self._end(partition))
        while sum(one.written_bytes for one in self._open.values()) >= _OPEN_FILES_FACTOR * self.file_bytes:
            fullest = max(sorted(self._open), key=lambda name: self._open[name].written_bytes)
            complete.append(self._end(fullest))
        return complete

    def close(self) -> list[ImportFile]:
        """Completes and gives the files that are open."""
        for partition in sorted(self._open):
            self._open[partition].seal()
        complete = [self._end(partition) for partition in sorted(self._open)]
        self._disk.shutdown()
        return complete

    def _end(self, partition: str) -> ImportFile:
        file = self._open[partition].end()
        del self._open[partition]
        return file

    def synchronise(self, path: Path) -> Future[None]:
        """Lets a file of the local disk be written there, beside all else."""
        return self._disk.submit(_synchronise, path)

    def abandon(self) -> None:
        """Removes what is not complete."""
        self._disk.shutdown(cancel_futures=True)
        for file in self._open.values():
            file.abandon()
        self._open.clear()


@dataclass
class _OpenFile:
    owner: ImportWriter
    partition: str
    temporary: Path
    names: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    rows: int = 0
    checksum: int = 0
    written_bytes: int = 0
    waiting: list[pa.RecordBatch] = field(default_factory=list)
    waiting_bytes: int = 0
    writer: pq.ParquetWriter | None = None
    is_sealed: bool = False
    is_local: bool = True
    synchronised: list[Future[None]] = field(default_factory=list)

    @classmethod
    def begin(cls, owner: ImportWriter, partition: str) -> "_OpenFile":
        """A file without a name: where a rename gives it one at once, else where there is room."""
        filesystem, place = filesystem_of(join(owner.storage.uri, partition))
        is_local = "file" in filesystem.protocol
        if is_local:
            Path(place).mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(".partial", ".", place if is_local else None)
        os.close(handle)
        return cls(owner, partition, Path(name), is_local=is_local)

    def add(self, rows: pa.RecordBatch, checksum: int) -> None:
        self.rows += rows.num_rows
        self.checksum = (self.checksum + checksum) % (1 << 128)
        self.waiting.append(rows)
        self.waiting_bytes += rows.get_total_buffer_size()

    def flush(self) -> None:
        """Writes what waits as a row group."""
        if not self.waiting:
            return
        rows = pa.Table.from_batches(self.waiting)
        for keys in rows.column("row_key").chunks:
            width = keys.type.byte_width
            self.names.update(memoryview(keys.buffers()[1])[keys.offset * width : (keys.offset + len(keys)) * width])
        table = import_columns(rows, self.owner.outputs)
        check_columns(table, self.owner.max_bytes)
        if self.writer is None:
            self.names.update(str(table.schema).encode())
            self.writer = pq.ParquetWriter(self.temporary, table.schema, **parquet_settings(table.schema))
        self.writer.write_table(table, row_group_size=table.num_rows)
        self.waiting, self.waiting_bytes = [], 0
        self.written_bytes = self.temporary.stat().st_size
        self._synchronise()

    def _synchronise(self) -> None:
        if self.is_local:
            self.synchronised.append(self.owner.synchronise(self.temporary))

    def seal(self) -> None:
        """Writes all that there is."""
        if self.is_sealed:
            return
        self.flush()
        if self.writer is None:
            raise ValueError("a file begins with its first rows")
        self.writer.close()
        self._synchronise()
        self.is_sealed = True

    def end(self) -> ImportFile:
        """Gives the file its name, once it is on the disk."""
        self.seal()
        name = f"{self.partition}/{self.names.hexdigest()}.parquet"
        file = ImportFile(name, self.partition, self.rows, self.temporary.stat().st_size, self.checksum)
        _, place = filesystem_of(self.owner.storage.uri_of(file))
        if self.is_local:
            # Each, as a disk says only once that it failed.
            for done in self.synchronised:
                done.result()
            # Milvus may run as another user.
            self.temporary.chmod(0o644)
            with durable("import file"):
                self.temporary.replace(place)
        else:
            with durable("import file"):
                write_bytes(self.owner.storage.uri_of(file), self.temporary.read_bytes())
            self.temporary.unlink()
        return file

    def abandon(self) -> None:
        if self.writer is not None and not self.is_sealed:
            self.writer.close()
        self.temporary.unlink(missing_ok=True)


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def parquet_settings(schema: pa.Schema) -> dict[str, Any]:
    """How columns are encoded: only text is compressed, which vectors hardly can be, and only what repeats has a dictionary."""
    return {
        "compression": {name: "zstd" for name in _TEXTS if name in schema.names},
        "use_dictionary": [name for name in REPEATING_FIELDS if name in schema.names],
        "write_statistics": False,
    }
