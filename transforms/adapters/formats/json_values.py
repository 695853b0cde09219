"""JSON: the elements of arrays, and values one behind the other, each isolated by its brackets and parsed alone.

A file is never parsed as a whole: a large array needs the memory of its largest element, and a bad element costs itself only.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from typing import IO, cast

from transforms.adapters.formats.lines import parse_json, too_large
from transforms.adapters.formats.raw import BROKEN_FILE, RawRecord, RefusedFileError
from transforms.adapters.formats.splits import Split
from transforms.logic.records import Reading
from transforms.logic.schemas import Reason

MAX_DEPTH = 1_000_000
"""Deeper nesting ends the file: its end could only be found by counting every bracket."""
_PIECE_BYTES = 256 << 10
_MOST_AT_ONCE_BYTES = 16 << 20
_NAME_BYTES = 1 << 10
_MAX_COMPLAINTS = 1000
_UTF8_MARK = b"\xef\xbb\xbf"
_GAP = re.compile(rb"[\s,]+")
_MAYBE_GAP = re.compile(rb"[\s,]*")
# Everything between two brackets: strings that end in their line, numbers, literals and what parts them. Possessive, so linear.
_STRING_TOKEN = rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
_BETWEEN = rb"(?:[\s,:0-9+\-.eE]++|" + _STRING_TOKEN + rb"|true|false|null|NaN|Infinity)*+"
_RUN = re.compile(_BETWEEN)
# An object without deeper nesting, as most are: found in one match, and taken only if it parses.
_SIMPLE = re.compile(rb"\{%b(?:(?:\[%b\]|\{%b\})%b)*+\}" % ((_BETWEEN,) * 4))
_CLOSED_STRING = re.compile(_STRING_TOKEN)
_STRING = re.compile(rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+')
_REST_OF_STRING = re.compile(rb'[^"\\\n]*+(?:\\.[^"\\\n]*+)*+')
_UNFINISHED_LITERAL = re.compile(rb"[tfnNI][a-zA-Z]{0,7}\Z")
_JUNK = re.compile(rb'[^\s,:{}\[\]"]+')
_MORE_JUNK = re.compile(rb'[^{}\[\]"]+')
_OPEN_STRING = re.compile(rb'"(?:[^"\\\n]|\\.)*+\\?\Z')
_JUNK_LINE = re.compile(rb"[^\n{]+")
_STRAY = re.compile(rb"(?:\s*\})*")
_SCALAR = re.compile(
    rb'(?:"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"|[0-9+\-.eE]+|true|false|null|-?NaN|-?Infinity)(?=[\s,\]]|\Z)'
)
_FIRST_NAME = re.compile(rb'\{\s*"((?:[^"\\\n]|\\.)*)"')
_OPENERS, _CLOSERS = b"{[", {ord("}"): ord("{"), ord("]"): ord("[")}
_QUOTE, _BACKSLASH = ord('"'), ord("\\")


def read_json(stream: IO[bytes], split: Split, reading: Reading) -> Iterator[RawRecord]:  # noqa: ARG001
    """The elements of every array at the top, and every other value at the top, in order.

    Raises:
        RefusedFileError: the file ends within an array, or is nested deeper than `MAX_DEPTH`.
    """
    return _Scanner(cast("BufferedReader", stream), reading).records()


@dataclass
class _Container:
    """An object or array on the way to its end. `begin` is the first of its bytes that the buffer still holds."""

    begin: int
    at: int
    open: bytearray = field(default_factory=bytearray)
    bad: str = ""
    dropped_bytes: int = 0
    oversized: bool = False
    in_string: bool = False
    complaints: int = 0


class _Scanner:
    """Walks over a stream; `_at` is where the walk stands in the buffer, `_offset` the buffer's place in the stream."""

    def __init__(self, stream: BufferedReader, reading: Reading) -> None:
        self._stream = stream
        self._reading = reading
        self._buffer = b""
        self._offset = 0
        self._at = 0
        self._ended = False
        self._failure: Exception | None = None
        self._in_array = False
        self._first_name = b""

    def records(self) -> Iterator[RawRecord]:
        self._more()
        if self._buffer.startswith(_UTF8_MARK):
            self._at = len(_UTF8_MARK)
        while self._at < len(self._buffer) or self._more():
            gap = _GAP.match(self._buffer, self._at)
            first = self._buffer[self._at : self._at + 1]
            if gap is not None:
                self._at = gap.end()
            elif first == b"[" and not self._in_array:
                self._in_array = True
                self._at += 1
            elif first == b"]" and self._in_array:
                self._in_array = False
                self._at += 1
            elif first in {b"{", b"["}:
                yield self._simple() or self._container()
            else:
                yield self._scalar()
            if self._at >= _PIECE_BYTES:
                self._drop(self._at)
        if self._in_array:
            raise RefusedFileError(Reason.UNREADABLE_FILE, "the file ends within a JSON array: it is cut off")

    def _more(self) -> bool:
        """Reads on, about as much as is held, so that a long token is looked at a few times only. False at the end."""
        if self._failure is not None:
            raise self._failure
        held_bytes = len(self._buffer)
        wanted, pieces = max(_PIECE_BYTES, min(_MOST_AT_ONCE_BYTES, held_bytes)), [self._buffer]
        try:
            while wanted > 0 and not self._ended:
                pieces.append(self._stream.read1(wanted))
                wanted -= len(pieces[-1])
                self._ended = not pieces[-1]
        except (*BROKEN_FILE, RefusedFileError) as error:
            # What stands before the damage comes first.
            self._failure = error
        self._buffer = b"".join(pieces)
        if self._failure is not None and len(self._buffer) == held_bytes:
            raise self._failure
        return len(self._buffer) > held_bytes

    def _drop(self, count: int) -> None:
        self._buffer = self._buffer[count:]
        self._offset += count
        self._at -= count

    def _scalar(self) -> RawRecord:
        """A string, number or literal; or a line of what is none of these, up to where an object might begin."""
        while True:
            found = _SCALAR.match(self._buffer, self._at)
            # What looks like an object may stand in a string whose end was not read yet.
            is_open = found is None and _OPEN_STRING.match(self._buffer, self._at) is not None
            if is_open and len(self._buffer) - self._at <= self._reading.max_record_bytes and self._more():
                continue
            found = found or _JUNK_LINE.match(self._buffer, self._at)
            end = found.end() if found else self._at + 1
            oversized = end - self._at > self._reading.max_record_bytes
            if end < len(self._buffer) or oversized or not self._more():
                break
        position, raw = self._offset + self._at, self._buffer[self._at : end]
        self._at = end
        if oversized:
            return too_large(position, len(raw), self._reading.max_record_bytes, "value")
        return parse_json(raw, position, len(raw), self._reading)

    def _simple(self) -> RawRecord | None:
        found = _SIMPLE.match(self._buffer, self._at)
        if found is None or found.end() - self._at > self._reading.max_record_bytes:
            return None
        raw = found[0]
        record = parse_json(raw, self._offset + self._at, len(raw), self._reading)
        if record.reason is Reason.MALFORMED_RECORD:
            return None
        self._at = found.end()
        self._remember(raw)
        return record

    def _remember(self, raw: bytes) -> None:
        if not self._first_name and (found := _FIRST_NAME.match(raw)):
            self._first_name = found[1]

    def _container(self) -> RawRecord:
        """An object or array, up to the bracket that closes it, or to where the next one seems to begin."""
        position = self._offset + self._at
        one = _Container(self._at, self._at)
        while not self._is_over(one):
            if one.oversized and one.at >= _PIECE_BYTES:
                self._forget(one, one.at)
        if one.bad:
            one.at = _end(_STRAY, self._buffer, one.at)
        self._at = one.at
        size_bytes = one.dropped_bytes + one.at - one.begin
        if one.oversized or size_bytes > self._reading.max_record_bytes:
            return too_large(position, size_bytes, self._reading.max_record_bytes, "value")
        raw = self._buffer[one.begin : one.at]
        if one.bad:
            return RawRecord(position, "byte", size_bytes, reason=Reason.MALFORMED_RECORD, detail=one.bad, raw=raw)
        self._remember(raw)
        return parse_json(raw, position, size_bytes, self._reading)

    def _is_over(self, one: _Container) -> bool:
        """Walks to the next bracket and over it, or over what is wrong there; true at the container's end."""
        if one.in_string:
            return self._leave_string(one)
        if one.complaints > _MAX_COMPLAINTS:
            return self._search_on(one)
        at = _end(_RUN, self._buffer, one.at)
        if self._is_unfinished(at):
            return self._read_on(one, at)
        byte = self._buffer[at]
        if byte in _OPENERS:
            return self._open(one, at)
        if byte in _CLOSERS:
            one.at = at + 1
            if one.open[-1] != _CLOSERS[byte]:
                one.bad = one.bad or "brackets that do not match"
                while len(one.open) > 1 and one.open[-1] != _CLOSERS[byte]:
                    one.open.pop()
            one.open.pop()
            return not one.open
        if byte == _QUOTE:
            one.bad = one.bad or "a string that does not end in its line"
            since, one.at = at, _end(_STRING, self._buffer, at)
            one.at += self._buffer[one.at] == _BACKSLASH
        else:
            since = max((found.start() for found in _CLOSED_STRING.finditer(self._buffer, one.at, at)), default=at)
            one.at = _end(_MORE_JUNK if one.bad else _JUNK, self._buffer, at)
            one.bad = one.bad or "something that is no JSON between its values"
        return self._turn_back(one, since)

    def _open(self, one: _Container, at: int) -> bool:
        one.at = at + 1
        before = self._buffer[max(one.begin, at - _NAME_BYTES) : at]
        if one.open[-1:] == b"{" and before.rstrip()[-1:] != b":":
            one.bad = one.bad or "a value where a name is expected"
            one.at = at
            if self._turn_back(one, at - 1 - len(before) + len(before.rstrip())):
                return True
            one.at = at + 1
        one.open.append(self._buffer[at])
        if len(one.open) > MAX_DEPTH:
            raise RefusedFileError(
                Reason.UNREADABLE_FILE, f"JSON is nested deeper than {MAX_DEPTH}; the rest is not read"
            )
        return False

    def _is_unfinished(self, at: int) -> bool:
        """Whether more bytes may make sense of what stands there."""
        if at == len(self._buffer):
            return True
        if self._buffer[at] != _QUOTE:
            return _UNFINISHED_LITERAL.match(self._buffer, at) is not None and not self._ended
        end = _end(_STRING, self._buffer, at)
        return end == len(self._buffer) or (end + 1 == len(self._buffer) and self._buffer[end] == _BACKSLASH)

    def _read_on(self, one: _Container, at: int) -> bool:
        if one.oversized or len(self._buffer) - one.begin > self._reading.max_record_bytes:
            one.oversized = True
            one.in_string = self._buffer[at : at + 1] == b'"'
            self._forget(one, at + one.in_string)
        if self._more():
            return False
        one.bad = "the value is cut off"
        one.at = len(self._buffer)
        self._turn_back(one, one.begin + 1)
        return True

    def _leave_string(self, one: _Container) -> bool:
        """Goes to the end of a string that is too long to hold."""
        at = _end(_REST_OF_STRING, self._buffer, one.at)
        if at + 1 >= len(self._buffer) and self._buffer[at : at + 1] not in {b'"', b"\n"}:
            self._forget(one, at)
            if self._more():
                return False
            one.at = len(self._buffer)
            return True
        one.in_string = self._buffer[at] == _BACKSLASH
        one.at = at + (self._buffer[at] != ord("\n"))
        return False

    def _forget(self, one: _Container, at: int) -> None:
        one.dropped_bytes += at - one.begin
        one.begin = one.at = 0
        self._drop(at)
        self._at = 0

    def _turn_back(self, one: _Container, since: int) -> bool:
        """Looks between `since` and the walk for the next record: an object with the first name of the others, behind another value.

        A quote that was never closed makes text of what is not, and a missing bracket makes the neighbours inner values: without
        this one bad record would cost all that follow. An inner object is taken for a record only if it has that name, and stands
        right where its own record breaks.
        """
        one.complaints += 1
        if len(self._buffer) - one.at < _NAME_BYTES:
            self._more()
        beginning = self._beginning_of_next(one)
        if beginning is None:
            return False
        last = _end(_MAYBE_GAP, self._buffer, one.at)
        found = beginning.search(self._buffer, max(since, one.begin + 1), last + 2 * _NAME_BYTES)
        if found is None or found.start(1) > last:
            return False
        one.at = found.start(1)
        return True

    def _search_on(self, one: _Container) -> bool:
        """What is wrong in so many places is not walked through, only searched for the next record."""
        beginning = self._beginning_of_next(one)
        found = beginning.search(self._buffer, max(one.begin + 1, one.at - _NAME_BYTES)) if beginning else None
        if found is not None:
            one.at = found.start(1)
            return True
        if len(self._buffer) - one.begin > self._reading.max_record_bytes:
            one.oversized = True
            self._forget(one, len(self._buffer) - _NAME_BYTES)
        one.at = len(self._buffer)
        return not self._more()

    def _beginning_of_next(self, one: _Container) -> re.Pattern[bytes] | None:
        """How the next record begins behind another value; None if no record has shown a name yet."""
        own = None if one.oversized else _FIRST_NAME.match(self._buffer, one.begin)
        name = self._first_name or (own[1] if own else b"")
        return re.compile(rb'[,}\]"\n]\s*(\{\s*"' + re.escape(name) + rb'"\s*:)') if name else None


def _end(pattern: re.Pattern[bytes], buffer: bytes, at: int) -> int:
    """Where a match at a place ends; the place itself if there is none."""
    found = pattern.match(buffer, at)
    return found.end() if found else at
