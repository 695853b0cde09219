"""JSON Lines: a record a line, in ranges of bytes."""

import json
from collections.abc import Iterator
from typing import IO, Any

import orjson

from transforms.adapters.formats.raw import RawRecord
from transforms.adapters.formats.splits import Split
from transforms.logic.decoding import UTF8, UndecodableError, decode
from transforms.logic.records import MAX_METADATA_DEPTH, Reading
from transforms.logic.schemas import Reason

_UTF8_MARK = b"\xef\xbb\xbf"
_PIECE_BYTES = 1 << 20
_LARGEST_EXACT = float(1 << 63)


def read_lines(stream: IO[bytes], split: Split, reading: Reading) -> Iterator[RawRecord]:
    """The lines whose first byte lies in the split."""
    for position, line, size_bytes in _lines(stream, split, reading.max_record_bytes):
        if line is None:
            yield too_large(position, size_bytes, reading.max_record_bytes, "line")
        elif not line.isspace():
            yield parse_json(line, position, size_bytes, reading)


def _lines(stream: IO[bytes], split: Split, max_line_bytes: int) -> Iterator[tuple[int, bytes | None, int]]:
    """Yields (offset, line or None if too long, bytes) for lines whose first byte lies in the split."""
    position = split.start
    if position:
        # From the last byte before, so that a line that begins right at `start` is not taken for the rest of one.
        stream.seek(position - 1)
        position += read_line(stream, 0)[1] - 1
    while split.stop < 0 or position < split.stop:
        line, size_bytes = read_line(stream, max_line_bytes)
        if not size_bytes:
            return
        if position == 0 and line is not None:
            line = line.removeprefix(_UTF8_MARK)
        if line != b"":
            yield position, line, size_bytes
        position += size_bytes


def read_line(stream: IO[bytes], max_bytes: int) -> tuple[bytes | None, int]:
    """One line and its size with its end, (b"", 0) at the end of the stream.

    A line above `max_bytes` is read past in pieces and given as None.
    """
    line = stream.readline(max_bytes + 1)
    if len(line) <= max_bytes or line.endswith(b"\n"):
        return line, len(line)
    size_bytes = len(line)
    while True:
        piece = stream.readline(_PIECE_BYTES)
        size_bytes += len(piece)
        if not piece or piece.endswith(b"\n"):
            return None, size_bytes


def too_large(position: int, size_bytes: int, most_bytes: int, what: str) -> RawRecord:
    """A record that was read past because of its size."""
    detail = f"the {what} has {size_bytes} bytes, {most_bytes} are allowed (--max-record-bytes)"
    return RawRecord(position, "byte", size_bytes, reason=Reason.TOO_LARGE, detail=detail)


def parse_json(raw: bytes, position: int, size_bytes: int, reading: Reading) -> RawRecord:
    """One JSON value as a record."""
    try:
        values = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _parse_hostile_json(raw, position, size_bytes, reading)
    if _has_rounded(values):
        return _parse_hostile_json(raw, position, size_bytes, reading)
    return RawRecord(position, "byte", size_bytes, values, raw=raw)


def _has_rounded(values: Any, depth: int = 0) -> bool:
    """Whether orjson may have rounded an integer: it takes those beyond 64 bits for fractions."""
    for value in values.values() if type(values) is dict else values if type(values) is list else ():
        kind = type(value)
        if kind is float:
            if abs(value) >= _LARGEST_EXACT:
                return True
        elif (kind is dict or kind is list) and depth < MAX_METADATA_DEPTH and _has_rounded(value, depth + 1):
            return True
    return False


def _parse_hostile_json(raw: bytes, position: int, size_bytes: int, reading: Reading) -> RawRecord:
    """What orjson refuses: other encodings and marks; and what the standard library reads, as lone surrogates and large integers."""
    try:
        decoded = decode(raw, reading.decoding)
    except UndecodableError as error:
        return RawRecord(position, "byte", size_bytes, reason=Reason.BAD_ENCODING, detail=str(error), raw=raw)
    try:
        values: Any = json.loads(decoded.text)
    except (ValueError, RecursionError) as error:
        detail = f"not JSON: {type(error).__name__}"
        return RawRecord(position, "byte", size_bytes, reason=Reason.MALFORMED_RECORD, detail=detail, raw=raw)
    return RawRecord(position, "byte", size_bytes, values, raw=raw, facts=encoding_facts(decoded.encoding))


def encoding_facts(encoding: str) -> dict[str, str]:
    """What becomes metadata of a document's encoding: nothing for UTF-8."""
    return {} if encoding == UTF8 else {"encoding": encoding}
