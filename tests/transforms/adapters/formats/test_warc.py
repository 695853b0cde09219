"""WARC: HTTP responses to documents, each record alone."""

import gzip
import io
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
import zstandard
from fastwarc.stream_io import BrotliWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.formats.reading_files import ids, metadata, read, reading_of, reasons, texts, written
from transforms.adapters.formats.html import MAX_PAGE_BYTES
from transforms.logic.records import Columns

ROOT = Path(__file__).parents[4]

RUSSIAN = "Вулкан образуется там, где расплавленная порода поднимается к поверхности."


def record(number: int, block: bytes, kind: str = "response", length: int | None = None) -> bytes:
    size_bytes = len(block) if length is None else length
    head = (
        f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{number}>\r\nWARC-Target-URI: http://x.org/{number}\r\n"
        f"WARC-Date: 2026-11-21T10:30:00Z\r\nContent-Type: application/http\r\nContent-Length: {size_bytes}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def http(
    body: bytes, content_type: str = "text/html", status: str = "200 OK", headers: Mapping[str, str] | None = None
) -> bytes:
    fields = {"Content-Type": content_type, **(headers or {})}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(body: bytes) -> bytes:
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def brotli(body: bytes) -> bytes:
    packed = io.BytesIO()
    writer = BrotliWriter(packed)
    writer.write(body)
    writer.close()
    return packed.getvalue()


PAGE = b'<html lang="fr"><head><title>Les volcans</title></head><body><nav>x</nav><p>La lave coule.</p></body></html>'


def test_a_page_is_a_document_with_what_the_crawler_knows(tmp_path: Path) -> None:
    content = record(1, b"software: x\r\n", "warcinfo") + record(2, http(PAGE, "text/html; charset=utf-8"))
    path = written(tmp_path / "a.warc", content)
    found = read(path, reading_of(Columns(language="lang")))
    assert (found.rejects, found.records_read, ids(found), texts(found)) == (
        [],
        1,
        ["<urn:uuid:2>"],
        ["La lave coule."],
    )
    document = found.documents[0]
    assert (document["declared_language"], document["date"]) == ("fr", "2026-11-21T10:30:00Z")
    assert document["position"] == len(record(1, b"software: x\r\n", "warcinfo"))
    assert metadata(found) == [{"url": "http://x.org/2", "title": "Les volcans", "content_type": "text/html"}]


def test_plain_text_is_taken_as_it_stands(tmp_path: Path) -> None:
    found = read(written(tmp_path / "a.warc", record(1, http(b"1 < 2 &amp; <b>no markup</b>", "text/plain"))))
    assert texts(found) == ["1 < 2 &amp; <b>no markup</b>"]


@pytest.mark.parametrize("url", ["id", "url"])
def test_url_and_id_are_columns_to_choose(tmp_path: Path, url: str) -> None:
    path = written(tmp_path / "a.warc", record(1, http(PAGE)))
    assert ids(read(path, reading_of(Columns(id=url)))) == [{"id": "<urn:uuid:1>", "url": "http://x.org/1"}[url]]


@pytest.mark.parametrize(
    ("encode", "headers"),
    [
        (chunked, {"Transfer-Encoding": "chunked"}),
        (gzip.compress, {"Content-Encoding": "gzip"}),
        (zlib.compress, {"Content-Encoding": "deflate"}),
        (zstandard.compress, {"Content-Encoding": "zstd"}),
        (brotli, {"Content-Encoding": "br"}),
        (lambda body: chunked(gzip.compress(body)), {"Transfer-Encoding": "chunked", "Content-Encoding": "gzip"}),
        # Unpacked by the crawler, whose header still says otherwise.
        (lambda body: body, {"Transfer-Encoding": "chunked"}),
        (lambda body: body, {"Content-Encoding": "gzip"}),
        (lambda body: body, {"Content-Encoding": "unheard-of"}),
    ],
)
def test_transfer_and_content_encodings_are_undone(tmp_path: Path, encode: object, headers: dict[str, str]) -> None:
    assert callable(encode)
    found = read(written(tmp_path / "a.warc", record(1, http(encode(PAGE), headers=headers))))
    assert (reasons(found), texts(found)) == ([], ["La lave coule."])


def test_the_charset_of_the_header_is_used(tmp_path: Path) -> None:
    body = f"<p>{RUSSIAN}</p>".encode("koi8-r")
    found = read(written(tmp_path / "a.warc", record(1, http(body, "text/html; charset=KOI8-R"))))
    assert texts(found) == [RUSSIAN]
    assert metadata(found)[0]["encoding"] == "koi8-r"


def test_records_that_hold_no_document_are_passed_over(tmp_path: Path) -> None:
    content = b"".join(
        [
            record(1, b"GET / HTTP/1.1\r\n\r\n", "request"),
            record(2, http(b"\x89PNG", "image/png")),
            record(3, http(b"<p>moved</p>", status="301 Moved")),
            record(4, http(b"<p>gone</p>", status="404 Not Found")),
            record(5, http(b"", ""), "revisit"),
            record(6, http(b"<p>untyped</p>", "")),
            record(7, http(PAGE)),
        ]
    )
    found = read(written(tmp_path / "a.warc", content))
    assert (ids(found), found.rejects, found.records_read) == (["<urn:uuid:7>"], [], 1)


