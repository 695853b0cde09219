"""Parquet: rows to documents and rejects."""

import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.formats.reading_files import (
    ids,
    packed,
    read,
    read_splits,
    reading_of,
    reasons,
    written,
)
from transforms.adapters.formats import Split, plan_splits
from transforms.adapters.formats.raw import RefusedFileError
from transforms.adapters.formats.tables import read_parquet
from transforms.adapters.storage import list_matching
from transforms.logic.records import Columns
from transforms.logic.schemas import Reason

ROWS = pa.table({"id": [f"d{number}" for number in range(10)], "text": [f"text {number}" for number in range(10)]})


def test_parquet_columns_become_documents(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([7, 8], pa.int64()),
            "text": pa.array(["e\u0301ins", "zwei"], pa.large_string()),
            "lang": pa.array(["de", None]).dictionary_encode(),
            "date": pa.array([dt.date(2026, 11, 21), None]),
            "at": pa.array([dt.datetime(2026, 11, 21, 10, 30, tzinfo=dt.UTC), None], pa.timestamp("us", "UTC")),
            "tags": pa.array([["a", "b"], []]),
            "facts": pa.array([{"n": 1, "x": [1.5, float("nan")]}, None]),
            "count": pa.array([1 << 62, None], pa.uint64()),
            "ratio": pa.array([0.5, float("inf")]),
            "yes": pa.array([True, False]),
            "null": pa.nulls(2),
        }
    )
    page = read(written(tmp_path / "a.parquet", packed(table)), reading_of(Columns(language="lang")))
    source = str(tmp_path / "a.parquet")
    assert page.rejects == []
    first, second = page.documents
    metadata = [json.loads(document.pop("metadata")) for document in (first, second)]
    assert first == {
        "document_id": "7",
        "text": "éins",
        "declared_language": "de",
        "source": source,
        "position": 0,
        "date": "2026-11-21",
    }
    assert second == {
        "document_id": "8",
        "text": "zwei",
        "declared_language": None,
        "source": source,
        "position": 1,
        "date": "",
    }
    assert metadata == [
        {
            "at": "2026-11-21 10:30:00+00:00",
            "tags": ["a", "b"],
            "facts": {"n": 1, "x": [1.5, None]},
            "count": 1 << 62,
            "ratio": 0.5,
            "yes": True,
        },
        {"tags": [], "ratio": None, "yes": False},
    ]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_timestamp_serves_as_date(tmp_path: Path, unit: str) -> None:
    at = pa.array([dt.datetime(2026, 11, 21, 10, 30)]).cast(pa.timestamp(unit))  # noqa: DTZ001
    table = pa.table({"id": ["a"], "text": ["b"], "date": at})
    page = read(written(tmp_path / "a.parquet", packed(table)))
    assert page.documents[0]["date"] == "2026-11-21T10:30:00"


@pytest.mark.parametrize(
    "text",
    [
        pa.array(["a", "b", None]),
        pa.array(["a", "b", None], pa.large_string()),
        pa.array(["a", "b", None]).dictionary_encode(),
        pa.array(["a", "b", None], pa.string_view()),
    ],
    ids=["string", "large_string", "dictionary", "string_view"],
)
def test_text_of_any_arrow_type_is_text_and_null_is_empty(tmp_path: Path, text: pa.Array) -> None:
    table = pa.table({"id": ["1", "2", "3"], "text": text})
    page = read(written(tmp_path / "a.parquet", packed(table)))
    assert [document["text"] for document in page.documents] == ["a", "b"]
    assert reasons(page) == [("empty_text", "row 2")]


def test_rows_that_cannot_be_used_are_rejected_by_number(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", None, "", "d", "e"], "text": ["x", "x", "x", " ", "ä" * 51]})
    page = read(written(tmp_path / "a.parquet", packed(table)), reading_of(most_bytes=100))
    assert ids(page) == ["a"]
    assert reasons(page) == [
        ("missing_id", "row 1"),
        ("missing_id", "row 2"),
        ("empty_text", "row 3"),
        ("too_large", "row 4"),
    ]


@pytest.mark.parametrize("text", [pa.array([1, 2]), pa.array([["a"], ["b"]])])
def test_a_text_column_of_another_type_rejects_its_rows(tmp_path: Path, text: pa.Array) -> None:
    page = read(written(tmp_path / "a.parquet", packed(pa.table({"id": ["1", "2"], "text": text}))))
    assert reasons(page) == [("wrong_type", "row 0"), ("wrong_type", "row 1")]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0, 2**30], pa.date32()),
        pa.array([0, 2**62], pa.timestamp("us")),
        pa.array([0, 2**62], pa.duration("s")),
    ],
    ids=["date", "timestamp", "duration"],
)
def test_a_value_beyond_the_calendar_costs_its_row(tmp_path: Path, values: pa.Array) -> None:
    table = pa.table({"id": ["1", "2", "3"], "text": ["a", "b", "c"], "x": pa.concat_arrays([values, values[:1]])})
    page = read(written(tmp_path / "a.parquet", packed(table)))
    assert ids(page) == ["1", "3"]
    assert reasons(page) == [("wrong_type", "row 1")]


