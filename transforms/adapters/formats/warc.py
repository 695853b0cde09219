"""WARC: web pages as crawlers keep them, HTTP responses in WARC records (ISO 28500)."""

import io
import zlib
from collections.abc import Iterator
from io import BufferedReader
from typing import IO, cast

from fastwarc.stream_io import BrotliReader, ChunkedReader, ZstdReader
from fastwarc.warc import HeaderMap, WarcRecord, response

from transforms.adapters.formats.html import MAX_PAGE_BYTES
from transforms.adapters.formats.lines import encoding_facts
from transforms.adapters.formats.markup import decode_declared, page_of
from transforms.adapters.formats.raw import RawRecord, under_wanted_names
from transforms.adapters.formats.splits import Split
from transforms.adapters.formats.wet import WarcRecords
from transforms.logic.decoding import UndecodableError
from transforms.logic.records import Reading
from transforms.logic.schemas import Reason

_MARKUP = frozenset({"text/html", "application/xhtml+xml"})
_PLAIN = "text/plain"
_OK = range(200, 300)
_CODINGS = {"chunked": ChunkedReader, "br": BrotliReader, "zstd": ZstdReader}
_GZIP_OR_ZLIB = 47  # zlib's window bits for either, told by the first bytes


class _RefusedRecordError(Exception):
    """A response that gives no text; never leaves this module."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def read_warc(stream: IO[bytes], split: Split, reading: Reading) -> Iterator[RawRecord]:  # noqa: ARG001
    """The successful responses of type text/html, application/xhtml+xml and text/plain.

    Other records (requests, metadata, redirects, images) hold no document and are passed over. A record that is damaged costs itself:
    reading goes on where the next one begins. Id is WARC-Record-ID, url WARC-Target-URI, date WARC-Date, content_type as the server
    gave it; title and lang as in HTML files.

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
        elif headers.get("warc-type", "").lower() != "response":
            source.skip(int(length))
        elif int(length) > reading.max_record_bytes:
            source.skip(int(length))
            detail = f"the record has {length} bytes, {reading.max_record_bytes} are allowed (--max-record-bytes)"
            yield RawRecord(position, "byte", source.position - position, reason=Reason.TOO_LARGE, detail=detail)
        else:
            block = source.read(int(length))
            size_bytes = source.position - position
            try:
                yield from _document(block, position, size_bytes, headers, reading)
            except _RefusedRecordError as refused:
                yield RawRecord(position, "byte", size_bytes, reason=refused.reason, detail=refused.detail, raw=block)


def _document(
    block: bytes, position: int, size_bytes: int, headers: dict[str, str], reading: Reading
) -> Iterator[RawRecord]:
    """One response as a record; nothing for one that holds no document."""
    record = _parsed(block)
    status = record.http_headers.status_code
    if status is None:
        raise _RefusedRecordError(Reason.MALFORMED_RECORD, "a response without an HTTP status line")
    content_type = record.http_content_type or ""
    markup = content_type.lower() in _MARKUP
    if status not in _OK or not (markup or content_type.lower() == _PLAIN):
        return
    body = _body(record, min(reading.max_record_bytes, MAX_PAGE_BYTES))
    try:
        decoded = decode_declared(body, reading.decoding, record.http_charset, markup=markup)
    except UndecodableError as error:
        raise _RefusedRecordError(Reason.BAD_ENCODING, str(error)) from error
    values = {
        "id": headers.get("warc-record-id"),
        "url": headers.get("warc-target-uri"),
        "date": headers.get("warc-date"),
        "content_type": content_type,
        "text": decoded.text,
    }
    if markup:
        page = page_of(decoded.text)
        values |= {"text": page.text, "title": page.title or None, "lang": page.language or None}
    wanted = under_wanted_names(values, reading.columns)
    yield RawRecord(position, "byte", size_bytes, wanted, raw=block, facts=encoding_facts(decoded.encoding))


def _parsed(block: bytes) -> WarcRecord:
    """The record with its HTTP headers parsed. Its body stays encoded: the library's own decoding has no bound."""
    record = WarcRecord()
    record.init_headers(response)
    record.is_http = True
    record.set_bytes_content(block)
    try:
        record.parse_http(auto_decode="none")
    except (OSError, ValueError) as error:
        raise _RefusedRecordError(Reason.MALFORMED_RECORD, "a response whose HTTP headers cannot be read") from error
    return record


def _body(record: WarcRecord, most_bytes: int) -> bytes:
    """The page without transfer and content encoding.

    Some crawlers unpack a page and keep the header that says it is packed: a page that cannot be unpacked but begins with a tag is
    taken as it is.
    """
    packed = body = record.reader.read()
    try:
        for coding in _codings(record.http_headers):
            body = _decoded(body, coding, most_bytes + 1)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        # The messages of these errors quote the page.
        if packed.lstrip()[:1] != b"<":
            raise _RefusedRecordError(Reason.MALFORMED_RECORD, "the page cannot be unpacked") from error
        body = packed
    if len(body) > most_bytes:
        raise _RefusedRecordError(Reason.TOO_LARGE, f"the page unpacks to more than {most_bytes} bytes")
    return body


def _codings(headers: HeaderMap) -> list[str]:
    """Names of what was done to the page, the last first."""
    named = [headers.get("Content-Encoding", ""), headers.get("Transfer-Encoding", "")]
    done = [coding.strip().lower() for value in named for coding in (value or "").split(",")]
    return [coding for coding in reversed(done) if coding not in {"", "identity"}]


def _decoded(body: bytes, coding: str, most_bytes: int) -> bytes:
    """At most so many bytes of what a body decodes to; `OSError`, `EOFError`, `ValueError` or `zlib.error` for a damaged or unknown one."""
    if coding in {"gzip", "x-gzip", "deflate"}:
        inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
        decoded = inflater.decompress(body, most_bytes)
        if len(decoded) < most_bytes and not inflater.eof:
            raise EOFError("the packed body ends too early")
        return decoded
    reader = _CODINGS.get(coding)
    if reader is None:
        raise ValueError(coding)
    # The body may hold a packed page of any size, so only what is unpacked is bounded.
    return bytes(reader(io.BytesIO(body)).read(max(most_bytes, len(body)) if coding == "chunked" else most_bytes))
