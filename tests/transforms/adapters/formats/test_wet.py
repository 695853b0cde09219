"""WET: what Common Crawl says of a page becomes the document's values."""

import gzip
from pathlib import Path

from tests.transforms.adapters.formats.malformed_containers import extract
from tests.transforms.adapters.formats.reading_files import ids, metadata, read, reading_of, texts, written
from transforms.logic.records import Columns

RECORD = (
    "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://example.org/ä\r\nWARC-Date: 2026-11-21T10:30:00Z\r\n"
    "WARC-Record-ID: <urn:uuid:1>\r\nWARC-Identified-Content-Language: deu,eng\r\nContent-Type: text/plain\r\n"
    "Content-Length: {}\r\n\r\n"
).encode()
TEXT = "Grüße\n\nWARC/1.0 is no header here\n".encode()


def wet(tmp_path: Path) -> Path:
    record = RECORD.replace(b"{}", str(len(TEXT)).encode()) + TEXT + b"\r\n\r\n"
    content = extract("<info>", b"software: x", kind="warcinfo") + record + extract("<urn:uuid:2>", b"more")
    return written(tmp_path / "a.warc.wet.gz", gzip.compress(content[:100]) + gzip.compress(content[100:]))


def test_headers_become_values(tmp_path: Path) -> None:
    page = read(wet(tmp_path), reading_of(Columns(language="language")))
    assert ids(page) == ["<urn:uuid:1>", "<urn:uuid:2>"]
    assert texts(page) == [TEXT.decode(), "more"]
    first, second = page.documents
    assert (first["date"], first["declared_language"]) == ("2026-11-21T10:30:00Z", "deu")
    assert (second["date"], second["declared_language"]) == ("", None)
    assert metadata(page)[0] == {"url": "http://example.org/ä"}
    assert page.records_read == 2


def test_the_address_may_be_the_id(tmp_path: Path) -> None:
    page = read(wet(tmp_path), reading_of(Columns(id="url", text="body")))
    assert ids(page) == ["http://example.org/ä", "http://example.org/"]
    assert metadata(page)[1] == {"id": "<urn:uuid:2>"}