BAD = {
    "status": (b"no http at all", "malformed_record"),
    "empty": (b"", "malformed_record"),
    "gzip": (http(gzip.compress(PAGE)[:-30], headers={"Content-Encoding": "gzip"}), "malformed_record"),
    "chunks": (http(b"zz\r\nhello", headers={"Transfer-Encoding": "chunked"}), "malformed_record"),
    "encoding": (http(b"<p>\xff\xfe\xfd\xff caf\xe9</p>"), "bad_encoding"),
    "nothing": (http(b"<nav>x</nav>"), "empty_text"),
    "large": (http(b"x" * 5000), "too_large"),
    "bomb": (http(gzip.compress(b"x" * 100_000), headers={"Content-Encoding": "gzip"}), "too_large"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_record_costs_itself(tmp_path: Path, kind: str) -> None:
    block, reason = BAD[kind]
    before = record(1, http(PAGE))
    path = written(tmp_path / "a.warc", before + record(2, block) + record(3, http(PAGE)))
    found = read(path, reading_of(max_record_bytes=4000))
    assert ids(found) == ["<urn:uuid:1>", "<urn:uuid:3>"]
    assert reasons(found) == [(reason, f"byte {len(before)}")]


def test_a_damaged_header_costs_its_record(tmp_path: Path) -> None:
    bad = record(2, http(PAGE)).replace(b"Content-Length", b"Content-Langth", 1)
    found = read(written(tmp_path / "a.warc", record(1, http(PAGE)) + bad + record(3, http(PAGE))))
    assert ids(found) == ["<urn:uuid:1>", "<urn:uuid:3>"]
    assert [reason for reason, _ in reasons(found)] == ["malformed_record"]


def test_a_file_cut_off_keeps_the_records_before_the_cut(tmp_path: Path) -> None:
    content = record(1, http(PAGE)) + record(2, http(PAGE))
    for name, cut in (("a.warc", content[:-40]), ("a.warc.gz", gzip.compress(content[: len(content) - 40]))):
        found = read(written(tmp_path / name, cut))
        assert (ids(found), reasons(found)) == (["<urn:uuid:1>"], [("unreadable_file", "")])


def test_a_member_a_record_is_read_as_crawlers_write_it(tmp_path: Path) -> None:
    content = b"".join(gzip.compress(record(number, http(PAGE))) for number in range(5))
    assert ids(read(written(tmp_path / "a.warc.gz", content))) == [f"<urn:uuid:{number}>" for number in range(5)]


def test_a_page_that_unpacks_to_gigabytes_costs_a_reject_in_bounded_memory(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, wbits=31)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1 << 10)) + packer.flush()
    path = written(
        tmp_path / "a.warc", record(1, http(body, headers={"Content-Encoding": "gzip"})) + record(2, http(PAGE))
    )
    program = (
        "import resource, sys\nfrom transforms.adapters.formats import Split, read_split\nfrom transforms.logic.records import Reading\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "pages = list(read_split(Split(sys.argv[1], 'warc', 0, -1, 0, ''), Reading()))\n"
        "print([reject['reason'] for page in pages for reject in page.rejects], sum(len(page.documents) for page in pages))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    said, grown_kilobytes = done.stdout.splitlines()
    assert said == "['too_large'] 1"
    assert int(grown_kilobytes) < 10 * MAX_PAGE_BYTES >> 10


@settings(deadline=None, derandomize=True, max_examples=150)
@given(damages=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 500), st.integers(0, 255)), max_size=4))
def test_damage_in_a_response_costs_that_response_at_most(
    tmp_path_factory: pytest.TempPathFactory, damages: list[tuple[int, int, int]]
) -> None:
    blocks = [bytearray(http(chunked(PAGE), headers={"Transfer-Encoding": "chunked"})) for _ in range(6)]
    for number, place, value in damages:
        blocks[number][place % len(blocks[number])] = value
    content = b"".join(record(number, bytes(block)) for number, block in enumerate(blocks))
    found = read(written(tmp_path_factory.mktemp("damaged") / "a.warc", content))
    assert all(reject["level"] == "record" for reject in found.rejects)
    sound = {f"<urn:uuid:{number}>" for number in range(6)} - {f"<urn:uuid:{number}>" for number, _, _ in damages}
    kept = dict(zip(ids(found), texts(found), strict=True))
    assert {kept.get(name) for name in sound} <= {"La lave coule."}
    assert len(kept) + len(found.rejects) <= 6


@settings(deadline=None, derandomize=True, max_examples=150)
@given(damages=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damage_anywhere_is_never_an_exception(
    tmp_path_factory: pytest.TempPathFactory, damages: list[tuple[int, int]]
) -> None:
    content = bytearray(b"".join(record(number, http(PAGE)) for number in range(6)))
    for place, value in damages:
        content[place % len(content)] = value
    path = written(tmp_path_factory.mktemp("damaged") / "a.warc", bytes(content))
    found = read(path, reading_of(format="warc"))
    assert len(found.documents) <= 6
