"""CSV and TSV: a record a row, whose quoted values may hold line ends."""

import csv
import io
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from transforms.adapters.formats.lines import encoding_facts, read_line, too_large
from transforms.adapters.formats.raw import RawRecord, RefusedFileError
from transforms.adapters.formats.splits import Split
from transforms.logic.decoding import UndecodableError, decode
from transforms.logic.records import Reading
from transforms.logic.schemas import Reason

DELIMITERS = (",", ";", "\t", "|")
_DECLARED_DELIMITER = re.compile(r'"?sep=([^"\r\n])"?\r?\n?', re.IGNORECASE)
_UTF8_MARK = b"\xef\xbb\xbf"
_SHOWN_COLUMNS = 20
_MAX_ROW_LINES = 1_000_000


@dataclass(frozen=True, slots=True)
class _Line:
    position: int
    raw: bytes | None
    size_bytes: int


@dataclass(frozen=True)
class _Row:
    """A row's place, bytes and values; without values, the reason."""

    position: int
    size_bytes: int
    raw: bytes = b""
    values: Sequence[str] = ()
    reason: Reason | None = None
    detail: str = ""


class _RowTooLargeError(Exception):
    """A row went on beyond what one may have; never leaves this module."""


def read_delimited(stream: IO[bytes], split: Split, reading: Reading) -> Iterator[RawRecord]:
    """The rows below the header, which names the columns; the first of columns with one name has it, and empty lines are no rows.

    A first line such as `sep=;`, by which Excel is told the delimiter, is no header. A row that does not parse, such as one
    whose quote is never closed, costs its first line: reading goes on at the next.

    Raises:
        RefusedFileError: the header lacks the columns of id or text.
    """
    csv.field_size_limit(max(csv.field_size_limit(), reading.max_record_bytes))
    source = _Source(stream, reading.max_record_bytes)
    needed = [reading.columns.text, *([reading.columns.id] if reading.id_from == "column" else [])]
    declared = _DECLARED_DELIMITER.fullmatch(source.first_line())
    if declared is not None:
        source.next_row()
        source.delimiter = declared[1]
    else:
        source.delimiter = "\t" if split.format == "tsv" else _delimiter(source.first_line(), needed)
    header = source.next_row()
    if header is None:
        return
    names = [name.strip() for name in header.values]
    missing = [name for name in needed if name not in names]
    if missing:
        shown = ", ".join(map(repr, names[:_SHOWN_COLUMNS])) or "nothing that can be read"
        raise RefusedFileError(
            Reason.MISSING_COLUMN, f"no column {', '.join(map(repr, missing))}; the header has {shown}"
        )
    source.column_count = len(names)
    while (row := source.next_row()) is not None:
        yield _record(row, names, source.delimiter, reading)


def _delimiter(header: str, needed: Sequence[str]) -> str:
    """The sign that parts the header into the needed columns, else the one that parts it most often."""

    def rank(delimiter: str) -> tuple[int, int]:
        names = [name.strip() for name in _parsed(header, delimiter) or ()]
        return sum(name in names for name in needed), len(names)

    return max(DELIMITERS, key=rank)


def _parsed(text: str, delimiter: str) -> list[str] | None:
    """Values of a row that is at hand whole; None if it does not parse."""
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


def _record(row: _Row, names: Sequence[str], delimiter: str, reading: Reading) -> RawRecord:
    if row.reason is not None:
        return RawRecord(row.position, "byte", row.size_bytes, reason=row.reason, detail=row.detail, raw=row.raw)
    values, facts = row.values, {}
    if any(map(_is_undecoded, values)):
        try:
            decoded = decode(row.raw, reading.decoding)
        except UndecodableError as error:
            reason, detail = Reason.BAD_ENCODING, str(error)
            return RawRecord(row.position, "byte", row.size_bytes, reason=reason, detail=detail, raw=row.raw)
        values, facts = _parsed(decoded.text, delimiter) or (), encoding_facts(decoded.encoding)
    if len(values) != len(names):
        detail = f"the row has {len(values)} values, the header {len(names)}"
        return RawRecord(
            row.position, "byte", row.size_bytes, reason=Reason.MALFORMED_RECORD, detail=detail, raw=row.raw
        )
    # The first of equal names stands; a column without a name, as of row numbers, is nobody's.
    named = {name: value for name, value in zip(reversed(names), reversed(values), strict=True) if name}
    return RawRecord(row.position, "byte", row.size_bytes, named, raw=row.raw, facts=facts)


