"""What a workspace holds, as the command shows it."""

import json

import pytest

from pipelines import cli
from tests.pipelines.jobs import COLLECTION, Job, document, story


def corpus(job: Job) -> None:
    job.write("a.jsonl", [document("d0"), document("d1", lang="de"), document("d2", story("d2", 6)), b"no json"])


def listed(job: Job, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert cli.main(["workspace", "ls", str(job.workspace), "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
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
    files = [path for path in job.workspace.rglob("*") if path.is_file()]
    assert found["bytes"] == sum(path.stat().st_size for path in files)
    assert (found["temporary"], found["other"]) == ({"files": 0, "bytes": 0}, {"files": 0, "bytes": 0})
