"""Bytes to records: sources are planned as splits, and each split is read to documents and rejects.

JSON Lines (plain or gzip) and Parquet. A record that cannot be used costs itself, a file that cannot be read costs its unread part.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.adapters.storage import SourceFile, open_binary
from transforms.logic.errors import ConfigurationError
from transforms.logic.records import Columns, Place, parse_record, reject
from transforms.logic.schemas import MAX_BATCH_BYTES, MAX_BATCH_ROWS, Reason

TARGET_SPLIT_BYTES = 64 << 20
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl.gz",
    ".ndjson.gz": "jsonl.gz",
    ".parquet": "parquet",
}
_BROKEN_FILE = (OSError, EOFError, zlib.error, pa.ArrowException)
_NO_COUNTERPART = (ArithmeticError, LookupError, ValueError)
_LONGEST_ESCAPE = 6


@dataclass(frozen=True)
class Split:
    """A part of one file that one worker reads.

    `start` and `stop` are byte offsets for `jsonl` (a line belongs to the split that its first byte lies in) and row groups for
    `parquet`; for a file that is read whole they are 0 and, of `jsonl.gz`, 1, of `parquet`, -1.
    """

    uri: str
    format: str
    start: int
    stop: int
    size_bytes: int
    etag: str


@dataclass
class Page:
    """What was read of a split: documents, rejects, and how many records and bytes they came from."""

    documents: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    records_read: int = 0
    bytes_read: int = 0

    def add(self, outcome: tuple[dict[str, Any] | None, dict[str, Any] | None], size_bytes: int) -> None:
        """Adds one record's document or reject."""
        document, rejected = outcome
        if document is not None:
            self.documents.append(document)
        if rejected is not None:
            self.rejects.append(rejected)
        self.records_read += 1
        self.bytes_read += size_bytes

    @property
    def full(self) -> bool:
        """Whether the batch limits are reached."""
        return self.records_read >= MAX_BATCH_ROWS or self.bytes_read >= MAX_BATCH_BYTES


def plan_splits(files: Sequence[SourceFile]) -> list[Split]:
    """Cuts files into splits of about 64 MB; a name with an unknown ending raises `ConfigurationError`."""
    return [split for file in files for split in _plan_file(file, format_of(file.uri))]


def format_of(uri: str) -> str:
    """The format told by a file's name."""
    name = uri.rsplit("/", 1)[-1].lower()
    for suffix, format_name in _SUFFIXES.items():
        if name.endswith(suffix):
            return format_name
    message = f"cannot tell the format of {uri!r} by its name; allowed endings are {', '.join(sorted(_SUFFIXES))}"
    raise ConfigurationError(message)


def _plan_file(file: SourceFile, format_name: str) -> Iterator[Split]:
    if format_name == "jsonl":
        for start in range(0, max(1, file.size_bytes), TARGET_SPLIT_BYTES):
            stop = min(file.size_bytes, start + TARGET_SPLIT_BYTES)
            yield Split(file.uri, format_name, start, stop, stop - start, file.etag)
    elif format_name == "parquet" and file.size_bytes > TARGET_SPLIT_BYTES:
        yield from _plan_row_groups(file)
    else:
        yield Split(file.uri, format_name, 0, 1 if format_name == "jsonl.gz" else -1, file.size_bytes, file.etag)


def _plan_row_groups(file: SourceFile) -> Iterator[Split]:
    """A split for each row group; a file whose footer cannot be read stays whole, so that reading it makes the reject."""
    try:
        with open_binary(file.uri) as stream:
            metadata = pq.read_metadata(stream)
    except _BROKEN_FILE:
        yield Split(file.uri, "parquet", 0, -1, file.size_bytes, file.etag)
        return
    for group in range(metadata.num_row_groups):
        yield Split(file.uri, "parquet", group, group + 1, metadata.row_group(group).total_byte_size, file.etag)


def read_split(split: Split, columns: Columns, max_document_bytes: int) -> Iterator[Page]:
    """Reads a split page by page; a failure of the file ends it with a file-level reject, what was read before it stands."""
    reader = _read_parquet if split.format == "parquet" else _read_lines
    pages = reader(split, columns, max_document_bytes)
    while True:
        try:
            page = next(pages)
        except StopIteration:
            return
        except _BROKEN_FILE as error:
            detail = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
            yield Page(rejects=[reject("read", Reason.UNREADABLE_FILE, split.uri, detail)])
            return
        yield page


def _read_lines(split: Split, columns: Columns, max_document_bytes: int) -> Iterator[Page]:
    page = Page()
    most_bytes = max_document_bytes * _LONGEST_ESCAPE
    try:
        with _open_lines(split) as stream:
            start, stop = (0, None) if split.format == "jsonl.gz" else (split.start, split.stop)
            for position, line, size_bytes in _lines(stream, start, stop, most_bytes):
                place = Place(split.uri, position, "byte")
                if line is None:
                    detail = f"the line has {size_bytes} bytes, {most_bytes} are allowed"
                    page.add((None, reject("read", Reason.TOO_LARGE, place, detail)), size_bytes)
                elif line.strip():
                    page.add(_parse_line(line, columns, place, max_document_bytes), size_bytes)
                if page.full:
                    yield page
                    page = Page()
    except _BROKEN_FILE:
        yield page
        raise
    yield page


