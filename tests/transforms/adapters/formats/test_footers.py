"""Parquet footers: whatever they say, reading one ends in a plan or in a reject."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.formats.forge import (
    DATA,
    INTEGER,
    LIST,
    LONG,
    PLAIN,
    STRUCT,
    TEXT,
    Column,
    closed,
    items,
    page,
    parquet,
    structure,
    texts,
)
from tests.transforms.adapters.formats.reading_files import packed, read, reasons, written
from transforms.adapters.formats import footers
from transforms.adapters.formats.footers import read_footer, row_group_ranges
from transforms.adapters.formats.thrift import CompactReader, CutThriftError, MalformedThriftError

ROOT = Path(__file__).parents[4]

TABLE = pa.table({"id": [f"d{number}" for number in range(10)], "text": [f"text {number}" for number in range(10)]})


def column(name: bytes, **claimed: int) -> Column:
    return Column(name, [page(DATA, 3, texts([b"a", b"b", b"c"]), PLAIN)], 3, claimed=claimed)


def footer_of(
    groups: int, columns: int, *, claimed_groups: int | None = None, claimed_columns: int | None = None
) -> bytes:
    chunk = [(2, LONG, 0)]
    group = [(1, LIST, items(STRUCT, [chunk] * columns, claimed_columns)), (2, LONG, 0), (3, LONG, 0)]
    leaf = [(1, INTEGER, 6), (3, INTEGER, 0), (4, TEXT, b"a")]
    schema = items(STRUCT, [[(4, TEXT, b"r"), (5, INTEGER, 1)], leaf])
    described = items(STRUCT, [group] * groups, claimed_groups)
    return structure([(1, INTEGER, 1), (2, LIST, schema), (3, LONG, 0), (4, LIST, described)])


WHOLE = packed(TABLE)
LIES = {
    "a footer larger than the file": closed(b"PAR1", b"x" * 100, 1 << 20),
    "a footer of 4 GB": closed(b"PAR1", b"x" * 100, (1 << 32) - 1),
    "no footer": closed(b"PAR1", b""),
    "zeros": closed(b"PAR1", bytes(500)),
    "a list that claims a thousand million row groups": closed(b"PAR1", footer_of(1, 1, claimed_groups=10**9)),
    "a list that claims a million columns": closed(b"PAR1", footer_of(1, 1, claimed_columns=10**6)),
    "more columns than the schema": closed(b"PAR1", footer_of(1, 3)),
    "fewer columns than the schema": closed(b"PAR1", footer_of(1, 0)),
    "nested without end": closed(b"PAR1", b"\x1c" * 5000),
    "more rows than its groups": parquet([column(b"id"), column(b"text")], 3, 2),
    "a negative number of rows": parquet([column(b"id"), column(b"text")], -3),
    "encrypted": WHOLE[:-4] + b"PARE",
    "cut in the middle": WHOLE[: len(WHOLE) // 2],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_footer_that_lies_costs_the_file(tmp_path: Path, lie: str) -> None:
    page = read(written(tmp_path / "a.parquet", LIES[lie]))
    assert (page.documents, reasons(page)) == ([], [("unreadable_file", "")])


CHUNK_LIES = {
    "begins beyond the file": {"start": 1 << 40},
    "begins before it": {"start": -5},
    "ends beyond it": {"packed": 1 << 40},
    "ends before it begins": {"packed": -1},
    "is cut short": {"packed": 20},
    "begins within a page": {"start": 10},
}


@pytest.mark.parametrize("lie", CHUNK_LIES)
def test_a_column_that_lies_elsewhere_costs_its_row_group(tmp_path: Path, lie: str) -> None:
    content = parquet([column(b"id"), column(b"text", **CHUNK_LIES[lie])], 3)
    page = read(written(tmp_path / "a.parquet", content))
    assert (page.documents, reasons(page)) == ([], [("unreadable_file", "row group 0")])


@pytest.mark.parametrize("rows", [2, 4, 1 << 60])
def test_a_wrong_number_of_rows_loses_none_silently(tmp_path: Path, rows: int) -> None:
    page = read(written(tmp_path / "a.parquet", parquet([column(b"id"), column(b"text")], rows)))
    assert (page.documents, reasons(page)) == ([], [("unreadable_file", "row group 0")])


def test_many_small_structures_are_refused_before_the_decoder_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footers, "MAX_STRUCTS", 1000)
    with pytest.raises(pa.ArrowInvalid, match="more structures than allowed"):
        read_footer(io.BytesIO(closed(b"PAR1", footer_of(10, 200))))


def test_neighbours_are_united_and_large_row_groups_stand_alone() -> None:
    sizes = [10, 20, 40, 100, 5, 5, 300, 64, 1]
    groups = tuple(footers.RowGroup(1, size, ()) for size in sizes)
    found = list(row_group_ranges(footers.Footer(None, groups), 64))
    assert found == [(0, 2, 30), (2, 3, 40), (3, 4, 100), (4, 6, 10), (6, 7, 300), (7, 8, 64), (8, 9, 1)]


@settings(deadline=None, derandomize=True, max_examples=100)
@given(sizes=st.lists(st.integers(-10, 200), max_size=30), target=st.integers(1, 300))
def test_every_row_group_is_in_one_range(sizes: list[int], target: int) -> None:
    groups = tuple(footers.RowGroup(1, size, ()) for size in sizes)
    found = list(row_group_ranges(footers.Footer(None, groups), target))
    assert [number for first, after, _ in found for number in range(first, after)] == list(range(len(sizes)))
    assert sum(size for _, _, size in found) == sum(max(0, size) for size in sizes)
    assert all(size <= target or after == first + 1 for first, after, size in found)


def test_the_footer_is_read_as_the_decoder_reads_it() -> None:
    table = pa.table({"id": list(range(50)), "x": pa.array([[{"a": "b"}]] * 50), "text": [str(n) for n in range(50)]})
    for options in (
        {},
        {"compression": "zstd", "use_dictionary": False},
        {"data_page_version": "2.0", "write_page_index": True},
    ):
        footer = read_footer(io.BytesIO(packed(table, row_group_size=20, **options)))
        assert [group.rows for group in footer.groups] == [20, 20, 10]
        for number, group in enumerate(footer.groups):
            told = footer.metadata.row_group(number)
            assert group.size_bytes == told.total_byte_size
            for index, place in enumerate(group.columns):
                chunk = told.column(index)
                assert (place[5], place[7], place[9], place.get(11)) == (
                    chunk.num_values,
                    chunk.total_compressed_size,
                    chunk.data_page_offset,
                    chunk.dictionary_page_offset,
                )


FUZZ = """
import io, random, sys
import pyarrow as pa, pyarrow.parquet as pq
from transforms.adapters.formats import Split
from transforms.adapters.formats.raw import BROKEN_FILE, RefusedFileError
from transforms.adapters.formats.tables import read_parquet
from transforms.logic.records import Reading

