"""Parquet: rows to documents and rejects."""

import datetime as dt
import json
from pathlib import Path

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
from transforms.adapters.formats import plan_splits
from transforms.adapters.storage import list_matching
from transforms.logic.records import Columns

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


@pytest.mark.parametrize("text", [pa.array([1, 2]), pa.array([b"a", b"b"]), pa.array([["a"], ["b"]])])
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


def test_bad_utf8_in_a_text_column_costs_what_is_unread(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ok", b"\xff\xfe"]).buffers())
    table = pa.table({"id": ["1", "2"], "text": bad})
    page = read(written(tmp_path / "a.parquet", packed(table)))
    assert page.documents == []
    assert [reject["level"] for reject in page.rejects] == ["file"]
