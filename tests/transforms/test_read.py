"""ReadDocuments."""

import gzip
import json
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.transforms.verbs import run_verb
from transforms.adapters.formats import plan_splits
from transforms.adapters.formats.groups import SplitGroup, group_splits, read_group
from transforms.adapters.storage import list_matching
from transforms.logic.records import Reading
from transforms.logic.schemas import MAX_BATCH_ROWS, RECORDS
from transforms.logic.selection import Selection, window_of
from transforms.logic.timeline import describe_slowest, describe_timeline
from transforms.metrics import ByProducts, Timeline, sum_tallies
from transforms.read import ReadDocuments


def groups_of(directory: Path, *, together: bool = False) -> list[SplitGroup]:
    files = list_matching([f"{directory}/*"])
    return group_splits(plan_splits(files), files, together=together)


def test_records_become_documents_or_rejects_and_are_counted(tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"d{number}", "text": f"text {number}"}).encode() for number in range(3)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([lines[0], b"no json", lines[1]]) + b"\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines[2] + b"\n"))
    (tmp_path / "c.jsonl.gz").write_bytes(b"no gzip")
    outcome = run_verb(partial(ReadDocuments, Reading(max_document_bytes=1000), Selection()), groups_of(tmp_path))
    assert all(batch.schema.equals(RECORDS) for batch in outcome.main)
    assert {row["document_id"]: row["text"] for row in outcome.rows} == {f"d{n}": f"text {n}" for n in range(3)}
    assert sorted((Path(row["source"]).name, row["level"], row["reason"]) for row in outcome.rejects) == [
        ("a.jsonl", "record", "malformed_record"),
        ("c.jsonl.gz", "file", "unreadable_file"),
    ]
    counts = outcome.counts
    assert counts.pop("bytes.read") > 0
    assert counts.pop("source_bytes.read") == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert counts == {
        "documents.read": 4,
        "splits.read": 3,
        "rejects.total": 2,
        "rejects.record.malformed_record": 1,
        "rejects.file.unreadable_file": 1,
    }


def test_batches_keep_the_row_limit(tmp_path: Path) -> None:
    lines = [json.dumps({"id": number, "text": "a text"}).encode() for number in range(MAX_BATCH_ROWS + 1)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    outcome = run_verb(partial(ReadDocuments, Reading(max_document_bytes=1000), Selection()), groups_of(tmp_path))
    assert [batch.num_rows for batch in outcome.main] == [MAX_BATCH_ROWS, 1]


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(window_of("2026-03-02", None)),
        Selection(sample=0.5),
        Selection(window_of(None, "2026-03-02"), 0.5, 7),
        Selection(limit=40),
    ],
    ids=["all", "window", "sample", "everything at once", "limit"],
)
def test_what_is_selected_and_counted_is_the_same_with_and_without_beam(tmp_path: Path, selection: Selection) -> None:
    for number in range(200):
        row = {"id": f"d{number}", "text": "a text", "date": f"2026-03-0{1 + number % 3}" if number % 7 else None}
        (tmp_path / f"{number:03}.jsonl").write_bytes(json.dumps(row).encode() + b"\nno json\n")
    groups = groups_of(tmp_path, together=selection.limit is not None)
    pages = [page for group in groups for page in read_group(group, Reading(), selection)]
    outcome = run_verb(partial(ReadDocuments, Reading(), selection), groups)
    by_id = [
        sorted(rows, key=lambda row: row["document_id"])
        for rows in (outcome.rows, [d for p in pages for d in p.documents])
    ]
    assert by_id[0] == by_id[1]
    counts = sum((page.counts for page in pages), Counter[str]())
    told = {name: count for name, count in outcome.counts.items() if not name.startswith("rejects.")}
    assert told == {name: count for name, count in counts.items() if count}
    left_out = sum(count for name, count in told.items() if name.startswith("left_out."))
    assert told["documents.read"] == len(outcome.rows) + len(outcome.rejects) + left_out
    assert (left_out > 0) is (selection != Selection() and selection.limit != 40)


def test_thousands_of_tiny_files_are_few_elements_and_full_batches(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"{number:04}.jsonl").write_bytes(json.dumps({"id": number, "text": "a text"}).encode())
    groups = groups_of(tmp_path)
    assert len(groups) <= 66
    outcome = run_verb(partial(ReadDocuments, Reading(), Selection()), groups)
    assert len(outcome.main) == len(groups)
    assert sorted(int(row["document_id"]) for row in outcome.rows) == list(range(3000))
    assert outcome.counts["splits.read"] == outcome.counts["documents.read"] == 3000


def test_the_time_of_each_split_is_told_without_that_of_the_work_on_its_pages(tmp_path: Path) -> None:
    lines = [json.dumps({"id": number, "text": "a text"}).encode() for number in range(2 * MAX_BATCH_ROWS)]
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(b"\n".join(lines))
    now = [0.0]

    def clock() -> float:
        now[0] += 1
        return now[0]

    seconds: dict[str, float] = {}
    (group,) = groups_of(tmp_path, together=True)
    for page in read_group(group, Reading(), Selection(), clock):
        seconds |= page.seconds
        now[0] += 1000
    assert sorted(Path(one["source"]).name for one in describe_slowest(seconds)) == ["a.jsonl", "b.jsonl"]
    assert 0 < min(seconds.values()) <= max(seconds.values()) < 1000
    (untimed, *_) = read_group(group, Reading(), Selection())
    assert untimed.seconds == {}


def test_when_documents_were_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(json.dumps({"id": "d", "text": "a text"}).encode())
    timeline = Timeline(time.time() - 1000)
    outcome = run_verb(partial(_timed, timeline), groups_of(tmp_path))
    (bucket,) = describe_timeline(sum_tallies(outcome.tallies), 1000)
    assert bucket["documents"] == 1
    assert 1000 - bucket["width"] <= bucket["start"] < 1300


def _timed(timeline: Timeline, kept: ByProducts) -> ReadDocuments:
    return ReadDocuments(Reading(), Selection(), kept, timeline)
