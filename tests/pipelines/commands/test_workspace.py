"""What a workspace holds, as the command shows it."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines import cli
from tests import fakes
from tests.pipelines.jobs import COLLECTION, Job, document, row_counts, story


def corpus(job: Job) -> None:
    job.write("a.jsonl", [document("d0"), document("d1", lang="de"), document("d2", story("d2", 6)), b"no json"])


def files(job: Job) -> set[Path]:
    """What the workspace keeps; leases come and go."""
    return {path for path in job.workspace.rglob("*") if path.is_file() and path.parent.name != "lease"}


def listed(job: Job, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert cli.main(["workspace", "ls", str(job.workspace), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_what_a_run_left_is_listed(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(job)
    record = job.run()
    found = listed(job, capsys)
    (space,) = found["spaces"]
    assert (space["embedding_space"], space["model"]) == (record["embedding_space"], record["model"]["name"])
    assert (space["rows"], space["shards"]) == (5, len(list((job.workspace / "dataset").rglob("*.parquet"))))
    (collection,) = found["collections"]
    assert (collection["collection"], collection["milvus"]) == (COLLECTION, str(job.milvus))
    assert (collection["ledger"], collection["run_id"]) == (1, record["run_id"])
    assert collection["partitions"] == {"lang_de": 1, "lang_en": 4}
    assert collection["unsettled_intents"] == 0
    assert found["rejects"] == [
        {"run_id": record["run_id"], "rows": 1, "bytes": found["rejects"][0]["bytes"], "files": 1, "unnamed_files": 0}
    ]
    assert [run["run_id"] for run in found["runs"]] == [record["run_id"]]
    assert found["bytes"] == sum(path.stat().st_size for path in job.workspace.rglob("*") if path.is_file())
    assert (found["temporary"], found["other"]) == ({"files": 0, "bytes": 0}, {"files": 0, "bytes": 0})


def test_tables_show_the_same(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(job)
    record = job.run()
    (job.workspace / "notes.txt").write_text("mine")
    capsys.readouterr()
    assert cli.main(["workspace", "ls", str(job.workspace)]) == 0
    out = capsys.readouterr().out
    for word in (record["embedding_space"], record["run_id"], "lang_de 1, lang_en 4", str(job.milvus)):
        assert word in out
    assert "1 files of other programs or versions (4 B)" in out


def test_a_newer_format_is_refused_by_name(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(job)
    record = job.run()
    ledger = next((job.workspace / "ledger").glob("*/*.json"))
    run = job.workspace / "runs" / record["run_id"] / "run.json"
    for path in (ledger, run):
        whole = path.read_text()
        path.write_text(whole.replace('"format": 1', '"format": 2'))
        assert cli.main(["workspace", "ls", str(job.workspace)]) == 5
        assert f"{path} has format 2, this version reads 1" in capsys.readouterr().err
        path.write_text(whole)
    shard = next((job.workspace / "dataset").rglob("*.parquet"))
    table = pq.read_table(shard)
    pq.write_table(table.replace_schema_metadata({"corpus_embed.format": "9"}), shard)
    assert cli.main(["workspace", "ls", str(job.workspace)]) == 5
    assert f"{shard} has format 9, this version reads 1" in capsys.readouterr().err


def test_collecting_shows_first_and_removes_when_told(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(job)
    job.run()
    for number in range(3):
        job.write("b.jsonl", [document("more", story(f"number {number}", 1))])
        job.run()
    rows = job.rows()
    before = files(job)
    capsys.readouterr()
    assert cli.main(["workspace", "gc", str(job.workspace), "--keep-ledgers", "1"]) == 0
    shown = capsys.readouterr().out
    assert shown.endswith("may go; --delete removes them\n")
    assert files(job) == before
    assert cli.main(["workspace", "gc", str(job.workspace), "--keep-ledgers", "1", "--delete", "--json"]) == 0
    removed = json.loads(capsys.readouterr().out)
    assert {one["kind"] for one in removed["garbage"]} == {"intents", "ledger part"}
    after = files(job)
    assert {str(path.relative_to(job.workspace)) for path in before - after} == {
        one["path"] for one in removed["garbage"]
    }
    assert len(before - after) == removed["files"]
    assert cli.main(["workspace", "gc", str(job.workspace), "--keep-ledgers", "1", "--delete"]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"
    fakes.ENCODED.clear()
    record = job.run()
    assert row_counts(record) == (len(rows), 0, len(rows), 0)
    assert fakes.ENCODED == []
    assert job.rows() == rows


@pytest.mark.parametrize("form", ["parquet", "pinecone", "jsonl"])
def test_a_collection_is_exported_whole(job: Job, capsys: pytest.CaptureFixture[str], form: str) -> None:
    corpus(job)
    job.run()
    rows = job.rows()
    out = job.home / "out"
    capsys.readouterr()
    flags = ["--collection", COLLECTION, "--milvus", str(job.milvus), "--to", str(out), "--format", form]
    assert cli.main(["workspace", "export", str(job.workspace), *flags]) == 0
    assert "5 rows in" in capsys.readouterr().out
    if form == "jsonl":
        found = [json.loads(line) for path in out.rglob("*") for line in path.read_text().splitlines()]
        vectors = {one["properties"]["chunk_id"]: one["vector"] for one in found}
    else:
        found = [row for path in out.rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
        vectors = {one["id"]: one["values" if form == "pinecone" else "vector"] for one in found}
    assert len(found) == 5
    stored = job.stored()
    assert vectors == {identity: stored[identity]["vector"] for identity in rows}
    assert cli.main(["workspace", "export", str(job.workspace), *flags]) == 2
    assert "holds files already" in capsys.readouterr().err
