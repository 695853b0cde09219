"""A split read page by page: opened, unpacked, handed to its format's reader, and parsed to documents and rejects."""

import gzip
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import IO, Any, cast

from transforms.adapters.formats.lines import read_lines
from transforms.adapters.formats.raw import BROKEN_FILE, RawRecord, Reader, RefusedFileError
from transforms.adapters.formats.splits import Split
from transforms.adapters.formats.tables import read_parquet
from transforms.adapters.storage import open_binary
from transforms.logic.records import Place, Reading, parse_record, reject
from transforms.logic.schemas import MAX_BATCH_BYTES, MAX_BATCH_ROWS, Reason

_READERS: Mapping[str, Reader] = MappingProxyType(
    {"jsonl": read_lines, "jsonl.gz": read_lines, "parquet": read_parquet}
)


@dataclass
class Page:
    """What was read of a split: documents, rejects, and how many records and bytes they came from."""

    documents: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    records_read: int = 0
    bytes_read: int = 0

    @property
    def full(self) -> bool:
        """Whether the batch limits are reached."""
        return self.records_read >= MAX_BATCH_ROWS or self.bytes_read >= MAX_BATCH_BYTES


def read_split(split: Split, reading: Reading) -> Iterator[Page]:
    """Reads a split page by page; a failure of the file ends it with a file-level reject, what was read before it stands."""
    page = Page()
    try:
        for record in _records(split, reading):
            _add(page, record, split.uri, reading)
            if page.full:
                yield page
                page = Page()
    except RefusedFileError as refused:
        page.rejects.append(reject("read", refused.reason, split.uri, refused.detail))
    except BROKEN_FILE as error:
        detail = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        page.rejects.append(reject("read", Reason.UNREADABLE_FILE, split.uri, detail))
    yield page


def _records(split: Split, reading: Reading) -> Iterator[RawRecord]:
    with _open(split) as stream:
        yield from _READERS[split.format](stream, split, reading)


@contextmanager
def _open(split: Split) -> Iterator[IO[bytes]]:
    with open_binary(split.uri) as stream:
        if split.format == "jsonl.gz":
            with gzip.GzipFile(fileobj=stream) as unzipped:
                yield cast("IO[bytes]", unzipped)
        elif split.format == "jsonl":
            # Buffered, so that a failure of the file loses no line before it; closed here, as a reader that is only dropped warns.
            with io.BufferedReader(cast("io.RawIOBase", stream), 1 << 20) as buffered:
                yield cast("IO[bytes]", buffered)
        else:
            yield stream


def _add(page: Page, record: RawRecord, uri: str, reading: Reading) -> None:
    """Adds one record's document or reject."""
    place = Place(uri, record.position, record.unit)
    page.records_read += 1
    page.bytes_read += record.size_bytes
    if record.reason is not None:
        page.rejects.append(reject("read", record.reason, place, record.detail, record.raw))
        return
    document, rejected = parse_record(record.values, reading, place, record.raw)
    if document is not None:
        page.documents.append(document)
    if rejected is not None:
        page.rejects.append(rejected)