def test_a_time_zone_that_nobody_knows_costs_rows_not_the_run(tmp_path: Path) -> None:
    table = pa.table(
        {"id": ["1", "2"], "text": ["a", "b"], "at": pa.array([1, None], pa.timestamp("us", "Mars/Olympus"))}
    )
    page = read(written(tmp_path / "a.parquet", packed(table)))
    assert ids(page) == ["2"]
    assert reasons(page) == [("wrong_type", "row 0")]


@pytest.mark.parametrize("missing", ["id", "text"])
def test_a_missing_column_is_one_reject_that_names_both_sides(tmp_path: Path, missing: str) -> None:
    path = written(tmp_path / "a.parquet", packed(ROWS.rename_columns({missing: "other"})))
    page = read(path)
    assert page.records_read == 0
    assert reasons(page) == [("missing_column", "")]
    assert f"no column '{missing}'" in page.rejects[0]["detail"]
    assert "'other'" in page.rejects[0]["detail"]


def test_only_wanted_metadata_is_kept(tmp_path: Path) -> None:
    table = ROWS.append_column("url", pa.array(["u"] * 10)).append_column("title", pa.array(["t"] * 10))
    path = written(tmp_path / "a.parquet", packed(table))
    assert {
        document["metadata"] for document in read(path, reading_of(Columns(metadata=("title", "gone")))).documents
    } == {'{"title": "t"}'}
    assert {document["metadata"] for document in read(path, reading_of(Columns(metadata=()))).documents} == {"{}"}


def test_row_groups_as_splits_give_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table(
        {"id": [f"d{number}" for number in range(1500)], "text": [f"text {number}" for number in range(1500)]}
    )
    path = written(tmp_path / "a.parquet", packed(table, row_group_size=400))
    whole = read(path)
    assert len(plan_splits(list_matching([str(path)]))) == 1
    monkeypatch.setattr("transforms.adapters.formats.splits.TARGET_SPLIT_BYTES", 1)
    splits = plan_splits(list_matching([str(path)]))
    assert [(split.start, split.stop) for split in splits] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert read_splits(splits).documents == whole.documents
    assert [document["position"] for document in whole.documents] == list(range(1500))
    assert ids(whole) == [f"d{number}" for number in range(1500)]


def test_a_parquet_file_without_rows_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.parquet", packed(ROWS.slice(0, 0)))
    for target in (1, 1 << 20):
        monkeypatch.setattr("transforms.adapters.formats.splits.TARGET_SPLIT_BYTES", target)
        page = read(path)
        assert (page.documents, page.rejects, page.records_read) == ([], [], 0)


@pytest.mark.parametrize("target", [1, 1 << 20])
def test_a_file_that_is_not_parquet_is_one_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: int) -> None:
    monkeypatch.setattr("transforms.adapters.formats.splits.TARGET_SPLIT_BYTES", target)
    whole = packed(ROWS)
    for content in (b"", b"PAR1", b"x" * 1000, whole[:-1], whole[: len(whole) // 2], whole[1:]):
        page = read(written(tmp_path / "a.parquet", content))
        assert page.documents == []
        assert reasons(page) == [("unreadable_file", "")]


@settings(deadline=None, derandomize=True, max_examples=150)
@given(place=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.booleans())
def test_damage_anywhere_is_a_reject_never_an_exception(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int, cut: bool
) -> None:
    content = bytearray(packed(ROWS, row_group_size=4, compression="zstd"))
    place %= len(content)
    content[place] = value
    path = written(tmp_path_factory.mktemp("damaged") / "a.parquet", bytes(content[:place] if cut else content))
    page = read(path)
    assert len([reject for reject in page.rejects if reject["level"] == "file"]) <= 1


def broken(values: list[bytes | None], kind: pa.DataType) -> pa.Array:
    """Text that is not UTF-8, as careless writers leave it."""
    plain = pa.array(values, pa.large_binary() if kind == pa.large_string() else pa.binary())
    return pa.Array.from_buffers(kind, len(values), plain.buffers(), plain.null_count)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("column", ["id", "text", "date", "extra"])
def test_bad_utf8_costs_its_row_alone(tmp_path: Path, kind: pa.DataType, column: str) -> None:
    if kind in {pa.binary(), pa.large_binary()} and column == "extra":
        return
    columns = {name: pa.array(["1", "2", "3"]) for name in ("id", "text", "date", "extra")}
    values: list[bytes | None] = [b"1", b"\xff\xfe", b"3"]
    columns[column] = (
        broken(values, kind) if pa.types.is_large_string(kind) or kind == pa.string() else pa.array(values, kind)
    )
    page = read(written(tmp_path / "a.parquet", packed(pa.table(columns))))
    assert ids(page) == ["1", "3"]
    assert reasons(page) == [("bad_encoding", "row 1")]
    assert f"'{column}'" in page.rejects[0]["detail"]


def test_bad_utf8_within_nested_values_costs_its_row_alone(tmp_path: Path) -> None:
    words = broken([b"a", b"\xff", b"c"], pa.string())
    nested = {
        "list": pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), words),
        "struct": pa.StructArray.from_arrays([words], ["x"]),
    }
    for name, array in nested.items():
        table = pa.table({"id": ["1", "2", "3"], "text": ["a", "b", "c"], name: array})
        page = read(written(tmp_path / f"{name}.parquet", packed(table)))
        assert ids(page) == ["1", "3"]
        assert reasons(page) == [("bad_encoding", "row 1")]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(3)])
