"""What names and first bytes tell."""

import bz2
import gzip
import lzma

import pytest
import zstandard

from transforms.adapters.formats.sniffing import (
    AUTO,
    archive_of,
    compression_of,
    is_plain_text,
    told_by_content,
    told_by_name,
)

FORMATS = {
    "jsonl": ("a.jsonl", "A.NDJSON"),
    "json": ("a.json",),
    "csv": ("a.csv",),
    "tsv": ("a.tsv",),
    "text": ("a.txt", "a.text"),
    "markdown": ("a.md", "a.markdown"),
    "html": ("a.html", "a.htm"),
    "pdf": ("a.pdf",),
    "warc": ("a.warc",),
    "wet": ("a.wet", "a.warc.wet"),
    "parquet": ("a.parquet", "part-0.snappy.parquet"),
    AUTO: ("a", "a.docx", "jsonl", "a.jsonl.part", "a.parquet/b"),
}
LINE = b'{"id": "a", "text": "b"}'


@pytest.mark.parametrize(("format_name", "name"), [(told, name) for told, names in FORMATS.items() for name in names])
@pytest.mark.parametrize(
    ("ending", "compression"), [("", ""), (".gz", "gzip"), (".zst", "zstd"), (".bz2", "bz2"), (".XZ", "xz")]
)
def test_a_name_tells_format_and_compression(format_name: str, name: str, ending: str, compression: str) -> None:
    assert told_by_name(f"gs://bucket/dir.parquet/{name}{ending}") == (format_name, compression)


@pytest.mark.parametrize("raw", [b"", b"text", bytes(1000)])
def test_content_tells_compression(raw: bytes) -> None:
    assert compression_of(gzip.compress(raw)) == "gzip"
    assert compression_of(zstandard.ZstdCompressor().compress(raw)) == "zstd"
    assert compression_of(b"\x50\x2a\x4d\x18\x00\x00\x00\x00") == "zstd"
    assert compression_of(bz2.compress(raw)) == "bz2"
    assert compression_of(lzma.compress(raw)) == "xz"


@pytest.mark.parametrize("head", [b"", b"B", b"BZh, a word", b"BZh9 and more", LINE, b"PAR1", b"\x1f", bytes(20)])
def test_what_only_resembles_it_is_not_compressed(head: bytes) -> None:
    assert compression_of(head) == ""


@pytest.mark.parametrize(
    ("named", "head", "told"),
    [
        ("jsonl", LINE, "jsonl"),
        ("json", LINE, "json"),
        ("json", LINE + b"\n", "jsonl"),
        ("json", LINE + b"\n" + LINE, "jsonl"),
        ("json", LINE + b"\n," + LINE, "json"),
        ("jsonl", LINE[:10], "jsonl"),
        ("jsonl", LINE[:10] + b"\n" + LINE, "jsonl"),
        ("jsonl", b"[" + LINE, "json"),
        ("jsonl", b"[\n", "json"),
        ("jsonl", b'["a", "b"]\n' + LINE, "jsonl"),
        ("jsonl", b"{\n  ", "json"),
        ("jsonl", b"", "jsonl"),
        ("jsonl", b"no JSON", "jsonl"),
        (AUTO, LINE, "json"),
        (AUTO, LINE + b"\nno JSON", "jsonl"),
        (AUTO, b"  [" + LINE, "json"),
        (AUTO, b"words", AUTO),
        (AUTO, b"", AUTO),
        ("csv", LINE + b"\n", "jsonl"),
        ("csv", b"[a],b\n", "csv"),
        ("text", LINE + b"\n", "text"),
        ("markdown", b"[link](there)", "markdown"),
        ("text", b"PAR1....", "parquet"),
        ("jsonl", b"%PDF-1.7", "pdf"),
        ("parquet", LINE + b"\n", "jsonl"),
        ("parquet", b"words", "parquet"),
        ("text", b" <!DOCTYPE html>", "html"),
        (AUTO, b"<html lang='de'>", "html"),
        (AUTO, b"<?xml version='1.0'?><!-- x --><html>", "html"),
        ("markdown", b"<html>", "markdown"),
        (AUTO, b"<htmlish>", AUTO),
        ("text", b"WARC/1.0\r\nWARC-Type: response\r\n", "warc"),
        ("warc", b"WARC/1.0\r\nWARC-Type: warcinfo\r\n\r\nWARC/1.0\r\nWARC-Type: conversion\r\n", "wet"),
        ("wet", b"WARC/1.0\r\nWARC-Type: warcinfo\r\n", "wet"),
        ("wet", b"WARC/1.0\r\nWARC-Type: request\r\n\r\nWARC/1.0\r\nWARC-Type: response\r\n", "warc"),
    ],
)
def test_content_corrects_a_name_that_it_contradicts(named: str, head: bytes, told: str) -> None:
    assert told_by_content(named, head) == told
    if head.isascii() and len(head) >= 16:
        for encoding in ("utf-8-sig", "utf-16", "utf-32"):
            wide = head.decode().encode(encoding)
            if told not in {"parquet", "pdf"}:
                assert told_by_content(named, wide) == told


@pytest.mark.parametrize(
    ("head", "archive"),
    [
        (b"PK\x03\x04", "a zip archive"),
        (b"PK\x05\x06", "a zip archive"),
        (bytes(257) + b"ustar", "a tar archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"PK words", ""),
        (b"", ""),
    ],
)
def test_archives_are_told(head: bytes, archive: str) -> None:
    assert archive_of(head) == archive


@pytest.mark.parametrize(
    ("head", "plain"), [(b"words\r\n\tmore", True), ("größ".encode()[:-1], True), (b"\xff", False), (b"a\x00", False)]
)
def test_plain_text_is_told_from_bytes(head: bytes, plain: bool) -> None:
    assert is_plain_text(head) is plain
