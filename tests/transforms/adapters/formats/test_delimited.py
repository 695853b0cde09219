"""CSV and TSV: rows as a writer wrote them, and none that takes another with it."""

import csv
import io
import tracemalloc
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.formats.reading_files import ids, metadata, read, reading_of, reasons, texts, written
from transforms.adapters.formats.delimited import read_delimited
from transforms.adapters.formats.splits import Split
from transforms.logic.records import Columns, Reading

CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.sampled_from('\n,;\t|"'), max_size=12)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_a_writer_wrote_is_read(
    rows: list[tuple[str, str]], delimiter: str, ending: str, quoting: Literal[0, 1]
) -> None:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    writer.writerow(("id", "text", "note"))
    writer.writerows((f"d{number}", *row) for number, row in enumerate(rows))
    split = Split("a.csv", "tsv" if delimiter == "\t" else "csv", 0, -1, 0, "")
    records = list(read_delimited(io.BytesIO(stream.getvalue().encode()), split, Reading()))
    assert [record.values for record in records] == [
        {"id": f"d{number}", "text": text, "note": note} for number, (text, note) in enumerate(rows)
    ]
    content = stream.getvalue().encode()
    for record in records:
        assert content[record.position : record.position + record.size_bytes] == record.raw


def test_columns_without_a_role_are_metadata_and_positions_are_bytes(tmp_path: Path) -> None:
    content = '\ufeffid;text;größe;date\na;eins;10;2026-11-21\nb;"zwei\nZeilen";;\n'.encode()
    page = read(written(tmp_path / "a.csv", content))
    assert (ids(page), texts(page)) == (["a", "b"], ["eins", "zwei\nZeilen"])
    assert metadata(page) == [{"größe": "10"}, {"größe": ""}]
    assert [document["date"] for document in page.documents] == ["2026-11-21", ""]
    assert content[page.documents[1]["position"] :].startswith(b"b;")


def test_the_delimiter_is_the_one_that_gives_the_needed_columns(tmp_path: Path) -> None:
    content = b"a,b,c,d|id|text\n1,2|x|the text\n"
    assert texts(read(written(tmp_path / "a.csv", content))) == ["the text"]


@pytest.mark.parametrize(
    ("first", "delimiter"), [("sep=;", ";"), ('"sep=;"', ";"), ("SEP=\t", "\t"), ("sep=^", "^"), ("sep=,", ",")]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_line_that_tells_excel_the_delimiter_is_no_header(
    tmp_path: Path, first: str, delimiter: str, encoding: str
) -> None:
    rows = [first, delimiter.join(["id", "text"]), delimiter.join(["a", "eins"]), delimiter.join(["b", "zwei"])]
    page = read(written(tmp_path / "a.csv", "\r\n".join(rows).encode(encoding)))
    assert list(zip(ids(page), texts(page), strict=True)) == [("a", "eins"), ("b", "zwei")]
    assert page.rejects == []


def test_a_table_without_ids_is_read_by_place(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", b"body\nfirst\nsecond\n")
    page = read(path, reading_of(Columns(text="body"), id_from="place"))
    assert ids(page) == [f"{path}#5", f"{path}#11"]
    assert [reject["reason"] for reject in read(path, reading_of(Columns(text="body"))).rejects] == ["missing_column"]


def test_an_unclosed_quote_costs_its_line_and_no_memory() -> None:
    rows = b"".join(b"d%d,some words of text\n" % number for number in range(50_000))
    content = b'id,text\nx,"never closed\n' + rows
    reading = Reading(max_record_bytes=100_000)
    split = Split("a.csv", "csv", 0, -1, 0, "")
    tracemalloc.start()
    kept = bad = 0
    for record in read_delimited(io.BufferedReader(io.BytesIO(content)), split, reading):
        kept += record.reason is None
        bad += record.reason is not None
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (kept, bad) == (50_000, 1)
    assert peak_bytes < 4 << 20


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_ragged_rows_are_malformed_by_their_place(tmp_path: Path, name: str) -> None:
    content = b"id,text\na,x\nb\nc,x,y\nd,x\n".replace(b",", b"\t" if name == "a.tsv" else b",")
    page = read(written(tmp_path / name, content))
    assert ids(page) == ["a", "d"]
    assert reasons(page) == [("malformed_record", "byte 12"), ("malformed_record", "byte 14")]
    assert "3 values, the header 2" in page.rejects[1]["detail"]
