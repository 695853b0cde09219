"""Parquet files written byte by byte, so that tests can make them say what no honest writer says.

Source: parquet-format, parquet.thrift and Encodings.md; Apache Thrift's compact protocol.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

INTEGER, LONG, TEXT, LIST, STRUCT = 5, 6, 8, 9, 12
BYTE_ARRAY, INT64 = 6, 2
REQUIRED, OPTIONAL, REPEATED = 0, 1, 2
UNCOMPRESSED, ZSTD = 0, 6
PLAIN, RLE, DELTA_BYTE_ARRAY, RLE_DICTIONARY = 0, 3, 7, 8
DATA, DICTIONARY = 0, 2

Field = tuple[int, int, Any]


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def zigzag(number: int) -> bytes:
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def value(kind: int, content: Any) -> bytes:
    if kind in {INTEGER, LONG}:
        return zigzag(content)
    if kind == TEXT:
        return varint(len(content)) + content
    if kind == LIST:
        element, items, claimed = content
        return bytes([0xF0 | element]) + varint(claimed) + b"".join(value(element, item) for item in items)
    return structure(content)


def structure(fields: Sequence[Field]) -> bytes:
    out, last = b"", 0
    for number, kind, content in fields:
        out += bytes([(number - last) << 4 | kind]) + value(kind, content)
        last = number
    return out + b"\x00"


def items(kind: int, content: Sequence[Any], claimed: int | None = None) -> tuple[int, Sequence[Any], int]:
    return kind, content, len(content) if claimed is None else claimed


def page(
    kind: int,
    values: int,
    content: bytes,
    encoding: int,
    unpacked_bytes: int | None = None,
    packed_bytes: int | None = None,
) -> bytes:
    """A page, its header first; sizes may be other than true."""
    header = [
        (1, INTEGER, kind),
        (2, INTEGER, len(content) if unpacked_bytes is None else unpacked_bytes),
        (3, INTEGER, len(content) if packed_bytes is None else packed_bytes),
    ]
    if kind == DATA:
        described = [(1, INTEGER, values), (2, INTEGER, encoding), (3, INTEGER, RLE), (4, INTEGER, RLE)]
        return structure([*header, (5, STRUCT, described)]) + content
    return structure([*header, (7, STRUCT, [(1, INTEGER, values), (2, INTEGER, encoding)])]) + content


def run(number: int, count: int, bits: int) -> bytes:
    """One run of the hybrid encoding: the same number so many times."""
    return varint(count << 1) + number.to_bytes((bits + 7) // 8, "little")


def levels(number: int, count: int, bits: int = 1) -> bytes:
    packed = run(number, count, bits)
    return struct.pack("<I", len(packed)) + packed


def texts(values: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(one)) + one for one in values)


@dataclass
class Column:
    """One column: its pages, and what the footer says of it."""

    name: bytes
    pages: Sequence[bytes]
    values: int
    physical: int = BYTE_ARRAY
    repetition: int = REQUIRED
    codec: int = UNCOMPRESSED
    dictionary: bool = False
    claimed: dict[str, int] = field(default_factory=dict)


def parquet(columns: Sequence[Column], rows: int, group_rows: int | None = None) -> bytes:
    """A file of one row group."""
    out = b"PAR1"
    chunks = []
    leaves = []
    for column in columns:
        start = len(out)
        out += b"".join(column.pages)
        data_start = start + (len(column.pages[0]) if column.dictionary else 0)
        size_bytes = column.claimed.get("packed", len(out) - start)
        described = [
            (1, INTEGER, column.physical),
            (2, LIST, items(INTEGER, [PLAIN, RLE])),
            (3, LIST, items(TEXT, [column.name])),
            (4, INTEGER, column.codec),
            (5, LONG, column.values),
            (6, LONG, column.claimed.get("unpacked", size_bytes)),
            (7, LONG, size_bytes),
            (9, LONG, column.claimed.get("start", data_start)),
            *([(11, LONG, start)] if column.dictionary else []),
        ]
        chunks.append([(2, LONG, 0), (3, STRUCT, described)])
        marked = [(6, INTEGER, 0)] if column.physical == BYTE_ARRAY else []
        leaves.append([(1, INTEGER, column.physical), (3, INTEGER, column.repetition), (4, TEXT, column.name), *marked])
    group = [
        (1, LIST, items(STRUCT, chunks)),
        (2, LONG, len(out)),
        (3, LONG, rows if group_rows is None else group_rows),
    ]
    footer = structure(
        [
            (1, INTEGER, 1),
            (2, LIST, items(STRUCT, [[(4, TEXT, b"root"), (5, INTEGER, len(columns))], *leaves])),
            (3, LONG, rows),
            (4, LIST, items(STRUCT, [group])),
        ]
    )
    return closed(out, footer)


def closed(body: bytes, footer: bytes, claimed: int | None = None) -> bytes:
    return body + footer + struct.pack("<I", len(footer) if claimed is None else claimed) + b"PAR1"
