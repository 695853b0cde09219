"""Rejects counted, shown and processed again."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines import cli
from tests import fakes
from tests.pipelines.jobs import Job, document, story

TEXT = "a secret that nobody asked for"


def corpus(job: Job) -> None:
    job.write("a.jsonl", [document("d0"), {"id": "d1", "text": "", "lang": "en"}, b"no json", document("d2")])
    job.write("b.jsonl", [document("d3"), document("big", story("big", 9)), {"note": TEXT}])
    job.write("c.jsonl", [document("d4", lang="de")])


def rejects(job: Job, *arguments: str) -> int:
    action, *rest = arguments
    return cli.main(["rejects", action, str(job.workspace), *rest])


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_rejects_are_counted_and_shown(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(job)
    record = job.run(max_document_bytes=300)
    run_id = record["run_id"]
    reasons = {"empty_text": 1, "malformed_record": 1, "missing_id": 1, "too_large": 1}
    assert rejects(job, "ls", "--json") == 0
    counted = printed(capsys)
    assert {row["reason"]: row["rows"] for row in counted} == reasons
    assert {(row["run_id"], row["level"], row["stage"]) for row in counted} == {(run_id, "record", "read")}
    assert rejects(job, "ls", "--reason", "too_large") == 0
    out = capsys.readouterr().out
    assert "too_large" in out
    assert "empty_text" not in out
    assert rejects(job, "show", "--run", run_id, "--json", "--limit", "0") == 0
    shown = printed(capsys)
    assert sorted(row["reason"] for row in shown) == sorted(reasons)
    assert sorted(shown, key=lambda row: (row["source"], row["locator"])) == job.rejects(record)
    assert {row["text"] for row in shown} == {None}
    assert rejects(job, "show", "--run", run_id, "--limit", "1", "--reason", "empty_text", "missing_id") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 more; --limit 0 shows all"


def test_files_that_no_record_names_do_not_count(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(job)
    record = job.run()
    (kept, *_) = (Path(uri) for uri in record["reject_files"])
    table = pq.read_table(kept)
    pq.write_table(table, kept.with_name("0" * 32 + ".parquet"))
    orphan = job.workspace / "rejects" / "run-died" / kept.name
    orphan.parent.mkdir()
    orphan.write_bytes(kept.read_bytes())
    assert rejects(job, "ls", "--json") == 0
    counted = printed(capsys)
    assert sum(row["rows"] for row in counted) == sum(record["rejects"].values())
    assert {row["run_id"] for row in counted} == {record["run_id"]}
    kept.unlink()
    assert rejects(job, "ls") == 5
    assert f"{kept.name} is gone" in capsys.readouterr().err


def test_a_workspace_that_was_moved_is_read_where_it_is(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(job)
    record = job.run()
    moved = job.home / "moved"
    job.workspace.rename(moved)
    assert cli.main(["rejects", "ls", str(moved), "--json"]) == 0
    assert sum(row["rows"] for row in printed(capsys)) == sum(record["rejects"].values())


def test_unknown_runs_and_reasons_are_refused(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(job)
    record = job.run()
    assert rejects(job, "ls", "--reason", "ugly") == 2
    assert "--reason ugly is no reason" in capsys.readouterr().err
    assert rejects(job, "ls", "--reason", "too_lrge") == 2
    assert "; did you mean too_large?" in capsys.readouterr().err
    assert rejects(job, "show", "--run", "run-0") == 2
    assert f"there is {record['run_id']}" in capsys.readouterr().err
    assert rejects(job, "show", "--run", record["run_id"], "--json") == 0
    rows = printed(capsys)
    assert rows
    for name in ("latest", record["run_id"][:9]):
        assert rejects(job, "show", "--run", name, "--json") == 0
        assert printed(capsys) == rows
    assert rejects(job, "replay", "--run", record["run_id"], "--reason", "bad_vector") == 2
    assert "has no rejects with bad_vector" in capsys.readouterr().err
    assert cli.main(["rejects", "ls", str(job.home / "nowhere")]) == 2
    assert "there is no workspace" in capsys.readouterr().err


def test_text_is_kept_for_who_asks_and_for_nobody_else(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(job)
    job.write("d.jsonl", [document("p", fakes.POISON)])
    record = job.run()
    for path in (job.workspace / "rejects").rglob("*.parquet"):
        assert TEXT not in repr(pq.read_table(path).to_pylist())
    asked = job.run(keep_rejected_text=True)
    assert asked["run_id"] != record["run_id"]
    texts = {row["reason"]: row["text"] for row in job.rejects(asked)}
    assert TEXT in texts["missing_id"]
    assert texts["bad_vector"] == fakes.POISON
    assert texts["malformed_record"].strip() == "no json"
    assert rejects(job, "show", "--run", asked["run_id"], "--reason", "bad_vector") == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.endswith("begins")
    assert row.endswith(repr(fakes.POISON))


def test_a_replay_reads_only_the_files_with_rejects_and_says_what_was_cured(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus(job)
    before = job.run()
    rows = job.rows()
    job.write("a.jsonl", [document("d0"), document("d1"), b"no json", document("d2")])
    fakes.ENCODED.clear()
    code = rejects(job, "replay", "--run", before["run_id"], "--reason", "empty_text", "malformed_record", "--json")
    assert code == 3
    found = printed(capsys)
    assert found["reasons"] == [
        {"reason": "empty_text", "places": 1, "cured": 1, "remaining": 0},
        {"reason": "malformed_record", "places": 1, "cured": 0, "remaining": 1},
    ]
    assert [story("d1", 1)] == fakes.ENCODED
    record = json.loads((job.workspace / "runs" / found["run_id"] / "run.json").read_text())
    assert record["configuration"]["source"]["input"] == [str(job.corpus / "a.jsonl")]
    after = job.rows()
    assert {row["document_id"] for row in after.values()} - {row["document_id"] for row in rows.values()} == {"d1"}
    assert {identity: after[identity] for identity in rows} == rows


def test_a_replay_may_be_configured_otherwise(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(job)
    before = job.run(max_document_bytes=300)
    flags = ("--run", before["run_id"], "--reason", "too_large", "--max-document-bytes", "10000")
    assert rejects(job, "replay", *flags) == 3
    out = capsys.readouterr().out
    assert out.startswith("reading 1 files\n")
    assert [line.split() for line in out.splitlines() if line.startswith("too_large")] == [["too_large", "1", "1", "0"]]
    assert "big" in {row["document_id"] for row in job.rows().values()}


def test_a_replay_of_doubled_ids_reads_everything(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.write("a.jsonl", [document("d0", "The first of two texts.")])
    job.write("b.jsonl", [document("d0", "The second of two texts."), b"no json"])
    before = job.run(max_reject_fraction=1)
    assert rejects(job, "replay", "--run", before["run_id"], "--reason", "malformed_record") == 3
    assert "reading everything that the run read" in capsys.readouterr().out
    assert job.texts() == {("d0", 0): "The first of two texts."}