def _is_undecoded(value: str) -> bool:
    """Whether a value holds bytes that are not UTF-8, which `surrogateescape` keeps as lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


class _Source:
    """Rows of a stream. Lines behind a row that turned out to be none are read again."""

    def __init__(self, stream: IO[bytes], max_row_bytes: int) -> None:
        self._stream = stream
        self._max_row_bytes = max_row_bytes
        self._position = 0
        self._waiting: deque[_Line] = deque()
        self.delimiter = DELIMITERS[0]
        self.column_count = 0

    def first_line(self) -> str:
        """The first line that is not empty, without a mark; it is read again as a row."""
        line = self._next_line()
        while line is not None and line.raw is not None and not line.raw.removeprefix(_UTF8_MARK).strip():
            line = self._next_line()
        if line is None:
            return ""
        raw = None if line.raw is None else line.raw.removeprefix(_UTF8_MARK)
        self._waiting.appendleft(_Line(line.position, raw, line.size_bytes))
        return (raw or b"").decode("utf-8", "replace")

    def next_row(self) -> _Row | None:
        """The next row; None at the end."""
        while (line := self._next_line()) is not None:
            if line.raw is None:
                record = too_large(line.position, line.size_bytes, self._max_row_bytes, "line")
                return _Row(line.position, line.size_bytes, reason=record.reason, detail=record.detail)
            if not line.raw.isspace():
                return self._row(line, line.raw)
        return None

    def _row(self, first: _Line, raw: bytes) -> _Row:
        text = raw.decode("utf-8", "surrogateescape")
        if '"' not in text:
            return _Row(first.position, first.size_bytes, raw, text.rstrip("\r\n").split(self.delimiter))
        lines = [first]
        try:
            values = next(csv.reader(self._texts(text, lines), delimiter=self.delimiter, strict=True))
        except (csv.Error, _RowTooLargeError) as error:
            self._waiting.extendleft(reversed(lines[1:]))
            literal = text.rstrip("\r\n").split(self.delimiter)
            if self.delimiter == "\t" and len(literal) == self.column_count:
                # Many writers of TSV do not quote: a quote is a character then.
                return _Row(first.position, first.size_bytes, raw, literal)
            reason = Reason.TOO_LARGE if isinstance(error, _RowTooLargeError) else Reason.MALFORMED_RECORD
            return _Row(first.position, first.size_bytes, raw, reason=reason, detail=f"not a row: {error}")
        size_bytes = sum(line.size_bytes for line in lines)
        return _Row(first.position, size_bytes, b"".join(line.raw or b"" for line in lines), values)

    def _texts(self, text: str, lines: list[_Line]) -> Iterator[str]:
        """Lines for as long as the row's parser asks for them; they are noted in `lines`."""
        yield text
        size_bytes = lines[0].size_bytes
        while (line := self._next_line()) is not None:
            lines.append(line)
            size_bytes += line.size_bytes
            if line.raw is None or size_bytes > self._max_row_bytes or len(lines) > _MAX_ROW_LINES:
                limits = f"{self._max_row_bytes} bytes (--max-record-bytes) or {_MAX_ROW_LINES} lines"
                raise _RowTooLargeError(f"it goes on beyond {limits}; perhaps a quote is not closed")
            yield line.raw.decode("utf-8", "surrogateescape")

    def _next_line(self) -> _Line | None:
        if self._waiting:
            return self._waiting.popleft()
        raw, size_bytes = read_line(self._stream, self._max_row_bytes)
        if not size_bytes:
            return None
        line = _Line(self._position, raw, size_bytes)
        self._position += size_bytes
        return line
