"""WET: the plain text that Common Crawl extracts from pages, as WARC records of type `conversion` (ISO 28500)."""

from collections.abc import Iterator
from io import BufferedReader
from typing import IO, cast

from transforms.adapters.formats.lines import encoding_facts
from transforms.adapters.formats.raw import RawRecord, RefusedFileError, under_wanted_names
from transforms.adapters.formats.splits import Split
from transforms.logic.decoding import UndecodableError, decode
from transforms.logic.records import Reading
from transforms.logic.schemas import Reason

_MAX_HEADER_BYTES = 64 << 10
_PIECE_BYTES = 1 << 20
_VERSION = b"WARC/"


def read_wet(stream: IO[bytes], split: Split, reading: Reading) -> Iterator[RawRecord]:  # noqa: ARG001
    """The conversion records; other types, such as the leading `warcinfo`, hold no text and are passed over.

    A record whose header is damaged costs itself: reading goes on where the next one begins. Id is WARC-Record-ID, url
    WARC-Target-URI, date WARC-Date, language the first of WARC-Identified-Content-Language.

    Raises:
        EOFError: the file ends within a record.
    """
    source = WarcRecords(cast("BufferedReader", stream))
    while source.seek_version():
        position = source.position
        headers = source.headers()
        length = headers.get("content-length", "")
        if not length.isascii() or not length.isdigit():
            detail = "a WARC record without a Content-Length"
            yield RawRecord(position, "byte", source.position - position, reason=Reason.MALFORMED_RECORD, detail=detail)
            continue
        yield from _record(source, position, headers, int(length), reading)


def _record(
    source: "WarcRecords", position: int, headers: dict[str, str], length: int, reading: Reading
) -> Iterator[RawRecord]:
    if headers.get("warc-type", "").lower() != "conversion":
        source.skip(length)
        return
    if length > reading.max_record_bytes:
        source.skip(length)
        detail = f"the record has {length} bytes, {reading.max_record_bytes} are allowed (--max-record-bytes)"
        yield RawRecord(position, "byte", source.position - position, reason=Reason.TOO_LARGE, detail=detail)
        return
    raw = source.read(length)
    size_bytes = source.position - position
    try:
        decoded = decode(raw, reading.decoding)
    except UndecodableError as error:
        yield RawRecord(position, "byte", size_bytes, reason=Reason.BAD_ENCODING, detail=str(error), raw=raw)
        return
    values = {
        "id": headers.get("warc-record-id"),
        "url": headers.get("warc-target-uri"),
        "date": headers.get("warc-date"),
        "language": headers.get("warc-identified-content-language", "").split(",")[0] or None,
        "text": decoded.text,
    }
    facts = encoding_facts(decoded.encoding)
    yield RawRecord(position, "byte", size_bytes, under_wanted_names(values, reading.columns), raw=raw, facts=facts)


class WarcRecords:
    """A stream of WARC records, with its place in bytes."""

    def __init__(self, stream: BufferedReader) -> None:
        """Takes the unpacked file, from its first byte."""
        self._stream = stream
        self.position = 0

    def seek_version(self) -> bool:
        """Goes to the next line that begins a record; false at the end.

        Raises:
            RefusedFileError: the file begins with something else.
        """
        while True:
            begins = self._stream.peek(len(_VERSION))[: len(_VERSION)] == _VERSION
            if begins:
                return True
            at_start = self.position == 0
            line = self._line()
            if not line:
                return False
            if at_start and line.strip():
                raise RefusedFileError(Reason.UNREADABLE_FILE, "not a WET file: it does not begin with WARC/")

    def headers(self) -> dict[str, str]:
        """The named fields after the version line, names in lower case; the first of equal names stands."""
        self._line()
        fields: dict[str, str] = {}
        end = self.position + _MAX_HEADER_BYTES
        while self.position < end:
            line = self._line()
            if not line.strip():
                return fields
            name, colon, value = line.decode("utf-8", "replace").partition(":")
            if colon:
                fields.setdefault(name.strip().lower(), value.strip())
        return {}

    def _line(self) -> bytes:
        line = self._stream.readline(_MAX_HEADER_BYTES)
        self.position += len(line)
        return line

    def read(self, length: int) -> bytes:
        """So many bytes; `EOFError` if the file ends before."""
        raw = self._stream.read(length)
        self.position += len(raw)
        if len(raw) < length:
            raise EOFError("the file ends within a record: it is cut off")
        return raw

    def skip(self, length: int) -> None:
        """Reads past so many bytes in pieces; `EOFError` if the file ends before."""
        while length > 0:
            length -= len(self.read(min(length, _PIECE_BYTES)))
