"""Files to documents and rejects: every record once, in whatever splits, and none that takes another with it."""

import datetime as dt
import gzip
import io
import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.adapters.formats import Page, Split, plan_splits, read_split
from transforms.adapters.formats.splits import format_of
from transforms.adapters.storage import SourceFile, list_matching
from transforms.logic.errors import ConfigurationError
from transforms.logic.records import Columns, Reading
from transforms.logic.schemas import MAX_BATCH_ROWS, RECORDS, REJECTS, batch_of

COLUMNS = Columns()
MOST_BYTES = 10_000


def read(path: Path, columns: Columns = COLUMNS, most_bytes: int = MOST_BYTES) -> Page:
    """All pages of all splits of a file as one; checks that every record is accounted for, and fits the schemas."""
    return read_splits(plan_splits(list_matching([str(path)])), columns, most_bytes)


def read_splits(splits: Sequence[Split], columns: Columns = COLUMNS, most_bytes: int = MOST_BYTES) -> Page:
    total = Page()
    for split in splits:
        for page in read_split(split, Reading(columns, most_bytes)):
            batch_of(page.documents, RECORDS)
            batch_of(page.rejects, REJECTS)
            files = [reject for reject in page.rejects if reject["level"] == "file"]
            assert len(page.documents) + len(page.rejects) - len(files) == page.records_read <= MAX_BATCH_ROWS
            total.documents += page.documents
            total.rejects += page.rejects
            total.records_read += page.records_read
            total.bytes_read += page.bytes_read
    return total


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def line(document_id: str, text: str = "text", **more: Any) -> bytes:
    return json.dumps({"id": document_id, "text": text, **more}, ensure_ascii=False).encode() + b"\n"


def ids(page: Page) -> list[str]:
    return [document["document_id"] for document in page.documents]


def reasons(page: Page) -> list[tuple[str, str]]:
    return [(reject["reason"], reject["locator"]) for reject in page.rejects]


def packed(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


# --- what a name tells, and how a file is cut ---


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("a.jsonl", "jsonl"),
        ("gs://b/a.NDJSON", "jsonl"),
        ("dir.parquet/a.jsonl.gz", "jsonl.gz"),
        ("a.ndjson.gz", "jsonl.gz"),
        ("x/part-0.snappy.parquet", "parquet"),
    ],
)
def test_the_format_is_told_by_the_name(uri: str, name: str) -> None:
    assert format_of(uri) == name


@pytest.mark.parametrize("uri", ["a.json", "a.csv", "a", "a.gz", "a.jsonl.zst", "a.jsonl/b"])
def test_an_unknown_ending_is_refused_with_the_known_ones(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\.jsonl, \.jsonl\.gz, .*\.parquet"):
        plan_splits([SourceFile(uri, 1, "")])


LINES = st.lists(
    st.one_of(
        st.builds(lambda text: line("d", text), st.text(st.characters(codec="utf-8"), max_size=30)),
        st.sampled_from(
            [
                b"\n",
                b"\r\n",
                b"  \n",
                b"{\n",
                b"\xff\n",
                b"[]\n",
                b'{"id": "c", "text": "crlf"}\r\n',
                line("x", "x" * 120),
            ]
        ),
    ),
    max_size=25,
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    lines=LINES, bom=st.booleans(), newline_at_end=st.booleans(), target=st.sampled_from([1, 2, 3, 5, 16, 64, 10_000])
)
def test_splits_of_any_size_give_every_record_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], bom: bool, newline_at_end: bool, target: int
) -> None:
    content = b"\xef\xbb\xbf" * bom + b"".join(lines)
    path = written(
        tmp_path_factory.mktemp("split") / "a.jsonl", content if newline_at_end else content.removesuffix(b"\n")
    )
    with pytest.MonkeyPatch.context() as patch:
        whole = read(path, most_bytes=15)
        patch.setattr("transforms.adapters.formats.splits.TARGET_SPLIT_BYTES", target)
        splits = plan_splits(list_matching([str(path)]))
        parts = read_splits(splits, most_bytes=15)
    size = path.stat().st_size
    assert [(split.start, split.stop) for split in splits] == [
        (start, min(size, start + target)) for start in range(0, max(1, size), target)
    ]
    assert sum(split.size_bytes for split in splits) == size
    assert (parts.documents, parts.rejects) == (whole.documents, whole.rejects)
    assert (parts.records_read, parts.bytes_read) == (whole.records_read, whole.bytes_read)
    records = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert whole.records_read == sum(bool(record.strip()) for record in records)


