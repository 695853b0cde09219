import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.adapters import sampling
from transforms.adapters.formats import plan_splits
from transforms.adapters.formats.groups import SplitGroup, group_splits, read_group
from transforms.adapters.sampling import cut_pieces, describe_pieces, read_piece
from transforms.adapters.storage import list_matching
from transforms.logic.records import Reading
from transforms.logic.selection import Selection

READING = Reading()
EVERYTHING = Selection()


def rows(count: int, words: int = 30) -> list[dict[str, Any]]:
    return [{"id": f"d{number}", "text": f"Wort {number} ä " * (1 + number % words)} for number in range(count)]


def lines(documents: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in documents)


def groups_of(pattern: Path) -> list[SplitGroup]:
    files = list_matching([str(pattern)])
    return group_splits(plan_splits(files), files)


def read_all(groups: list[SplitGroup]) -> list[tuple[str, int, str]]:
    pages = [page for group in groups for page in read_group(group, READING, EVERYTHING)]
    return [(row["source"], row["position"], row["document_id"]) for page in pages for row in page.documents]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "PIECE_BYTES", 1000)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet", "a.csv", "utf16.jsonl", "packed.jsonl"])
def test_pieces_hold_every_document_once(tmp_path: Path, name: str) -> None:
    documents = rows(300)
    path = tmp_path / name
    match name:
        case "a.parquet":
            pq.write_table(pa.Table.from_pylist(documents), path, row_group_size=20)
        case "a.csv":
            path.write_text("id,text\n" + "".join(f"{one['id']},{one['text']}\n" for one in documents))
        case "utf16.jsonl":
            path.write_bytes(lines(documents).decode().encode("utf-16"))
        case "a.jsonl":
            path.write_bytes(lines(documents))
        case _:
            path.write_bytes(gzip.compress(lines(documents), mtime=0))
    planned = groups_of(path)
    pieces = cut_pieces(planned, together=False)
    found = read_all([piece.group for piece in pieces])
    assert found == read_all(planned)
    assert len(found) == 300
    # A file that is not what its name says, or cannot be cut, stays whole.
    assert (len(pieces) > 10) == (name in {"a.jsonl", "a.parquet"})
    assert sum(piece.records or 0 for piece in pieces) == (300 if name == "a.parquet" else 0)
    described = describe_pieces(pieces)
    assert len({piece.name for piece in described}) == len(pieces)
    assert [piece.size_bytes for piece in described] == [piece.group.splits[0].size_bytes for piece in pieces]


def test_packed_and_cut_files_are_kinds_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(rows(50)))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines(rows(50)), mtime=0))
    pq.write_table(pa.Table.from_pylist(rows(300)), tmp_path / "c.parquet", row_group_size=50)
    pieces = describe_pieces(cut_pieces(groups_of(tmp_path / "*"), together=False))
    assert {piece.kind for piece in pieces} == {"jsonl", "jsonl.gzip", "parquet.groups"}


def test_many_files_are_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MOST_FILES_LOOKED_INTO", 3)
    monkeypatch.setattr(sampling, "open_binary", lambda *_: pytest.fail("it was opened"))
    for number in range(5):
        (tmp_path / f"{number}.jsonl").write_bytes(lines(rows(100)))
    assert len(cut_pieces(groups_of(tmp_path / "*"), together=False)) == 5


def test_a_file_that_goes_before_it_is_cut_becomes_a_reject_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(rows(100)))
    planned = groups_of(path)
    path.unlink()
    (piece,) = cut_pieces(planned, together=False)
    assert read_piece(piece.group, READING, EVERYTHING, 0, None).counts["rejects.file.changed_file"] == 1


def test_documents_are_chosen_by_seed_and_place_and_a_larger_choice_contains_the_smaller(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(rows(200)) + b"not JSON\n")
    (group,) = groups_of(path)

    def chosen(seed: int, most: int | None) -> list[str]:
        found = read_piece(group, READING, EVERYTHING, seed, most)
        assert (found.read, found.documents, found.counts["rejects.record.malformed_record"]) == (201, 200, 1)
        assert found.text_bytes == sum(len(one["text"].encode()) for one in rows(200))
        return [row["document_id"] for row in found.chosen]

    few, more = chosen(0, 10), chosen(0, 50)
    assert len(few) == 10
    assert set(few) < set(more)
    assert chosen(1, 10) != few
    assert chosen(0, None) == [f"d{number}" for number in range(200)]
    assert few == sorted(few, key=lambda name: int(name[1:]))


def test_the_longest_documents_are_looked_into_whatever_the_chance(tmp_path: Path) -> None:
    documents = [{"id": f"d{number}", "text": "x" * (9000 if number in {3, 150} else 100)} for number in range(200)]
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(documents))
    (group,) = groups_of(path)
    for seed in range(5):
        found = read_piece(group, READING, EVERYTHING, seed, 10)
        assert [row["document_id"] for row in found.certain] == ["d3", "d150"]
        assert 8 <= len(found.chosen) <= 10
        assert not {"d3", "d150"} & {row["document_id"] for row in found.chosen}
    everything = read_piece(group, READING, EVERYTHING, 0, 200)
    assert (len(everything.certain), len(everything.chosen)) == (0, 200)


@pytest.mark.parametrize("packed", [False, True])
def test_of_a_file_that_cannot_be_cut_only_the_beginning_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(sampling, "MOST_READ_BYTES", 20_000)
    documents = rows(4000, 7)
    raw = lines(documents) if packed else b"[" + b",\n".join(lines(documents).splitlines()) + b"]"
    path = tmp_path / ("a.jsonl.gz" if packed else "a.json")
    path.write_bytes(gzip.compress(raw, mtime=0) if packed else raw)
    (group,) = groups_of(path)
    found = read_piece(group, READING, EVERYTHING, 0, 100)
    assert 0 < found.share < 0.5
    assert found.documents / found.share == pytest.approx(4000, rel=0.1)
    whole = read_piece(group, READING, EVERYTHING, 0, None)
    assert (whole.share, whole.documents) == (1, 4000)