def test_bytes_that_are_utf8_are_text(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"id": pa.array([b"id1"], kind), "text": pa.array(["ä1".encode()], kind)})
    page = read(written(tmp_path / "a.parquet", packed(table)))
    assert (ids(page), page.documents[0]["text"]) == (["id1"], "ä1")


NESTED = pa.table(
    {
        "meta": [
            {"url": "u1", "id": "n1", "inner": {"text": "deep", "n": 1}},
            {"url": "u2", "id": "n2", "inner": None},
        ],
        "large": ["x" * 1000, "y" * 1000],
    }
)


def test_dotted_names_reach_into_structs(tmp_path: Path) -> None:
    columns = Columns(id="meta.id", text="meta.inner.text", metadata=("meta.url", "meta.inner.n"))
    page = read(written(tmp_path / "a.parquet", packed(NESTED)), reading_of(columns))
    assert (ids(page), [document["text"] for document in page.documents]) == (["n1"], ["deep"])
    assert json.loads(page.documents[0]["metadata"]) == {"meta.url": "u1", "meta.inner.n": 1}
    assert [locator for _, locator in reasons(page)] == ["row 1"]


def test_a_literal_dotted_name_wins(tmp_path: Path) -> None:
    table = NESTED.append_column("meta.id", pa.array(["l1", "l2"])).append_column("text", pa.array(["a", "b"]))
    assert ids(read(written(tmp_path / "a.parquet", packed(table)), reading_of(Columns(id="meta.id")))) == ["l1", "l2"]


@pytest.mark.parametrize("name", ["meta.gone", "meta.url.x", "large.x", "gone.id", "meta."])
def test_a_dotted_name_that_leads_nowhere_is_a_missing_column(tmp_path: Path, name: str) -> None:
    page = read(written(tmp_path / "a.parquet", packed(NESTED)), reading_of(Columns(id="meta.id", text=name)))
    assert reasons(page) == [("missing_column", "")]
    assert repr(name) in page.rejects[0]["detail"]


def test_columns_that_nobody_asked_for_are_not_fetched(tmp_path: Path) -> None:
    noise = pa.array([bytes([number % 251]) * 5000 for number in range(200)])
    table = pa.table({"id": [str(n) for n in range(200)], "noise": noise, "text": ["t"] * 200})
    content = packed(table, compression="none", use_dictionary=False)
    fetched = 0

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal fetched
            data = super().read(size)
            fetched += len(data)
            return data

    split = Split("a.parquet", "parquet", 0, -1, len(content), "")
    records = list(read_parquet(Counting(content), split, reading_of(Columns(metadata=()))))
    assert (len(records), records[0].values) == (200, {"id": "0", "text": "t"})
    assert fetched < 100_000 < len(content)


def test_each_file_has_a_schema_of_its_own(tmp_path: Path) -> None:
    kinds = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()), pa.binary()]
    for number, kind in enumerate(kinds):
        columns = {
            "text": pa.array(["t"]).cast(kind),
            "id": pa.array([str(number)]),
            f"own{number}": pa.array([[number]]),
        }
        written(tmp_path / f"{number}.parquet", packed(pa.table(columns)))
    page = read_splits(plan_splits(list_matching([str(tmp_path / "*.parquet")])))
    assert (ids(page), page.rejects) == (["0", "1", "2", "3", "4"], [])
    assert [json.loads(document["metadata"]) for document in page.documents] == [{f"own{n}": [n]} for n in range(5)]


