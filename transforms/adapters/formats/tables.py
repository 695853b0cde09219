"""Parquet: a record a row, in row groups."""

import io
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa

from transforms.adapters.formats.cells import Row, rows_of
from transforms.adapters.formats.chunks import Chunk, HeldChunks, column_chunks
from transforms.adapters.formats.compression import FREE_OUTPUT_BYTES
from transforms.adapters.formats.footers import Footer, open_parquet, read_footer
from transforms.adapters.formats.pages import OversizedError, choose_batch_rows
from transforms.adapters.formats.raw import RawRecord, RefusedFileError
from transforms.adapters.formats.splits import Split
from transforms.logic.records import Columns, Reading
from transforms.logic.schemas import Reason

_LEAST_ROW_BYTES = 64
"""What a row counts for besides its values: a file of nothing but nulls is a bomb of rows."""
_DAMAGED = (pa.ArrowException, OSError, ValueError, LookupError)


def read_parquet(stream: IO[bytes], split: Split, reading: Reading) -> Iterator[RawRecord]:
    """The rows of the split's row groups, numbered within the file.

    A row that cannot be read costs itself, a row group that is damaged or needs too much memory costs its unread rows. A file without
    the columns of id and text is refused, and one that unpacks to more than allowed is given up there.
    """
    footer = read_footer(stream)
    file_bytes = stream.seek(0, io.SEEK_END)
    schema = open_parquet(stream, footer).schema_arrow
    wanted = _wanted(schema, reading)
    last = len(footer.groups) if split.stop < 0 else min(split.stop, len(footer.groups))
    first_row = sum(group.rows for group in footer.groups[: split.start])
    volume = _Volume(file_bytes, reading)
    for group in range(split.start, last):
        row = first_row
        try:
            chunks = tuple(column_chunks(footer, schema, group, wanted, file_bytes))
            with HeldChunks(stream, chunks) as held:
                for found in _rows(held, footer, group, chunks, wanted, reading):
                    volume.add(found.size_bytes)
                    yield RawRecord(row, "row", found.size_bytes, found.values, found.reason, found.detail)
                    row += 1
            detail = f"the row group ends after {row - first_row} rows"
            reason = Reason.UNREADABLE_FILE
        except OversizedError as error:
            detail, reason = str(error), Reason.DECOMPRESSION_BOMB if error.bomb else Reason.TOO_LARGE
        except _DAMAGED as error:
            if isinstance(error, OSError) and error.errno is not None:
                # The file system's own, not the decoder's.
                raise
            detail, reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}", Reason.UNREADABLE_FILE
        first_row += footer.groups[group].rows
        if row < first_row:
            unread = f"rows {row} to {first_row - 1} are not read: {detail}"
            yield RawRecord(group, "row group", 0, reason=reason, detail=unread)


class _Volume:
    """What a file has unpacked to so far, against what is allowed."""

    def __init__(self, file_bytes: int, reading: Reading) -> None:
        by_ratio = max(FREE_OUTPUT_BYTES, int(file_bytes * reading.max_compression_ratio))
        self._most_bytes = min(by_ratio, reading.max_decompressed_bytes)
        self._file_bytes = file_bytes
        self._read_bytes = 0

    def add(self, size_bytes: int) -> None:
        """Counts one row; raises `RefusedFileError` above the limit."""
        self._read_bytes += size_bytes + _LEAST_ROW_BYTES
        if self._read_bytes > self._most_bytes:
            detail = f"the file of {self._file_bytes} bytes unpacks to more than {self._most_bytes} bytes"
            raise RefusedFileError(Reason.DECOMPRESSION_BOMB, detail)


def _wanted(schema: pa.Schema, reading: Reading) -> list[str]:
    """Names of the columns to read, nested ones with dots; a file without those of id and text is refused."""
    columns = reading.columns
    needed = [columns.text, *([columns.id] if reading.id_from == "column" else [])]
    missing = [name for name in needed if not _has(schema, name)]
    if missing:
        names = schema.names
        detail = f"no column {', '.join(map(repr, missing))}; the file has {', '.join(map(repr, names[:20]))}"
        raise RefusedFileError(Reason.MISSING_COLUMN, detail)
    if columns.metadata is None:
        return list(dict.fromkeys(schema.names))
    roles = [
        columns.id,
        columns.text,
        columns.date,
        *([columns.language] if columns.language else []),
        *columns.metadata,
    ]
    return [name for name in dict.fromkeys(roles) if _has(schema, name)]


def _has(fields: Any, name: str) -> bool:
    """Whether a schema or struct type has a field of that name, or a dotted one within its structs."""
    named = {field.name: field.type for field in fields}
    if name in named:
        return True
    cuts = [at for at, letter in enumerate(name) if letter == "."]
    inner = [(named.get(name[:at]), name[at + 1 :]) for at in cuts]
    return any(kind is not None and pa.types.is_struct(kind) and _has(kind, rest) for kind, rest in inner)


def _texts(columns: Columns) -> frozenset[str]:
    return frozenset(name for name in (columns.id, columns.text, columns.date, columns.language) if name)


def _rows(
    held: HeldChunks,
    footer: Footer,
    group: int,
    chunks: Sequence[Chunk],
    wanted: Sequence[str],
    reading: Reading,
) -> Iterator[Row]:
    batch_rows = choose_batch_rows(chunks, held.read_at)
    texts = _texts(reading.columns)
    file = open_parquet(held, footer)
    for batch in file.iter_batches(batch_rows, row_groups=[group], columns=list(wanted), use_threads=False):
        batch.validate()
        yield from rows_of(batch, texts, reading.max_record_bytes)
