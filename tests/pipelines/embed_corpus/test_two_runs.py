"""Two runs at once: on one collection the second is refused, or waits; on two collections they do not meet."""

import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.fakes import ENCODED
from tests.pipelines.jobs import COLLECTION, Job, document, story
from transforms.adapters.lease import leased
from transforms.adapters.milvus import Collection
from transforms.adapters.storage import list_names
from transforms.adapters.workspace import Workspace, collection_key
from transforms.logic.checksum import as_text, checksum, combined


def _workspace(job: Job) -> Workspace:
    return Workspace(str(job.workspace), "", collection_key(str(job.milvus), COLLECTION))


@pytest.fixture
def filled(job: Job) -> Job:
    job.write("a.jsonl", [document(f"d{number}", story(f"d{number}", 4)) for number in range(6)])
    return job


def test_a_second_run_is_refused_with_the_first_ones_id_before_it_touches_anything(
    filled: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    with leased(_workspace(filled).lease, "run-of-somebody"):
        assert filled.main() == 6
    captured = capsys.readouterr()
    assert captured.err.startswith("corpus-embed run: run run-of-somebody (process ")
    assert "--on-busy wait" in captured.err
    assert captured.out == ""
    assert (ENCODED, filled.milvus.exists()) == ([], False)
    assert filled.main() == 0
    # The lease was released.
    assert filled.main() == 0


def test_who_waits_is_told_for_whom_and_then_runs(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    started, done = threading.Event(), threading.Event()

    def hold() -> None:
        with leased(_workspace(filled).lease, "run-of-somebody"):
            started.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert started.wait(60)
    threading.Timer(1.5, done.set).start()
    assert filled.main(on_busy="wait") == 0
    holder.join()
    output = capsys.readouterr().out
    assert output.startswith("waiting until run run-of-somebody (process ")
    assert len(filled.rows()) == 12


def test_runs_on_two_collections_of_one_workspace_do_not_meet(filled: Job) -> None:
    with leased(_workspace(filled).lease, "run-of-somebody"):
        assert filled.main(collection="other") == 0


def test_a_run_that_was_taken_over_commits_nothing_and_the_next_one_brings_all_to_an_end(
    filled: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It slept after its rows were written: meanwhile it counted as dead."""
    workspace = _workspace(filled)
    lease = Path(workspace.lease)

    def counts(self: Collection) -> Any:
        found = count(self)
        if found:
            (lease / "00000002.json").write_bytes((lease / "00000001.json").read_bytes().replace(b'"run-', b'"late-'))
        return found

    count = Collection.counts
    with monkeypatch.context() as patch:
        patch.setattr(Collection, "counts", counts)
        assert filled.main() == 6
    assert "took over the lease" in capsys.readouterr().err
    assert workspace.latest_ledger().number == 0
    assert list_names(str(filled.workspace / "runs")) == []
    rows = filled.rows()
    ENCODED.clear()
    (lease / "00000002.json").unlink()
    record = filled.run()
    assert (record["exit_code"], record["ledger"], ENCODED) == (0, 1, [])
    assert filled.rows() == rows


def test_the_checksum_of_a_run_is_that_of_its_ledgers_parts(filled: Job) -> None:
    record = filled.run()
    workspace = _workspace(filled)
    parts = [workspace.read_ledger_part(name).to_pylist() for name in workspace.latest_ledger().parts]
    assert len(parts) > 1
    assert record["checksum"] == as_text(combined(checksum(part) for part in parts))
    stored = [
        row
        for path in sorted((filled.workspace / "dataset").rglob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    assert record["checksum"] == as_text(checksum(stored))
    assert filled.run()["checksum"] == record["checksum"]
    filled.write("a.jsonl", [document("d0", story("edited", 2))])
    assert filled.run()["checksum"] != record["checksum"]