def test_values_of_every_kind_become_metadata(tmp_path: Path) -> None:
    half = dt.timedelta(microseconds=1500)
    columns = {
        "ns": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns", "Europe/Berlin")),
        "duration": pa.array([half], pa.duration("ns")),
        "time": pa.array([1_000_000_001], pa.time64("ns")),
        "decimal": pa.array([Decimal("12.50")], pa.decimal128(30, 2)),
        "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int32())),
        "fixed": pa.array([[1, 2]], pa.list_(pa.int8(), 2)),
        "structs": pa.array([[{"a": ["x"]}]]),
    }
    table = pa.table({"id": ["1"], "text": ["t"], **columns})
    page = read(written(tmp_path / "a.parquet", packed(table)))
    assert page.rejects == []
    assert json.loads(page.documents[0]["metadata"]) == {
        "ns": "2023-11-14 23:13:20.123456+01:00",
        "duration": "0:00:00.001500",
        "time": "00:00:01",
        "decimal": "12.50",
        "map": [["k", 1]],
        "fixed": [1, 2],
        "structs": [{"a": ["x"]}],
    }


CELLS = st.lists(
    st.tuples(st.text(max_size=5), st.lists(st.text(max_size=5), max_size=3), st.none() | st.integers(-5, 5)),
    max_size=40,
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(cells=CELLS, group=st.integers(1, 12), options=st.sampled_from(["none", "zstd", "plain", "v2", "page"]))
def test_what_was_written_is_read_whatever_the_layout(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, list[str], int | None]], group: int, options: str
) -> None:
    layouts: dict[str, dict[str, Any]] = {
        "none": {"compression": "none"},
        "zstd": {"compression": "zstd", "data_page_size": 16},
        "plain": {"use_dictionary": False, "store_schema": False},
        "v2": {"data_page_version": "2.0", "compression": "gzip"},
        "page": {"write_page_index": True, "dictionary_pagesize_limit": 8, "data_page_size": 64},
    }
    table = pa.table(
        {
            "id": [str(number) for number in range(len(cells))],
            "text": pa.array([f"x{text}" for text, _, _ in cells], pa.string()),
            "list": pa.array([words for _, words, _ in cells], pa.list_(pa.string())),
            "number": pa.array([number for _, _, number in cells], pa.int32()),
        }
    )
    path = tmp_path_factory.mktemp("layout") / "a.parquet"
    path.write_bytes(packed(table, row_group_size=group, **layouts[options]))
    split = Split(str(path), "parquet", 0, -1, 0, "")
    with path.open("rb") as stream:
        records = list(read_parquet(stream, split, reading_of()))
    assert [record.values for record in records] == table.to_pylist()
    assert [(record.position, record.unit) for record in records] == [(row, "row") for row in range(len(cells))]


def test_a_large_row_is_rejected_alone_before_it_is_converted(tmp_path: Path) -> None:
    table = pa.table({"id": ["1", "2", "3"], "text": ["a", "b" * 5000, "c"], "n": [[1], [2], [3] * 1000]})
    page = read(written(tmp_path / "a.parquet", packed(table)), reading_of(most_bytes=1000, max_record_bytes=4000))
    assert ids(page) == ["1"]
    assert reasons(page) == [("too_large", "row 1"), ("too_large", "row 2")]


def test_a_damaged_row_group_leaves_the_others(tmp_path: Path) -> None:
    content = bytearray(packed(ROWS, row_group_size=4, compression="none", use_dictionary=False))
    at = content.index(b"text 5")
    content[at - 4] = 0xFF
    page = read(written(tmp_path / "a.parquet", bytes(content)))
    assert ids(page) == ["d0", "d1", "d2", "d3", "d8", "d9"]
    assert reasons(page) == [("unreadable_file", "row group 1")]
    assert "rows 4 to 7" in page.rejects[0]["detail"]


def test_a_failure_of_the_file_system_is_not_taken_for_damage(tmp_path: Path) -> None:
    class Failing(io.BytesIO):
        failing = False

        def read(self, size: int | None = -1, /) -> bytes:
            if self.failing:
                raise RefusedFileError(Reason.CHANGED_FILE, "changed")
            return super().read(size)

    stream = Failing(packed(ROWS, row_group_size=4))
    records = read_parquet(stream, Split("a", "parquet", 0, -1, 0, ""), reading_of())
    assert next(records).position == 0
    stream.failing = True
    with pytest.raises(RefusedFileError, match="changed"):
        list(records)
