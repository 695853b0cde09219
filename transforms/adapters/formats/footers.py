"""Parquet footers: read with bounded memory, and cut into ranges of row groups that workers share."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.adapters.formats.thrift import CompactReader, Kept, MalformedThriftError

MAX_FOOTER_BYTES = 64 << 20
MAX_LIST_ELEMENTS = 100_000
"""Columns, or row groups, of a file: the decoder makes room for as many as a list claims to have, before it sees them."""

MAX_STRUCTS = 600_000
"""Structures of a footer: the decoder takes up to 700 bytes for one of three."""

_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_MOST_TOTAL_BYTES = 1 << 42

_CHUNK: Kept = {1: None, 4: None, 5: None, 7: None, 9: None, 11: None}
_FOOTER: Kept = {3: None, 4: {1: {3: _CHUNK}, 2: None, 3: None}}

ColumnPlace = Mapping[int, int]
"""Fields of parquet.thrift's ColumnMetaData by number: 1 type, 4 codec, 5 values, 7 packed bytes, 9 first data page, 11 dictionary page."""


@dataclass(frozen=True)
class RowGroup:
    """A row group as the footer describes it: rows, bytes once unpacked, and its column chunks in the order of the schema."""

    rows: int
    size_bytes: int
    columns: Sequence[ColumnPlace]


@dataclass(frozen=True)
class Footer:
    """What the footer says, read twice: by Arrow for its decoder, and here for the places of row groups and column chunks.

    Arrow's own view of a column chunk is never asked for: where its statistics contradict the schema, asking ends the process.
    """

    metadata: pq.FileMetaData
    groups: Sequence[RowGroup]


def read_footer(stream: IO[bytes]) -> Footer:
    """The footer of a Parquet file.

    Raises:
        pyarrow.ArrowInvalid: it is no Parquet file, or its footer is too large, is not what it should be or contradicts itself.
        OSError: the decoder refuses it, or the file cannot be read.
    """
    data = _footer_bytes(stream)
    try:
        fields = CompactReader(data, MAX_STRUCTS).read(_FOOTER)
        groups = tuple(_row_group(group) for group in fields.get(4, ()))
        metadata = pq.ParquetFile(stream, thrift_container_size_limit=MAX_LIST_ELEMENTS, pre_buffer=False).metadata
    except (MalformedThriftError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise pa.ArrowInvalid(f"the footer is damaged: {error}") from error
    _check(metadata, groups)
    return Footer(metadata, groups)


def open_parquet(stream: Any, footer: Footer) -> pq.ParquetFile:
    """A decoder that fetches each column in pieces of 1 MiB, nothing ahead."""
    return pq.ParquetFile(stream, metadata=footer.metadata, buffer_size=1 << 20, pre_buffer=False)


def row_group_ranges(footer: Footer, target_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Ranges of row groups as (first, first no longer, bytes): neighbours are united up to `target_bytes`, larger ones stand alone."""
    first = united = 0
    for number, group in enumerate(footer.groups):
        size_bytes = min(max(0, group.size_bytes), _MOST_TOTAL_BYTES)
        if number > first and united + size_bytes > target_bytes:
            yield first, number, united
            first, united = number, 0
        united += size_bytes
    if first < len(footer.groups):
        yield first, len(footer.groups), united


def _footer_bytes(stream: IO[bytes]) -> bytes:
    size_bytes = stream.seek(0, 2)
    if size_bytes < len(_MAGIC) + _TAIL_BYTES:
        raise pa.ArrowInvalid(
            f"a Parquet file has at least {len(_MAGIC) + _TAIL_BYTES} bytes, this one has {size_bytes}"
        )
    stream.seek(0)
    head = stream.read(len(_MAGIC))
    stream.seek(size_bytes - _TAIL_BYTES)
    tail = stream.read(_TAIL_BYTES)
    if tail[4:] != _MAGIC or head != _MAGIC:
        message = (
            "the file does not begin and end as a Parquet file does: it is cut off, encrypted, or of another format"
        )
        raise pa.ArrowInvalid(message)
    footer_bytes = int.from_bytes(tail[:4], "little")
    if footer_bytes > min(MAX_FOOTER_BYTES, size_bytes - _TAIL_BYTES):
        message = f"the footer has {footer_bytes} bytes, the file {size_bytes}; at most {MAX_FOOTER_BYTES} are allowed"
        raise pa.ArrowInvalid(message)
    stream.seek(size_bytes - _TAIL_BYTES - footer_bytes)
    return stream.read(footer_bytes)


def _row_group(fields: Mapping[int, Any]) -> RowGroup:
    rows, size_bytes = fields.get(3), fields.get(2, 0)
    columns = tuple(_column(column.get(3)) for column in fields.get(1, ()))
    if not isinstance(rows, int) or not isinstance(size_bytes, int):
        raise MalformedThriftError("a row group without its number of rows")
    return RowGroup(rows, size_bytes, columns)


def _column(fields: Any) -> ColumnPlace:
    if not isinstance(fields, dict) or not all(isinstance(value, int) for value in fields.values()):
        raise MalformedThriftError("a column chunk without its place")
    return MappingProxyType(fields)


def _check(metadata: pq.FileMetaData, groups: Sequence[RowGroup]) -> None:
    rows = [group.rows for group in groups]
    if len(groups) != metadata.num_row_groups or any(number < 0 for number in rows) or sum(rows) != metadata.num_rows:
        message = (
            f"the footer says {metadata.num_rows} rows in {metadata.num_row_groups} row groups, "
            f"and describes {len(groups)} row groups with {sum(rows)} rows"
        )
        raise pa.ArrowInvalid(message)
    for number, group in enumerate(groups):
        if len(group.columns) != metadata.num_columns:
            message = f"row group {number} has {len(group.columns)} columns, the schema {metadata.num_columns}"
            raise pa.ArrowInvalid(message)
