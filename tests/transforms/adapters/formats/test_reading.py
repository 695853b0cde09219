"""Files to pages: what a file's failure costs, and the limits of a page."""

import gzip
from pathlib import Path

import pytest

from tests.transforms.adapters.formats.reading_files import ids, line, read, read_splits, reading_of, reasons, written
from transforms.adapters.formats import plan_splits, read_split
from transforms.adapters.storage import SourceFile, list_matching
from transforms.logic.schemas import MAX_BATCH_ROWS

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


def test_pages_stay_within_the_batch_limits(tmp_path: Path) -> None:
    many = b"".join(line(f"d{number}") for number in range(MAX_BATCH_ROWS * 2 + 1))
    large = b"".join(line(f"d{number}", "x" * 3_000_000) for number in range(7))
    for name, content, most in (("many.jsonl", many, 10_000), ("large.jsonl", large, 4_000_000)):
        splits = plan_splits(list_matching([str(written(tmp_path / name, content))]))
        pages = [page for split in splits for page in read_split(split, reading_of(most_bytes=most))]
        assert len(pages) == 3
        assert sum(page.bytes_read for page in pages) == len(content)
        assert [document for page in pages for document in ids(page)] == [f"d{n}" for n in range(content.count(b"\n"))]
