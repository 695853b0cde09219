"""JSON Lines: a record a line, in ranges of bytes."""

import json
from collections.abc import Iterator
from typing import IO, Any

import orjson

from transforms.adapters.formats.raw import RawRecord
from transforms.adapters.formats.splits import Split
from transforms.logic.records import Reading
from transforms.logic.schemas import Reason

LONGEST_ESCAPE = 6
"""Bytes that one byte of text may take in JSON, as in `\\u0041`."""


def read_lines(stream: IO[bytes], split: Split, reading: Reading) -> Iterator[RawRecord]:
    """The lines whose first byte lies in the split."""
    most_bytes = reading.max_document_bytes * LONGEST_ESCAPE
    start, stop = (0, None) if split.format == "jsonl.gz" else (split.start, split.stop)
    for position, line, size_bytes in _lines(stream, start, stop, most_bytes):
        if line is None:
            detail = f"the line has {size_bytes} bytes, {most_bytes} are allowed"
            yield RawRecord(position, "byte", size_bytes, reason=Reason.TOO_LARGE, detail=detail)
        elif line.strip():
            yield parse_json(line, position, size_bytes)


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


def parse_json(raw: bytes, position: int, size_bytes: int) -> RawRecord:
    """One JSON value as a record."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        detail = f"not UTF-8 at byte {error.start} of the record: {error.reason}"
        return RawRecord(position, "byte", size_bytes, reason=Reason.BAD_ENCODING, detail=detail, raw=raw)
    try:
        values: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        # orjson refuses what the standard library reads: lone surrogates in escapes, integers beyond 64 bits.
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            detail = f"not JSON: {type(error).__name__}"
            return RawRecord(position, "byte", size_bytes, reason=Reason.MALFORMED_RECORD, detail=detail, raw=raw)
    return RawRecord(position, "byte", size_bytes, values, raw=raw)
