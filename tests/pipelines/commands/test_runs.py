"""Run records, as the command lists, shows and compares them."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from tests.pipelines.jobs import Job, document

DATES = ("2026-03-01", "2026-03-02", "2026-03-03")


def asked(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> str:
    capsys.readouterr()
    assert cli.main(["runs", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with records as three runs would leave them."""
    workspace = tmp_path_factory.mktemp("kept")
    for number, day in enumerate(DATES):
        record: dict[str, Any] = {
            "format": 1,
            "run_id": f"{day}-0a{number}",
            "started_at": f"{day}T04:00:00Z",
            "status": "complete",
            "exit_code": 0,
            "configuration": {"storage": {"collection": "manuals" if number else "news", "milvus": "m"}},
            "documents": {"read": 10 * (number + 1)},
            "vectors": {"encoded": number},
            "rows": {"held": 20},
            "rejects": {"record.empty_text": number} if number else {},
            "seconds": 2.5,
        }
        path = workspace / "runs" / record["run_id"] / "run.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(record))
    return workspace


def test_runs_are_listed_the_last_first(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(asked(capsys, "ls", kept, "--json"))
    assert [row["run_id"] for row in found] == ["2026-03-03-0a2", "2026-03-02-0a1", "2026-03-01-0a0"]
    assert found[0] == {
        "run_id": "2026-03-03-0a2",
        "started_at": "2026-03-03T04:00:00Z",
        "collection": "manuals",
        "documents": 30,
        "encoded": 2,
        "rows": 20,
        "rejects": 2,
        "seconds": 2.5,
        "exit_code": 0,
        "status": "complete",
    }
    lines = asked(capsys, "ls", kept).splitlines()
    assert [line.split()[0] for line in lines] == ["run", "2026-03-03-0a2", "2026-03-02-0a1", "2026-03-01-0a0"]


def test_runs_of_one_collection_and_the_last_few(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_one = json.loads(asked(capsys, "ls", kept, "--json", "--collection", "manuals"))
    assert [row["run_id"] for row in of_one] == ["2026-03-03-0a2", "2026-03-02-0a1"]
    last = json.loads(asked(capsys, "ls", kept, "--json", "--limit", "1"))
    assert [row["run_id"] for row in last] == ["2026-03-03-0a2"]
    assert asked(capsys, "ls", kept, "--collection", "nobody") == "no runs\n"


def test_a_run_is_found_by_how_its_id_begins(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("2026-03-02-0a1", "2026-03-02"):
        assert json.loads(asked(capsys, "show", kept, name, "--json"))["run_id"] == "2026-03-02-0a1"
    assert json.loads(asked(capsys, "show", kept, "latest", "--json"))["run_id"] == "2026-03-03-0a2"
    several = asked(capsys, "show", kept, "2026-03", code=2)
    assert "several do: 2026-03-01-0a0, 2026-03-02-0a1, 2026-03-03-0a2" in several
    none = asked(capsys, "show", kept, "other", code=2)
    assert "there are 2026-03-01-0a0, 2026-03-02-0a1, 2026-03-03-0a2" in none
    mistyped = asked(capsys, "show", kept, "2026-03-02-0b1", code=2)
    assert "; did you mean 2026-03-02-0a1?" in mistyped


def test_differences_are_shown_by_group(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = (kept, "2026-03-01", "2026-03-02")
    lines = asked(capsys, "diff", *pair).splitlines()
    assert lines[0] == "before 2026-03-01-0a0, after 2026-03-02-0a1"
    words = [line.split() for line in lines]
    assert ["configuration.storage.collection", "news", "manuals", "-"] in words
    assert ["documents.read", "10", "20", "2.00"] in words
    assert ["vectors.encoded", "0", "1", "-"] in words
    assert [line for line in lines if line and not line.startswith((" ", "before"))] == [
        "configuration",
        "counts",
        "times",
    ]
    found = json.loads(asked(capsys, "diff", *pair, "--json", "--only", "configuration"))
    change = {
        "group": "configuration",
        "field": "configuration.storage.collection",
        "before": "news",
        "after": "manuals",
        "ratio": None,
    }
    assert found == {"before": "2026-03-01-0a0", "after": "2026-03-02-0a1", "changes": [change]}
    assert asked(capsys, "diff", *pair, "--only", "versions").endswith("\nno difference\n")


def test_a_workspace_without_runs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"there is no workspace at '{tmp_path}'" in asked(capsys, "ls", tmp_path, code=2)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "notes.txt").write_text("mine")
    assert asked(capsys, "ls", tmp_path) == "no runs\n"
    assert "has no run record yet" in asked(capsys, "show", tmp_path, "latest", code=2)


def test_what_real_runs_recorded_is_shown_and_compared(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.write("a.jsonl", [document("d0"), document("d1", lang="de"), b"no json"])
    first = job.run()
    job.write("a.jsonl", [document("d0"), document("d2", lang="de"), b"no json"])
    second = job.run(logical_date="2026-03-02")
    listed = json.loads(asked(capsys, "ls", job.workspace, "--json"))
    assert {row["run_id"]: row["rejects"] for row in listed} == {first["run_id"]: 1, second["run_id"]: 1}
    assert json.loads(asked(capsys, "show", job.workspace, first["run_id"], "--json")) == first
    shown = asked(capsys, "show", job.workspace, first["run_id"])
    assert f"run {first['run_id']}: complete with rejects under the limit (exit code 3)\n" in shown
    assert f"embedding space {first['embedding_space']}\n" in shown
    assert "rejects: record.malformed_record 1\n" in shown
    words = [line.split() for line in shown.splitlines()]
    assert ["de", "1", "1", "11"] in words
    assert ["lang_de", "1", "1"] in words
    compared = asked(
        capsys, "diff", job.workspace, first["run_id"], second["run_id"], "--only", "configuration", "counts"
    )
    rows = [line.split() for line in compared.splitlines()]
    assert ["configuration.run.logical_date", "-", "2026-03-02", "-"] in rows
    assert ["documents.embedded", "2", "1", "0.50"] in rows
    assert ["partitions.lang_de.milvus", "1", "2", "2.00"] in rows
