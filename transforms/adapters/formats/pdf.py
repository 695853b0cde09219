"""PDF: the text of all pages, a document a file."""

import threading
from collections.abc import Iterator
from typing import IO

import pypdfium2 as pdfium
import regex

from transforms.adapters.formats.raw import RawRecord, RefusedFileError, under_wanted_names
from transforms.adapters.formats.splits import Split
from transforms.logic.records import Reading
from transforms.logic.schemas import Reason

MAX_PAGES = 10_000

_LOCK = threading.Lock()
"""PDFium keeps state for the whole process: one thread at a time, whatever the document."""

# What PDFium gives for a hyphen at the end of a line that parts a word.
_HYPHEN = regex.compile("[\x02\ufffe]\r?\n?")


def read_pdf(stream: IO[bytes], split: Split, reading: Reading) -> Iterator[RawRecord]:
    """The file as one record: its URI is the id; `name`, `title` and the number of `pages` are metadata.

    Raises:
        RefusedFileError: it is encrypted, damaged, or larger than `max_record_bytes`.
    """
    raw = stream.read(reading.max_record_bytes + 1)
    if len(raw) > reading.max_record_bytes:
        detail = f"the file has more than the {reading.max_record_bytes} bytes of --max-record-bytes"
        raise RefusedFileError(Reason.TOO_LARGE, detail)
    with _LOCK:
        try:
            pages, title, text = _read(raw, reading.max_document_bytes)
        except pdfium.PdfiumError as error:
            advice = "; it is encrypted: remove the password" if "password" in str(error).lower() else ""
            raise RefusedFileError(Reason.UNREADABLE_FILE, f"{error}{advice}") from error
    if not text.strip():
        detail = f"none of {pages} pages has text: scanned pages need OCR first"
        yield RawRecord(0, "byte", len(raw), reason=Reason.EMPTY_TEXT, detail=detail, raw=raw)
        return
    values = {
        "id": split.uri,
        "text": text,
        "name": split.uri.rsplit("/", 1)[-1],
        "title": title or None,
        "pages": pages,
    }
    yield RawRecord(0, "byte", len(raw), under_wanted_names(values, reading.columns), raw=raw)


def _read(raw: bytes, max_text_bytes: int) -> tuple[int, str, str]:
    """Number of pages, title and text; pages are parted by an empty line."""
    document = pdfium.PdfDocument(raw)
    try:
        pages = len(document)
        if pages > MAX_PAGES:
            raise RefusedFileError(Reason.TOO_LARGE, f"the file has {pages} pages, {MAX_PAGES} are allowed")
        texts: list[str] = []
        # One byte more than allowed is enough to be refused.
        room = max_text_bytes
        for number in range(pages):
            texts.append(_page_text(document, number))
            room -= len(texts[-1])
            if room < 0:
                break
        return pages, document.get_metadata_value("Title").strip(), "\n\n".join(texts)
    finally:
        document.close()


def _page_text(document: pdfium.PdfDocument, number: int) -> str:
    page = document[number]
    try:
        text_page = page.get_textpage()
        try:
            text = text_page.get_text_bounded()
        finally:
            text_page.close()
    finally:
        page.close()
    return _HYPHEN.sub("", text).replace("\r\n", "\n").strip()
