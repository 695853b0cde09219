"""ReadDocuments."""

import gzip
import json
from functools import partial
from pathlib import Path

from tests.transforms.verbs import run_verb
from transforms.adapters.formats import plan_splits
from transforms.adapters.storage import list_matching
from transforms.logic.records import Reading
from transforms.logic.schemas import MAX_BATCH_ROWS, RECORDS
from transforms.read import ReadDocuments


def test_records_become_documents_or_rejects_and_are_counted(tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"d{number}", "text": f"text {number}"}).encode() for number in range(3)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([lines[0], b"no json", lines[1]]) + b"\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines[2] + b"\n"))
    (tmp_path / "c.jsonl.gz").write_bytes(b"no gzip")
    splits = plan_splits(list_matching([f"{tmp_path}/*"]))
    outcome = run_verb(partial(ReadDocuments, Reading(max_document_bytes=1000)), splits)
    assert all(batch.schema.equals(RECORDS) for batch in outcome.main)
    assert {row["document_id"]: row["text"] for row in outcome.rows} == {f"d{n}": f"text {n}" for n in range(3)}
    assert sorted((Path(row["source"]).name, row["level"], row["reason"]) for row in outcome.rejects) == [
        ("a.jsonl", "record", "malformed_record"),
        ("c.jsonl.gz", "file", "unreadable_file"),
    ]
    counts = outcome.counts
    assert counts.pop("bytes.read") > 0
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
    outcome = run_verb(
        partial(ReadDocuments, Reading(max_document_bytes=1000)), plan_splits(list_matching([f"{tmp_path}/*"]))
    )
    assert [batch.num_rows for batch in outcome.main] == [MAX_BATCH_ROWS, 1]