def test_gzip_of_several_members_is_read_to_its_end(tmp_path: Path) -> None:
    content = b"".join(line(f"d{number}") for number in range(2000))
    halves = gzip.compress(content[:7001]) + gzip.compress(b"") + gzip.compress(content[7001:])
    plain, zipped = read(written(tmp_path / "a.jsonl", content)), read(written(tmp_path / "a.jsonl.gz", halves))
    assert ids(zipped) == ids(plain) == [f"d{number}" for number in range(2000)]
    assert [document["position"] for document in zipped.documents] == [
        document["position"] for document in plain.documents
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_positions_are_byte_offsets_of_lines(tmp_path: Path, name: str) -> None:
    content = b"\xef\xbb\xbf" + line("ä", "größer 🎉") + b"\r\n" + line("b") + b'{"id": 3, "text": "last"}'
    page = read(written(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content))
    assert ids(page) == ["ä", "b", "3"]
    assert page.rejects == []
    for document in page.documents[1:]:
        assert json.loads(content[document["position"] :].split(b"\n")[0])["text"] == document["text"]
    assert page.documents[0]["position"] == 0
    assert {document["source"] for document in page.documents} == {str(tmp_path / name)}


# --- records that cannot be used ---

BAD_LINES = {
    "not json": (b'{"id": "x", "text": ', "malformed_record"),
    "two values": (b'{"id": "x", "text": "y"} {}', "malformed_record"),
    "a bare word": (b"hello", "malformed_record"),
    "a list": (b'["id", "text"]', "wrong_type"),
    "a number": (b"17", "wrong_type"),
    "null": (b"null", "wrong_type"),
    "bad utf-8": (b'{"id": "x", "text": "\xff\xfe"}', "bad_encoding"),
    "utf-8 cut short": (b'{"id": "x", "text": "\xe2\x82"}', "bad_encoding"),
    "encoded surrogate": (b'{"id": "x", "text": "\xed\xa0\x80"}', "bad_encoding"),
    "latin-1": ('{"id": "x", "text": "größer"}'.encode("latin-1"), "bad_encoding"),
    "deep": (b'{"id": "x", "text": "y", "m": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_large"),
    "nested too deeply for a parser": (
        b'{"id": "x", "text": "y", "m": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        "malformed_record",
    ),
    "nested too deeply for a row": (b'{"id": "x", "text": "y", "m": ' + b"[" * 900 + b"]" * 900 + b"}", "too_large"),
    "integer of 5,000 digits": (b'{"id": "x", "text": "y", "n": ' + b"9" * 5000 + b"}", "malformed_record"),
    "no id": (b'{"text": "y"}', "missing_id"),
    "empty text": (b'{"id": "x", "text": " \\u0000 "}', "empty_text"),
    "no text": (b'{"id": "x"}', "missing_column"),
    "text of another type": (b'{"id": "x", "text": {"de": "y"}}', "wrong_type"),
    "a nul byte": (b'{"id": "x", "text": "a\x00b"}', "malformed_record"),
}


@pytest.mark.parametrize("what", BAD_LINES)
def test_a_bad_line_harms_itself_only(tmp_path: Path, what: str) -> None:
    bad, reason = BAD_LINES[what]
    before = line("before")
    page = read(written(tmp_path / "a.jsonl", before + bad + b"\n" + line("after")))
    assert ids(page) == ["before", "after"]
    assert reasons(page) == [(reason, f"byte {len(before)}")]
    rejected = page.rejects[0]
    assert (rejected["level"], rejected["stage"], rejected["source"]) == ("record", "read", str(tmp_path / "a.jsonl"))
    if reason != "too_large" or what != "deep":
        assert rejected["length_bytes"] == len(bad) + 1
        assert len(rejected["hash"]) == 32


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (r"a\ud800b", "a\ufffdb"),
        (r"\ud83c\udf89", "🎉"),
        (r"e\u0301", "é"),
        (r"\u0000a\ufeffb\uffff", "ab"),
        (r"a\u0085b", "a\nb"),
    ],
)
def test_escapes_are_scrubbed_and_normalised(tmp_path: Path, text: str, kept: str) -> None:
    content = f'{{"id": "{text}1", "text": "{text}", "m": "{text}", "{text}": 1, "lang": "{text}", "date": "{text}"}}\n'
    page = read(written(tmp_path / "a.jsonl", content.encode()), Columns(language="lang"))
    assert page.rejects == []
    document = page.documents[0]
    assert (document["document_id"], document["text"], document["declared_language"]) == (f"{kept}1", kept, kept)
    assert json.loads(document["metadata"]) == {"m": kept, kept: 1}


