"""PDF: one file to one document."""

import concurrent.futures
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.formats.reading_files import ids, metadata, read, reading_of, reasons, texts, written
from transforms.adapters.formats import pdf
from transforms.logic.records import Columns

# The standard security handler with an unknown owner and user password (PDF 1.7, 7.6.3).
ENCRYPTED = b"<</Filter/Standard/V 1/R 2/Length 40/P -4/O<" + b"28BF" * 16 + b">/U<" + b"4E56" * 16 + b">>>"


def pdf_of(pages: Sequence[str], title: str = "", encrypt: bytes = b"") -> bytes:
    """A small PDF whose pages show one line of Latin-1 text each."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    kids = []
    for text in pages:
        shown = text.encode("cp1252").replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)")
        drawn = zlib.compress(b"BT /F1 12 Tf 72 700 Td (" + shown + b") Tj ET")
        objects.append(b"<</Length %d/Filter/FlateDecode>>stream\n" % len(drawn) + drawn + b"\nendstream")
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>/Contents %d 0 R>>"
            % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<</Type/Pages/Kids[" + b" ".join(kids) + b"]/Count %d>>" % len(kids)
    objects.append(b"<</Title(" + title.encode("cp1252") + b")>>")
    out = b"%PDF-1.4\n"
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + content + b"\nendobj\n"
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(
        b"%010d 00000 n \n" % at for at in places
    )
    trailer = b"trailer<</Size %d/Root 1 0 R/Info %d 0 R" % (len(objects) + 1, len(objects))
    trailer += b"/ID[<00112233445566778899AABBCCDDEEFF><00112233445566778899AABBCCDDEEFF>]"
    trailer += b"/Encrypt " + encrypt if encrypt else b""
    return out + table + trailer + b">>\nstartxref\n%d\n%%%%EOF\n" % len(out)


def test_all_pages_are_one_document(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pdf", pdf_of(["Vulkane über (alles)", "", "Zweite Seite"], "Vulkane"))
    found = read(path)
    assert (found.rejects, found.records_read, ids(found)) == ([], 1, [str(path)])
    assert texts(found) == ["Vulkane über (alles)\n\n\n\nZweite Seite"]
    assert metadata(found) == [{"name": "a.pdf", "title": "Vulkane", "pages": 3}]


def test_the_text_comes_under_the_column_that_is_asked_for(tmp_path: Path) -> None:
    found = read(written(tmp_path / "a.pdf", pdf_of(["body"])), reading_of(Columns(text="body", id="name")))
    assert (ids(found), texts(found)) == (["a.pdf"], ["body"])


def test_pages_without_text_ask_for_recognition(tmp_path: Path) -> None:
    found = read(written(tmp_path / "a.pdf", pdf_of(["", " "])))
    assert (found.documents, reasons(found)) == ([], [("empty_text", "byte 0")])
    assert "OCR" in found.rejects[0]["detail"]
    assert found.rejects[0]["length_bytes"] == len(pdf_of(["", " "]))


def test_an_encrypted_file_is_one_reject_that_says_so(tmp_path: Path) -> None:
    found = read(written(tmp_path / "a.pdf", pdf_of(["secret"], encrypt=ENCRYPTED)))
    assert (found.documents, reasons(found)) == ([], [("unreadable_file", "")])
    assert "remove the password" in found.rejects[0]["detail"]


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4\n", b"%PDF-1.7\n" + b"\x00" * 2000])
def test_a_damaged_file_is_one_reject(tmp_path: Path, content: bytes) -> None:
    found = read(written(tmp_path / "a.pdf", content))
    assert (found.documents, reasons(found)) == ([], [("unreadable_file", "")])


def test_a_large_file_is_not_read_and_a_long_text_not_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pdf", pdf_of(["x" * 60] * 20))
    assert reasons(read(path, reading_of(max_record_bytes=1000))) == [("too_large", "")]
    assert reasons(read(path, reading_of(most_bytes=500, max_record_bytes=1 << 20))) == [("too_large", "byte 0")]


def test_pages_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_PAGES", 3)
    assert reasons(read(written(tmp_path / "a.pdf", pdf_of(["x"] * 3)))) == []
    assert reasons(read(written(tmp_path / "b.pdf", pdf_of(["x"] * 4)))) == [("too_large", "")]


def test_threads_take_turns(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{number}.pdf", pdf_of([f"page {number}"] * 5)) for number in range(24)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = [texts(page)[0] for page in pool.map(read, paths)]
    assert found == ["\n\n".join([f"page {number}"] * 5) for number in range(24)]


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    damages=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=5), cut=st.booleans()
)
def test_damage_anywhere_is_a_document_or_a_reject(
    tmp_path_factory: pytest.TempPathFactory, damages: list[tuple[int, int]], cut: bool
) -> None:
    content = bytearray(pdf_of(["one", "two"], "title"))
    for place, value in damages:
        content[place % len(content)] = value
    kept = bytes(content[: damages[0][0] % len(content)] if cut else content)
    found = read(written(tmp_path_factory.mktemp("damaged") / "a.pdf", kept))
    assert len(found.documents) + len(found.rejects) == 1