@contextmanager
def _open_lines(split: Split) -> Iterator[IO[bytes]]:
    """The bytes of the lines, buffered so that a failure of the file loses no line before it."""
    with open_binary(split.uri) as stream:
        if split.format == "jsonl.gz":
            with gzip.GzipFile(fileobj=stream) as unzipped:
                yield cast("IO[bytes]", unzipped)
        else:
            # Closed here: a reader that is only dropped closes the stream below with a warning.
            with io.BufferedReader(cast("io.RawIOBase", stream), 1 << 20) as buffered:
                yield cast("IO[bytes]", buffered)


def _lines(
    stream: IO[bytes], start: int, stop: int | None, max_line_bytes: int
) -> Iterator[tuple[int, bytes | None, int]]:
    """Yields (offset, line or None if too long, bytes) for lines whose first byte lies in [start, stop)."""
    position = start
    if start:
        # From the last byte before, so that a line that begins right at `start` is not taken for the rest of one.
        stream.seek(start - 1)
        position = start - 1 + _line(stream, 0)[1]
    while stop is None or position < stop:
        line, size_bytes = _line(stream, max_line_bytes)
        if not size_bytes:
            return
        if position == 0 and line is not None:
            line = line.removeprefix(b"\xef\xbb\xbf")
        yield position, line, size_bytes
        position += size_bytes


def _line(stream: IO[bytes], max_bytes: int) -> tuple[bytes | None, int]:
    """One line and its size with its end; a line above `max_bytes` is read past in pieces and given as None."""
    line = stream.readline(max_bytes + 1)
    if len(line) <= max_bytes or line.endswith(b"\n"):
        return line, len(line)
    size_bytes = len(line)
    while True:
        piece = stream.readline(1 << 20)
        size_bytes += len(piece)
        if not piece or piece.endswith(b"\n"):
            return None, size_bytes


def _parse_line(
    line: bytes, columns: Columns, place: Place, max_document_bytes: int
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return None, reject(
            "read", Reason.BAD_ENCODING, place, f"not UTF-8 at byte {error.start} of the record: {error.reason}", line
        )
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError:
        # orjson refuses what the standard library reads: lone surrogates in escapes, integers beyond 64 bits.
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            return None, reject("read", Reason.MALFORMED_RECORD, place, f"not JSON: {type(error).__name__}", line)
    document, rejected = parse_record(values, columns, place, max_document_bytes)
    return document, rejected and {**rejected, **_described(line)}


def _described(raw: bytes) -> dict[str, Any]:
    described = reject("read", Reason.MALFORMED_RECORD, "", "", raw)
    return {name: described[name] for name in ("hash", "length_bytes")}


def _read_parquet(split: Split, columns: Columns, max_document_bytes: int) -> Iterator[Page]:
    with open_binary(split.uri) as stream:
        file = pq.ParquetFile(stream)
        names = file.schema_arrow.names
        missing = [name for name in (columns.id, columns.text) if name not in names]
        if missing:
            detail = f"no column {', '.join(map(repr, missing))}; the file has {', '.join(map(repr, names[:20]))}"
            yield Page(rejects=[reject("read", Reason.MISSING_COLUMN, split.uri, detail)])
            return
        whole = split.stop < 0
        groups = list(range(file.num_row_groups)) if whole else list(range(split.start, split.stop))
        row = sum(file.metadata.row_group(group).num_rows for group in range(0 if whole else split.start))
        wanted = _wanted(names, columns)
        for batch in file.iter_batches(MAX_BATCH_ROWS, row_groups=groups, columns=wanted, use_threads=False):
            yield from _parse_rows(batch, row, split, columns, max_document_bytes)
            row += batch.num_rows


def _wanted(names: Sequence[str], columns: Columns) -> list[str]:
    if columns.metadata is None:
        return list(names)
    roles = {columns.id, columns.text, columns.date, columns.language, *columns.metadata}
    return [name for name in names if name in roles]


def _parse_rows(
    batch: pa.RecordBatch, first_row: int, split: Split, columns: Columns, max_document_bytes: int
) -> Iterable[Page]:
    page = Page()
    size_bytes = batch.nbytes // max(1, batch.num_rows)
    for offset, values in enumerate(_rows_of(batch)):
        place = Place(split.uri, first_row + offset, "row")
        if isinstance(values, Exception):
            detail = f"a value cannot be read: {type(values).__name__}"
            page.add((None, reject("read", Reason.WRONG_TYPE, place, detail)), size_bytes)
        else:
            page.add(parse_record(values, columns, place, max_document_bytes), size_bytes)
        if page.full:
            yield page
            page = Page()
    if page.records_read:
        yield page


def _rows_of(batch: pa.RecordBatch) -> list[dict[str, Any] | Exception]:
    """Rows as mappings; a column of text whose bytes are not UTF-8 raises `pyarrow.ArrowInvalid`, which costs the file.

    A value that Python has no counterpart for, such as a date after the year 9999, costs its row: its error stands there instead.
    """
    batch.validate(full=True)
    try:
        return cast("list[dict[str, Any] | Exception]", batch.to_pylist())
    except _NO_COUNTERPART as error:
        if batch.num_rows == 1:
            return [error]
        return [_rows_of(batch.slice(row, 1))[0] for row in range(batch.num_rows)]
