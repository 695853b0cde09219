"""A job is handed over under the lease and with its plan checked; nobody waits for its end."""

from typing import Any

import apache_beam as beam
import pytest

from pipelines import cli
from tests.pipelines.jobs import Job, document
from transforms.adapters.lease import leased
from transforms.adapters.workspace import Workspace, collection_key

ELSEWHERE = ["--runner=PortableRunner", "--job_endpoint=127.0.0.1:1"]
MILVUS = "http://127.0.0.1:19530"


class _Handed:
    """A job that has just been handed over."""

    def wait_until_finish(self) -> None:
        raise AssertionError("it waited")


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[beam.Pipeline]:
    """The pipelines that were handed to a runner, which does not run them."""
    pipelines: list[beam.Pipeline] = []

    def run(pipeline: beam.Pipeline, *_: Any, **__: Any) -> _Handed:
        pipelines.append(pipeline)
        return _Handed()

    monkeypatch.setattr(beam.Pipeline, "run", run)
    # A server would have to be there; that a file of this machine is none is tested below.
    monkeypatch.setattr("pipelines.launch.is_lite_path", lambda _: False)
    return pipelines


def _launch(job: Job, *flags: str, **changes: Any) -> int:
    return cli.main(["launch", *job.flags(**changes), *ELSEWHERE, *flags])


def test_the_job_is_handed_over_and_not_waited_for(
    job: Job, handed: list[beam.Pipeline], capsys: pytest.CaptureFixture[str]
) -> None:
    job.write("a.jsonl", [document("d0")])
    assert _launch(job) == 0
    assert len(handed) == 1
    said = capsys.readouterr()
    assert said.err == ""
    assert "handed to the runner; its record will be in" in said.out
    assert str(job.workspace) in said.out


def test_parameters_are_taken_for_flags(job: Job, handed: list[beam.Pipeline]) -> None:
    job.write("a.jsonl", [document("d0")])
    assert _launch(job, "--max_tokens=40", "--recheck=false", "--exclude=*.tmp '* b'") == 0
    assert len(handed) == 1


def test_the_lease_is_free_again(job: Job, handed: list[beam.Pipeline]) -> None:
    job.write("a.jsonl", [document("d0")])
    assert _launch(job) == 0
    assert _launch(job) == 0
    assert len(handed) == 2


def test_nothing_is_handed_over_while_another_run_has_the_lease(
    job: Job, handed: list[beam.Pipeline], capsys: pytest.CaptureFixture[str]
) -> None:
    job.write("a.jsonl", [document("d0")])
    directory = Workspace(str(job.workspace), "", collection_key(str(job.milvus), "corpus")).lease
    with leased(directory, "other"):
        assert _launch(job) == 6
    assert handed == []
    assert "run other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "changes", "said"),
    [
        ([], {"milvus": "here.db"}, "--milvus 'here.db' is a file of this machine"),
        (["--runner=FnApiRunner"], {"milvus": MILVUS}, "launch is for a runner elsewhere"),
        ([], {"milvus": MILVUS, "collection": None, "publish": "docs"}, "--publish docs moves the alias after the job"),
        (["--mirror=maybe"], {"milvus": MILVUS}, "--mirror is a switch"),
    ],
)
def test_what_cannot_be_launched_is_refused_at_once(
    job: Job, capsys: pytest.CaptureFixture[str], flags: list[str], changes: dict[str, Any], said: str
) -> None:
    assert _launch(job, *flags, **changes) == 2
    assert said in capsys.readouterr().err
    assert not job.workspace.exists()
