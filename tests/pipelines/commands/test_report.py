"""The report of a run: made by the run itself, and again by the command."""

from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from tests.pipelines.jobs import Job, document, story


def asked(capsys: pytest.CaptureFixture[str], *arguments: Any, code: int = 0) -> str:
    capsys.readouterr()
    assert cli.main(["report", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_a_run_writes_its_report_and_the_command_makes_the_same_again(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [
        document(f"d{number}", story(f"d{number}", 3), lang="de" if number % 2 else "en") for number in range(20)
    ]
    job.write("a.jsonl", [*records, b"no json"])
    record = job.run()
    path = job.workspace / "runs" / record["run_id"] / "report.html"
    written = path.read_bytes()
    html = written.decode()
    for said in (
        record["run_id"],
        "Map of the vectors",
        "malformed record",
        str(job.corpus / "a.jsonl"),
        "tells about rivers",
    ):
        assert said in html
    assert record["slowest"][0]["source"] == str(job.corpus / "a.jsonl")
    assert sum(one["documents"] for one in record["timeline"] if "documents" in one) == 21
    assert sum(one["tokens"] for one in record["timeline"] if "tokens" in one) == record["stages"]["embed"]["tokens"]
    assert sum(one["count"] for one in record["lengths"]["chunks"]) == record["chunks"]["split"]
    assert sum(one["count"] for one in record["lengths"]["documents"]) == 20

    said = asked(capsys, job.workspace)
    assert said == f"{path}: {len(written):,} bytes\n"
    assert path.read_bytes() == written

    other = tmp_path / "out" / "other.html"
    asked(capsys, job.workspace, record["run_id"][:8], "--output", other, "--no-texts", "--sample", 10)
    without = other.read_text(encoding="utf-8")
    assert "tells about rivers" not in without
    assert "Map of the vectors" in without
    assert without.count('class="point ') == 10


def test_a_run_may_leave_it(job: Job) -> None:
    job.write("a.jsonl", [document("d0")])
    record = job.run(report="none")
    assert not list((job.workspace / "runs" / record["run_id"]).glob("*.html"))


def test_what_is_wrong_is_named(job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no workspace" in asked(capsys, tmp_path / "nothing", code=2)
    job.write("a.jsonl", [document("d0")])
    job.run()
    assert "exactly one run record" in asked(capsys, job.workspace, "other", code=2)
    assert "--sample 9 is not allowed; choose from 10 to 2,000" in asked(capsys, job.workspace, "--sample", 9, code=2)
    (tmp_path / "file").write_text("")
    assert "name another --output" in asked(capsys, job.workspace, "--output", tmp_path / "file" / "x.html", code=2)