rows = 12
table = pa.table({
    "id": [f"d{n}" for n in range(rows)], "text": [f"text {n} " * 3 for n in range(rows)],
    "tags": [["a", "b"], [], None] * 4, "s": [{"u": "x", "n": [1]}, None, {"u": "y", "n": None}] * 4,
    "d": pa.array(["p", "q"] * 6).dictionary_encode(), "f": [0.5] * rows,
})
stream = io.BytesIO()
pq.write_table(table, stream, row_group_size=5, data_page_size=64, **eval(sys.argv[1]))
whole = stream.getvalue()
pick = random.Random(1)
split = Split("a", "parquet", 0, -1, 0, "")
damaged = 0
# Every third byte of the file, and all of a different third for each layout.
for place in range(int(sys.argv[2]), len(whole), 3):
    content = bytearray(whole)
    content[place] = pick.choice([0, 255, 127, 128, content[place] ^ 1, pick.randrange(256)])
    try:
        list(read_parquet(io.BytesIO(bytes(content)), split, Reading()))
    except (*BROKEN_FILE, RefusedFileError):
        damaged += 1
print(damaged)
"""


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ("{'compression': 'none'}", 0),
        ("{'compression': 'zstd', 'data_page_version': '2.0'}", 1),
        ("{'use_dictionary': False, 'store_schema': False, 'column_encoding': {'text': 'DELTA_BYTE_ARRAY'}}", 2),
    ],
)
def test_a_flipped_byte_anywhere_neither_ends_the_process_nor_stops_it(options: str, first: int) -> None:
    # In a process of its own: what is looked for would end this one.
    command = [sys.executable, "-c", FUZZ, options, str(first)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 100


# --- compact Thrift ---

FIELDS = st.lists(
    st.one_of(
        st.tuples(st.just(LONG), st.integers(-(1 << 62), 1 << 62)),
        st.tuples(st.just(TEXT), st.binary(max_size=20)),
        st.tuples(st.just(LIST), st.lists(st.integers(-5, 5), max_size=20).map(lambda found: items(INTEGER, found))),
    ),
    max_size=8,
)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(fields=FIELDS)
def test_kept_integers_are_read_and_all_else_walked_past(fields: list[tuple[int, object]]) -> None:
    numbered = [(number, kind, content) for number, (kind, content) in enumerate(fields, 1)]
    data = structure(numbered)
    reader = CompactReader(data, 100)
    found = reader.read({number: None for number, kind, _ in numbered if kind == LONG})
    assert found == {number: content for number, kind, content in numbered if kind == LONG}
    assert reader.position == len(data)
    for cut in range(len(data)):
        with pytest.raises(CutThriftError):
            CompactReader(data[:cut], 100).read({})


@settings(deadline=None, derandomize=True, max_examples=300)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_structure_or_an_error(data: bytes) -> None:
    with contextlib.suppress(MalformedThriftError):
        CompactReader(data, 50).read({1: {1: None}, 4: {1: {3: {}}}})