def test_what_only_the_standard_library_reads_is_kept(tmp_path: Path) -> None:
    content = b'{"id": 123456789012345678901234567890, "text": "a", "nan": NaN, "big": 36893488147419103232, "inf": [-Infinity]}\n'
    page = read(written(tmp_path / "a.jsonl", content))
    assert ids(page) == ["123456789012345678901234567890"]
    metadata = json.loads(page.documents[0]["metadata"])
    assert metadata["nan"] is None
    assert metadata["inf"] == [None]
    assert int(metadata["big"]) == 1 << 65


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_document_above_the_limit_is_rejected_with_its_size(tmp_path: Path, name: str) -> None:
    content = line("small") + line("big", "ä" * 51) + line("fits", "ä" * 50)
    page = read(written(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content), most_bytes=100)
    assert ids(page) == ["small", "fits"]
    assert [(reject["reason"], reject["document_id"]) for reject in page.rejects] == [("too_large", "big")]
    assert "102 bytes, 100 are allowed" in page.rejects[0]["detail"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_line_too_long_to_hold_is_read_past(tmp_path: Path, name: str) -> None:
    size = 64 << 20
    content = line("before") + b"x" * size + b"\n" + line("after")
    path = written(tmp_path / name, gzip.compress(content, 1) if name.endswith("gz") else content)
    del content
    tracemalloc.start()
    page = read(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ids(page) == ["before", "after"]
    assert reasons(page) == [("too_large", f"byte {len(line('before'))}")]
    assert f"{size + 1} bytes" in page.rejects[0]["detail"]
    assert peak_bytes < size / 4


def test_a_line_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    most = 100 * 6
    fits = line("d", m="x" * (most - len(line("d", m=""))))
    assert len(fits) == most
    page = read(written(tmp_path / "a.jsonl", fits + line("after")), most_bytes=100)
    assert ids(page) == ["d", "after"]


# --- files that cannot be read ---


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet"])
def test_a_vanished_file_is_one_reject(tmp_path: Path, name: str) -> None:
    page = read_splits(plan_splits([SourceFile(str(tmp_path / name), 10, "")]))
    assert page.records_read == 0
    assert reasons(page) == [("unreadable_file", "")]
    assert page.rejects[0]["level"] == "file"
    assert page.rejects[0]["source"] == str(tmp_path / name)
    assert "FileNotFoundError" in page.rejects[0]["detail"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet"])
def test_a_directory_in_place_of_a_file_is_one_reject(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    page = read_splits(plan_splits([SourceFile(str(tmp_path / name), 10, "")]))
    assert reasons(page) == [("unreadable_file", "")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_an_empty_file_holds_nothing(tmp_path: Path, name: str) -> None:
    page = read(written(tmp_path / name, b""))
    assert (page.documents, page.rejects, page.records_read) == ([], [], 0)


def test_an_empty_member_holds_nothing(tmp_path: Path) -> None:
    page = read(written(tmp_path / "a.jsonl.gz", gzip.compress(b"")))
    assert (page.documents, page.rejects, page.records_read) == ([], [], 0)


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.999])
def test_a_truncated_gzip_keeps_what_stands_before_the_cut(tmp_path: Path, kept: float) -> None:
    content = b"".join(line(f"d{number}", f"text {number * 7919 % 1000}") for number in range(3000))
    whole = gzip.compress(content)
    cut = whole[: int(len(whole) * kept)]
    page = read(written(tmp_path / "a.jsonl.gz", cut))
    assert reasons(page) == [("unreadable_file", "")]
    assert ids(page) == [f"d{number}" for number in range(len(page.documents))]
    # At most a decompressor's buffer is lost.
    assert len(page.documents) >= 3000 * kept - 3000 * 0.15 - 1


def test_a_damaged_gzip_keeps_what_stands_before_the_damage(tmp_path: Path) -> None:
    first = b"".join(line(f"d{number}") for number in range(700))
    page = read(written(tmp_path / "a.jsonl.gz", gzip.compress(first) + b"not a member"))
    assert ids(page) == [f"d{number}" for number in range(700)]
    assert reasons(page) == [("unreadable_file", "")]
    assert page.records_read == 700


def test_something_else_named_gzip_is_one_reject(tmp_path: Path) -> None:
    page = read(written(tmp_path / "a.jsonl.gz", line("plain")))
    assert page.documents == []
    assert reasons(page) == [("unreadable_file", "")]


# --- Parquet ---

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
    page = read(written(tmp_path / "a.parquet", packed(table)), Columns(language="lang"))
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
    page = read(written(tmp_path / "a.parquet", packed(table)), most_bytes=100)
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
    assert {document["metadata"] for document in read(path, Columns(metadata=("title", "gone"))).documents} == {
        '{"title": "t"}'
    }
    assert {document["metadata"] for document in read(path, Columns(metadata=())).documents} == {"{}"}


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


def test_pages_stay_within_the_batch_limits(tmp_path: Path) -> None:
    many = b"".join(line(f"d{number}") for number in range(MAX_BATCH_ROWS * 2 + 1))
    large = b"".join(line(f"d{number}", "x" * 3_000_000) for number in range(7))
    for name, content, most in (("many.jsonl", many, MOST_BYTES), ("large.jsonl", large, 4_000_000)):
        splits = plan_splits(list_matching([str(written(tmp_path / name, content))]))
        pages = [page for split in splits for page in read_split(split, Reading(COLUMNS, most))]
        assert len(pages) == 3
        assert sum(page.bytes_read for page in pages) == len(content)
        assert [document for page in pages for document in ids(page)] == [f"d{n}" for n in range(content.count(b"\n"))]
