"""Malformed containers: compression, names that lie, encodings, JSON that breaks, extracts of the web."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tests.transforms.adapters.formats.malformed import (
    GERMAN,
    JAPANESE,
    MOST_RECORD_BYTES,
    RUSSIAN,
    URI,
    Malformed,
    good,
    lines,
)

UNREADABLE = ("file.unreadable_file",)
UNKNOWN = ("file.unknown_format",)
BOMB = ("file.decompression_bomb",)
BOTH = ("good1", "good2")
TWO = lines(good(1), good(2))
PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gz": lambda raw: gzip.compress(raw, mtime=0),
    "zst": zstandard.ZstdCompressor().compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
MANY = tuple(f"good{number}" for number in range(3000))
PADDING = {f"good{number}": number * 7919 % 104_729 for number in range(3000)}


def _many() -> bytes:
    return lines(*(json.dumps({"id": name, "text": f"text {PADDING[name]}"}).encode() for name in MANY))


def compressed() -> Iterator[Malformed]:
    """Each compression: cut, damaged, followed by something else, doubled, and named as what it is not."""
    content = _many()
    for ending, pack in PACKERS.items():
        whole = pack(content)
        name = f"{ending}.jsonl.{ending}"
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 0xFF, whole[middle + 1] ^ 0xFF]) + whole[middle + 2 :]
        yield Malformed(f"{ending} cut in half", f"cut-{name}", whole[:middle], MANY, UNREADABLE, cut=True)
        yield Malformed(f"{ending} without its end", f"end-{name}", whole[:-3], MANY, UNREADABLE, cut=True)
        yield Malformed(f"{ending} cut in its header", f"head-{name}", whole[:10], (), UNREADABLE)
        yield Malformed(f"{ending} with flipped bytes", f"flip-{name}", flipped, MANY, UNREADABLE, cut=True)
        yield Malformed(f"{ending} before junk", f"junk-{name}", pack(TWO) + b"no member", BOTH, UNREADABLE)
        yield Malformed(f"{ending} in two members", f"two-{name}", pack(lines(good(1))) + pack(lines(good(2))), BOTH)
        yield Malformed(f"{ending} of nothing", f"nothing-{name}", pack(b""), ())
        yield Malformed(f"{ending} without a byte", f"empty-{name}", b"", ())
        yield Malformed(f"{ending} in gzip", f"twice-{name}.gz", PACKERS["gz"](pack(TWO)), BOTH)
        thrice = PACKERS["gz"](PACKERS["gz"](pack(TWO)))
        yield Malformed(f"{ending} in gzip in gzip", f"thrice-{name}", thrice, (), UNKNOWN)
        yield Malformed(f"{ending} named as plain", f"plain-{ending}.jsonl", pack(TWO), BOTH)
        yield Malformed(f"plain named as {ending}", f"named-{name}", TWO, BOTH)
        yield Malformed(f"text named as {ending}", f"named.txt.{ending}", b"a text", (URI,))
        yield Malformed(f"junk named as {ending}", f"junk.jsonl.{ending}", b"\x00\x01junk", (), UNREADABLE)
        other = PACKERS["bz2" if ending == "gz" else "gz"](TWO)
        yield Malformed(f"another compression named as {ending}", f"other-{name}", other, BOTH)
        yield Malformed(f"one text in {ending}, cut", f"cut.txt.{ending}", pack(content[:20_000])[:-20], (), UNREADABLE)


def bombs() -> Iterator[Malformed]:
    """Small files that unpack to large ones."""
    for ending, pack in PACKERS.items():
        content = pack(lines(good(1)) + b" " * (65 << 20) + b"\n" + lines(good(2)))
        options = {"max_compression_ratio": 50}
        yield Malformed(f"bomb in {ending}", f"bomb.jsonl.{ending}", content, ("good1",), BOMB, options=options)
        options = {"max_decompressed_bytes": 40_000}
        larger = pack(_many())
        yield Malformed(
            f"{ending} above a limit", f"more.jsonl.{ending}", larger, MANY, BOMB, cut=True, options=options
        )
    zeros = PACKERS["gz"](bytes(65 << 20))
    options = {"max_compression_ratio": 50}
    yield Malformed("bomb as text", "bomb.txt.gz", zeros, (), ("record.too_large",), options=options)
    yield Malformed("bomb as JSON", "bomb.json.gz", PACKERS["gz"](b"[" + b" " * (65 << 20)), (), BOMB, options=options)
    window = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=window).compressobj()
    greedy = packer.compress(TWO) + packer.flush()
    yield Malformed("zst that asks for 1 GiB", "window.jsonl.zst", greedy, (), UNREADABLE)
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    yield Malformed("xz that asks for 1 GiB", "window.jsonl.xz", lzma.compress(TWO, filters=filters), (), UNREADABLE)


def lying_names() -> Iterator[Malformed]:
    """Names that tell another format than the content is, or none."""
    array = b"[" + good(1) + b"," + good(2) + b"]"
    stream = io.BytesIO()
    pq.write_table(pa.table({"id": BOTH, "text": ["a", "b"]}), stream)
    table = stream.getvalue()
    wet = extract("<urn:good1>", b"a text") + extract("<urn:good2>", b"a text")
    urns = ("<urn:good1>", "<urn:good2>")
    pretty = json.dumps(json.loads(good(1)), indent=1).encode()
    for kind, name, content, documents in (
        ("JSON Lines named .json", "lines.json", TWO, BOTH),
        ("JSON Lines named .csv", "rows.csv", TWO, BOTH),
        ("JSON Lines named .parquet", "lines.parquet", TWO, BOTH),
        ("JSON Lines without an ending", "lines", TWO, BOTH),
        ("JSON Lines named by a date", "lines.2026-11-21", TWO, BOTH),
        ("array named .jsonl", "array.jsonl", array, BOTH),
        ("array without an ending", "array", array, BOTH),
        ("pretty JSON named .jsonl", "pretty.jsonl", pretty, ("good1",)),
        ("Parquet named .jsonl", "table.jsonl", table, BOTH),
        ("Parquet named .txt", "table.txt", table, BOTH),
        ("Parquet without an ending", "table", table, BOTH),
        ("Parquet in gzip", "table.parquet.gz", PACKERS["gz"](table), BOTH),
        ("WET named .txt", "wet.txt", wet, urns),
        ("WET named .warc", "wet.warc", wet, urns),
        ("WET without an ending", "wet", wet, urns),
    ):
        yield Malformed(kind, name, content, documents)
    page = b"<!DOCTYPE html><html><body><p>A page with a sentence of some words.</p></body></html>"
    for name in ("page.txt", "page", "page.jsonl", "page.htm.gz"):
        yield Malformed("HTML under any name", f"html-{name}", page, (URI,))
    yield Malformed("Markdown that begins as HTML", "html.md", page, (URI,))
    yield Malformed("PDF that is no PDF", "no.pdf", b"words", (), UNREADABLE)
    yield Malformed("PDF cut in its header", "cut.txt", b"%PDF-1.7\n", (), UNREADABLE)
    yield Malformed("text that begins with a brace", "brace.txt", b'{"id": 1}\n', (URI,))
    yield Malformed("Markdown that begins with a bracket", "bracket.md", b"[link](there)\n", (URI,))


def unknown() -> Iterator[Malformed]:
    """Archives, and what neither name nor content tell."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(zipfile.ZipInfo("a.jsonl"), TWO)
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w") as stored:
        stored.addfile(tarfile.TarInfo("a.jsonl"))
    for number, (kind, name, content) in enumerate(
        (
            ("zip", "a.zip", archive.getvalue()),
            ("zip named .jsonl", "zip.jsonl", archive.getvalue()),
            ("empty zip", "empty.zip", b"PK\x05\x06" + bytes(18)),
            ("office document", "letter.docx", archive.getvalue()),
            ("tar", "a.tar", tape.getvalue()),
            ("tar in gzip", "a.tar.gz", PACKERS["gz"](tape.getvalue())),
            ("7z", "a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(30)),
            ("image", "a.png", b"\x89PNG\r\n\x1a\n" + bytes(30)),
            ("text without an ending", "README", b"some text\n"),
            ("bytes without an ending", "bytes", bytes(range(256))),
            ("spaces without an ending", "spaces", b" \n \n"),
        )
    ):
        yield Malformed(f"unknown: {kind}", f"{number}-{name}", content, (), UNKNOWN)
    yield Malformed("empty file of no format", "_SUCCESS", b"", ())
    yield Malformed("format forced upon a name", "forced", TWO, BOTH, options={"format": "jsonl"})
    yield Malformed("forced format in gzip", "forced.gz", PACKERS["gz"](TWO), BOTH, options={"format": "jsonl"})
    yield Malformed("wrong format forced", "wrong.jsonl", TWO, (), UNREADABLE, options={"format": "parquet"})


def encoded() -> Iterator[Malformed]:
    """Encodings with marks and without, damaged ones, and several in one file."""
    text = "Grüße, мир 世界 🎉 and some words"
    record = json.dumps({"id": "odd", "text": text}, ensure_ascii=False) + "\n"
    wide = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
    for name in ("utf-8", *wide):
        for mark in (True, False):
            kind = f"{name} with{'' if mark else 'out'} a mark"
            found = {} if name == "utf-8" else {name: 1}
            for ending, whole in (
                ("jsonl", record),
                ("json", f"[{record}]"),
                ("csv", f"id,text\nodd,{text.replace(',', '')}\n"),
                ("txt", text),
                ("md", f"# {text}"),
            ):
                content = ("\ufeff" * mark + whole).encode(name)
                document = URI if ending in {"txt", "md"} else "odd"
                yield Malformed(kind, f"{name}-{mark}.{ending}", content, (document,), encodings=found)
    for name, codec, words in (
        ("windows-1252", "cp1252", GERMAN),
        ("windows-1251", "cp1251", RUSSIAN),
        ("koi8-r", "koi8_r", RUSSIAN),
        ("shift_jis", "cp932", JAPANESE * 6),
        ("euc-jp", "euc_jp", JAPANESE * 6),
    ):
        yield Malformed(
            f"text in {name}", f"{name}.txt", words.encode(codec), (URI,), (), texts={URI: words}, encodings={name: 1}
        )
        strict = {"decoding": "strict"}
        yield Malformed(
            f"{name}, strict", f"{name}-strict.txt", words.encode(codec), (), ("record.bad_encoding",), options=strict
        )
        mixed = lines(good(1), json.dumps({"id": "odd", "text": words}, ensure_ascii=False).encode(codec), good(2))
        documents = ("good1", "odd", "good2")
        yield Malformed(
            f"a line in {name}", f"{name}.jsonl", mixed, documents, texts={"odd": words}, encodings={name: 1}
        )
    bad = ("record.bad_encoding",)
    yield Malformed("bytes named .txt", "bytes.txt", bytes(range(256)) * 4, (), bad)
    yield Malformed("UTF-8 and Latin-1 in one text", "mixed.txt", (RUSSIAN.encode() + b"gr\xf6\xdfer\n") * 3, (), bad)
    yield Malformed("UTF-16 that ends within a character", "odd.txt", "\ufeffwords".encode("utf-16-le")[:-1], (), bad)
    yield Malformed("text of one foreign byte", "one.txt", b"caf\xe9", (), bad)
    yield Malformed("text of nothing", "nothing.txt", b"", (), ("record.empty_text",))
    yield Malformed("text of a mark alone", "mark.md", b"\xef\xbb\xbf", (), ("record.empty_text",))
    yield Malformed("text above the limit", "large.txt", b"x" * (MOST_RECORD_BYTES + 1), (), ("record.too_large",))
    yield Malformed(
        "1 MB without a space",
        "long.txt",
        b"x" * 1_000_000,
        (URI,),
        options={"max_document_bytes": 1 << 20, "max_record_bytes": 1 << 20},
    )


def broken_json() -> Iterator[Malformed]:
    """JSON files that break as a whole."""
    a, b, c = (good(number) for number in (1, 2, 3))
    three, malformed = ("good1", "good2", "good3"), "record.malformed_record"
    for number, (kind, content, documents, rejects) in enumerate(
        (
            ("array cut behind a comma", b"[" + a + b"," + b + b",", BOTH, UNREADABLE),
            ("array cut within a value", b"[" + a + b"," + b[:10], ("good1",), (malformed, *UNREADABLE)),
            ("array never closed", b"[" + a + b"," + b, BOTH, UNREADABLE),
            ("array closed twice", b"[" + a + b"]]" + b, BOTH, (malformed,)),
            ("array without commas", b"[" + a + b + c + b"]", three, ()),
            ("two arrays", b"[" + a + b"][" + b + b"]", BOTH, ()),
            ("array and values", b"[" + a + b"]" + b + b"\n" + c, three, ()),
            ("values side by side", a + b + c, three, ()),
            ("a bracket too many", b"[" + a + b"}," + b + b"]", BOTH, (malformed,)),
            ("quote that swallows the next", b'[{"id": "x", "text": "y},' + a + b"," + b + b"]", BOTH, (malformed,)),
            (
                "bracket missing between values",
                b"[" + a[:-1] + b"," + b + b"," + c + b"]",
                (*BOTH[1:], "good3"),
                (malformed,),
            ),
            ("array of arrays", b"[[1, 2], [" + a + b"]]", (), ("record.wrong_type",) * 2),
            ("empty array", b"[]", (), ()),
            ("empty object", b"{}", (), ("record.missing_id",)),
            ("nothing but space", b" \n\t\r\n ", (), ()),
            ("words", b"these are words\nin two lines", (), (malformed,) * 2),
            ("nested without end", b"[" * 1_200_000, (), UNREADABLE),
            ("object with all records", b'{"data": [' + a + b"]}", (), ("record.missing_id",)),
        )
    ):
        yield Malformed(f"JSON: {kind}", f"broken{number}.json", content, documents, rejects)
    yield Malformed("JSON Lines of empty lines", "empty-lines.jsonl", b"\n\r\n \n" + TWO + b"\n\n", BOTH)
    yield Malformed("JSON Lines in CR LF", "returns.jsonl", TWO.replace(b"\n", b"\r\n"), BOTH)
    yield Malformed(
        "JSON Lines with marks inside", "marks.jsonl", b"\xef\xbb\xbf" + a + b"\n\xef\xbb\xbf" + b + b"\n", BOTH
    )


def extract(record_id: str, text: bytes, length: int | None = None, kind: str = "conversion") -> bytes:
    """A WARC record with text."""
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: {record_id}\r\nWARC-Target-URI: http://example.org/\r\n"
    size = len(text) if length is None else length
    return head.encode() + f"Content-Length: {size}\r\n\r\n".encode() + text + b"\r\n\r\n"


def web_extracts() -> Iterator[Malformed]:
    """WET files."""
    a, b = extract("good1", b"a text"), extract("good2", b"a text")
    malformed = ("record.malformed_record",)
    for number, (kind, content, documents, rejects) in enumerate(
        (
            ("with information first", extract("info", b"software: x", kind="warcinfo") + a + b, BOTH, ()),
            ("cut within a text", a + b[:-8], ("good1",), UNREADABLE),
            ("cut within a header", a + b[:30], ("good1",), malformed),
            ("without a length", a + b.replace(b"Content-Length: 6", b"X: 6") + b, BOTH, malformed),
            ("with a length of words", a + b.replace(b"Length: 6", b"Length: six") + b, BOTH, malformed),
            ("with a negative length", a + b.replace(b"Length: 6", b"Length: -6") + b, BOTH, malformed),
            ("with a length of a petabyte", a + extract("x", b"y", 1 << 50), ("good1",), UNREADABLE),
            ("with a length too short", a + extract("short", b"a text", 2) + b, ("good1", "short", "good2"), ()),
            ("with junk between records", a + b"junk\r\njunk\r\n" + b, BOTH, ()),
            ("without an id", a + extract("", b"y") + b, BOTH, ("record.missing_id",)),
            ("with an empty text", a + extract("x", b"") + b, BOTH, ("record.empty_text",)),
            ("with bytes of no encoding", a + extract("x", b"\xff\xfe\xff") + b, BOTH, ("record.bad_encoding",)),
            (
                "with a text above the limit",
                a + extract("x", b"y" * (MOST_RECORD_BYTES + 1)) + b,
                BOTH,
                ("record.too_large",),
            ),
            ("without a record", b"junk", (), UNREADABLE),
            ("without a byte", b"", (), ()),
            ("with line feeds alone", (a + b).replace(b"\r\n", b"\n"), BOTH, ()),
        )
    ):
        yield Malformed(f"WET {kind}", f"wet{number}.warc.wet", content, documents, rejects)
        if content and number != 12:
            members = PACKERS["gz"](content[: len(a)]) + PACKERS["gz"](content[len(a) :])
            yield Malformed(f"WET {kind}, in gzip", f"wet{number}.warc.wet.gz", members, documents, rejects)
