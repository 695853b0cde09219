"""A run that imports is killed with SIGKILL at a step of the import; the next one ends as if nothing had been, no file imported twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fakes
from tests.milvus_import_server import ImportServer, import_server
from tests.pipelines.faults.forking import KILLED, Forker
from tests.pipelines.jobs import COLLECTION, Job, document, make_model, story

_STEPS = ("import file", "import plan", "import journal", "import job", "ledger")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ImportServer]:
    # Without idempotency keys: what newer servers do not need is what older ones must not lack.
    with import_server("2.5.4", tmp_path / "bucket") as started:
        yield started


_POINTS = [f"{side} {step}" for step in _STEPS for side in ("before", "after")]
_OFTEN = {"after import file", "before import plan", "after import job", "before ledger"}


@pytest.mark.parametrize(
    "point", [pytest.param(point, marks=() if point in _OFTEN else pytest.mark.long) for point in _POINTS]
)
def test_a_run_killed_while_it_imports_and_run_again(
    point: str, tmp_path: Path, forking: Forker, server: ImportServer
) -> None:
    job = Job(tmp_path / "job", make_model(tmp_path / "model"))
    job.write("a.jsonl", [document(f"d{n}", story(f"d{n}", 4), lang=("de", "fr")[n % 2]) for n in range(8)])
    flags = job.flags(
        milvus=server.uri,
        write="import",
        import_storage=server.root / "imports",
        import_path="imports",
        import_endpoint=server.endpoint,
        verify="none",
    )
    command = ["run", *flags, "--runner=FnApiRunner"]
    ended = forking.run(command, point)
    assert ended.status == KILLED, ended.output
    forking.encoded()
    again = forking.run(command)
    assert again.status == 0, again.output
    assert forking.encoded() == []
    assert len(server.rows) == len(set(server.rows)) == 16
    assert list(server.root.rglob("*.parquet")) == []


@pytest.mark.parametrize("point", sorted(_OFTEN))
def test_a_load_killed_while_it_imports_and_run_again(
    point: str, tmp_path: Path, forking: Forker, server: ImportServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path / "job", make_model(tmp_path / "model"))
    job.write("a.jsonl", [document(f"d{n}", story(f"d{n}", 4), lang=("de", "fr")[n % 2]) for n in range(8)])
    monkeypatch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
    assert job.run()["rows"]["held"] == 16
    places = {
        "workspace": job.workspace,
        "from": COLLECTION,
        "milvus": server.uri,
        "collection": "copy",
        "write": "import",
        "import-storage": server.root / "imports",
        "import-path": "imports",
        "import-endpoint": server.endpoint,
        "verify": "none",
    }
    flags = [part for name, value in places.items() for part in (f"--{name}", str(value))]
    command = ["load", *flags, "--runner=FnApiRunner"]
    ended = forking.run(command, point)
    assert ended.status == KILLED, ended.output
    again = forking.run(command)
    assert again.status == 0, again.output
    assert sorted(server.rows) == sorted(job.rows())
    assert list(server.root.rglob("*.parquet")) == []
