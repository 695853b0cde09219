"""Files planned: cut where they can be, opened only where that must be known, and extras asked for in time."""

import gzip
import sys
from pathlib import Path

import pytest

from tests.transforms.adapters.formats.reading_files import ids, line, read, read_splits, reading_of, written
from transforms.adapters.formats import plan_splits
from transforms.adapters.formats.splits import TARGET_SPLIT_BYTES, Split
from transforms.adapters.storage import SourceFile, list_matching
from transforms.logic.errors import ConfigurationError

NAMES = ("a.jsonl", "a.json", "a.csv.gz", "a.txt", "a.md", "a.parquet", "a.wet", "a", "a.html", "a.pdf", "a.warc.gz")


@pytest.mark.parametrize("name", NAMES)
def test_planning_small_files_opens_none(tmp_path: Path, name: str) -> None:
    (split,) = plan_splits([SourceFile(str(tmp_path / name), TARGET_SPLIT_BYTES, "etag")])
    assert (split.uri, split.start, split.size_bytes) == (str(tmp_path / name), 0, TARGET_SPLIT_BYTES)
    assert split.etag == "etag"


def test_names_are_planned_as_they_tell() -> None:
    splits = plan_splits([SourceFile(name, 10, "") for name in ("a.jsonl", "b.csv.gz", "c", "d.tar.xz")])
    assert splits == [
        Split("a.jsonl", "jsonl", 0, 10, 10, "", ""),
        Split("b.csv.gz", "csv", 0, -1, 10, "", "gzip"),
        Split("c", "auto", 0, -1, 10, "", ""),
        Split("d.tar.xz", "auto", 0, -1, 10, "", "xz"),
    ]


def test_an_ordered_format_outweighs_names() -> None:
    splits = plan_splits([SourceFile(name, 10, "") for name in ("a.txt", "b", "c.csv.gz")], "jsonl")
    assert [(split.format, split.compression) for split in splits] == [("jsonl", ""), ("jsonl", ""), ("jsonl", "gzip")]


@pytest.mark.parametrize(
    ("name", "module"), [("a.pdf", "pypdfium2"), ("a.htm.gz", "resiliparse"), ("a.warc", "fastwarc")]
)
def test_a_missing_extra_is_named_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    plan_splits([SourceFile(name, 10, "")])
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=r"install corpus-embed\[\w+\]") as caught:
        plan_splits([SourceFile(name, 10, "")])
    assert repr(name) in str(caught.value)
    plan_splits([SourceFile("a.jsonl", 10, "")])


def test_an_extra_that_content_asks_for_is_named_in_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resiliparse", None)
    page = read(written(tmp_path / "page.txt", b"<!doctype html><html><body>words</body></html>"))
    assert [reject["reason"] for reject in page.rejects] == ["unknown_format"]
    assert "corpus-embed[html]" in page.rejects[0]["detail"]


LINES = b"".join(line(f"d{number}", "x" * 40) for number in range(200))


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.jsonl", LINES, True),
        ("a.json", LINES, True),
        ("a", LINES, True),
        ("a.jsonl", gzip.compress(LINES, 0), False),
        ("a.jsonl", LINES.decode().encode("utf-16"), False),
        ("a.jsonl", b"[" + LINES.replace(b"\n", b",\n")[:-2] + b"]", False),
        ("a.jsonl.gz", gzip.compress(LINES, 0), False),
        ("a.csv", LINES, False),
    ],
)
def test_only_lines_of_utf8_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, parts: bool
) -> None:
    monkeypatch.setattr("transforms.adapters.formats.splits.TARGET_SPLIT_BYTES", 1000)
    path = written(tmp_path / name, content)
    splits = plan_splits(list_matching([str(path)]))
    assert (len(splits) > 1) is parts
    page = read_splits(splits)
    assert ids(page) == [f"d{number}" for number in range(200)]
    assert page.rejects == []


def test_an_ordered_format_of_a_large_file_is_still_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.adapters.formats.splits.TARGET_SPLIT_BYTES", 1000)
    path = written(tmp_path / "a", gzip.compress(LINES, 0))
    assert len(ids(read(path, reading_of(format="jsonl")))) == 200


def test_a_large_file_that_cannot_be_opened_is_planned_whole() -> None:
    (split,) = plan_splits([SourceFile("/gone.jsonl", TARGET_SPLIT_BYTES + 1, "")])
    assert (split.start, split.stop) == (0, -1)
