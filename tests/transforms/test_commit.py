"""CommitRun."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import time
from typing import Any

import apache_beam as beam
import pytest

from tests.pushgateway import GROUP, pushgateway
from tests.transforms.verbs import SPACE, run_verb
from transforms.adapters.milvus import Collection, CollectionSpace, Target, release, served
from transforms.adapters.workspace import Held, Ledger, Workspace
from transforms.commit import CommitRun
from transforms.logic.errors import TransientError
from transforms.logic.record import RunContext
from transforms.metrics import ByProducts, Tally

READ: list[Tally] = [{"splits.read": 1, "documents.read": 2}, {"documents.unchanged": 2}]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    """A collection with one row in partition lang_de."""
    path = str(tmp_path / "milvus.db")
    found = served(Target(path, "c"))
    collection = Collection(found)
    collection.create(CollectionSpace("space", "m", None, "float32", "", 4, "float32", "language"))
    texts = dict.fromkeys(("document_id", "text", "language", "chunk_language", "script", "source", "date"), "x")
    numbers = dict.fromkeys(("ordinal", "start", "end", "tokens"), 0)
    scores = dict.fromkeys(("language_score", "chunk_language_score", "unknown_fraction"), 0.0)
    row = {"id": "1" * 32, **texts, **numbers, **scores, "metadata": {}, "dense": [1.0, 0.0, 0.0, 0.0]}
    collection.upsert("lang_de", [row])
    collection.close()
    yield found
    release(path)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "workspace"), SPACE, "c")


class _Commit(beam.PTransform[beam.PCollection[Tally], beam.PCollection[int]]):
    """CommitRun with the elements as its tallies."""

    def __init__(
        self,
        workspace: Workspace,
        target: Target,
        held: Held,
        parts: Sequence[str],
        changed: Mapping[str, Any],
        kept: ByProducts,
    ) -> None:
        super().__init__()
        self._settings = (workspace, target, held)
        self._parts = parts
        self._changed = changed

    def expand(self, tallies: beam.PCollection[Tally]) -> beam.PCollection[int]:
        root = tallies.pipeline
        parts = root | "Parts" >> beam.Create(list(self._parts), reshuffle=False)
        rejects = root | "Files" >> beam.Create(["b.parquet", "a.parquet"], reshuffle=False)
        context = RunContext("run-1", 1, 1, 0.01, {}, {}, "space", {}, {}, "2026-03-01T00:00:00Z", time())
        context = replace(context, **self._changed)
        return root | "Commit" >> CommitRun(*self._settings, context, tallies, parts, rejects)


def _commit(
    workspace: Workspace,
    target: Target,
    held: Held,
    tallies: list[Tally],
    parts: Sequence[str] = ("q", "p"),
    **changed: Any,
) -> tuple[int, dict[str, Any]]:
    outcome = run_verb(partial(_Commit, workspace, target, held, parts, changed), tallies)
    (code,) = outcome.main
    return code, workspace.read_record("run-1")


def test_a_balanced_run_commits_the_counted_state(workspace: Workspace, target: Target) -> None:
    code, record = _commit(workspace, target, Held(Ledger(0, (), {}), (), True), [*READ, {"partition.lang_de": 1}])
    assert (code, record["differences"], record["ledger"]) == (0, [], 1)
    assert workspace.latest_ledger() == Ledger(1, ("p", "q"), {"lang_de": 1})
    assert record["reject_files"] == ["a.parquet", "b.parquet"]
    assert record["partitions"] == {"lang_de": {"expected": 1, "milvus": 1}}
    assert json.loads(Path(workspace.record_uri("run-1")).read_bytes()) == record


@pytest.mark.parametrize(
    ("tally", "said"),
    [
        ({"partition.lang_de": 2}, "partition lang_de: 2 rows in the ledger != 1 counted in Milvus"),
        ({}, "partition lang_de: 0 rows in the ledger != 1 counted in Milvus"),
        (
            {"partition.lang_de": 1, "partition.lang_fr": 1},
            "partition lang_fr: 1 rows in the ledger != 0 counted in Milvus",
        ),
        (
            {"partition.lang_de": 1, "documents.read": 1},
            "documents read 3 != embedded + reused + unchanged + rejected + left out 2",
        ),
        ({"partition.lang_de": 1, "splits.read": 1}, "splits planned 1 != splits read + left out 2"),
        (
            {"partition.lang_de": 1, "rows.to_write": 1, "rows.loaded": 1},
            "rows to write 1 != rows written + rejected 0",
        ),
        ({"partition.lang_de": 1, "rows.to_delete": 1}, "rows to delete 1 != rows deleted 0"),
    ],
)
def test_a_run_that_does_not_balance_commits_nothing_and_says_where(
    workspace: Workspace, target: Target, tally: Tally, said: str
) -> None:
    code, record = _commit(workspace, target, Held(Ledger(0, (), {}), (), True), [*READ, tally])
    assert (code, record["ledger"], record["status"]) == (5, 0, "does not balance")
    assert said in record["differences"]
    assert workspace.latest_ledger() == Ledger(0, (), {})


def test_the_state_that_is_committed_already_is_not_committed_again(workspace: Workspace, target: Target) -> None:
    ledger = Ledger(1, ("p", "q"), {"lang_de": 1})
    workspace.commit_ledger(ledger, "run-0")
    code, record = _commit(workspace, target, Held(ledger, (), True), [*READ, {"partition.lang_de": 1}])
    assert (code, record["ledger"], workspace.latest_ledger()) == (0, 1, ledger)


def test_settled_intents_make_a_new_ledger_of_the_same_state(workspace: Workspace, target: Target) -> None:
    ledger = Ledger(1, ("p", "q"), {"lang_de": 1})
    workspace.commit_ledger(ledger, "run-0")
    _, record = _commit(workspace, target, Held(ledger, ("an intent",), True), [*READ, {"partition.lang_de": 1}])
    assert record["ledger"] == 2
    assert workspace.latest_ledger() == Ledger(2, ledger.parts, ledger.partitions)


def test_rows_written_again_to_the_same_state_are_committed_so_that_their_intents_are_settled(
    workspace: Workspace, target: Target
) -> None:
    ledger = Ledger(1, ("p", "q"), {"lang_de": 1})
    workspace.commit_ledger(ledger, "run-0")
    written: Tally = {"partition.lang_de": 1, "rows.to_write": 1, "rows.loaded": 1, "rows.written": 1}
    code, record = _commit(workspace, target, Held(ledger, (), False), [*READ, written])
    assert (code, record["ledger"]) == (0, 2)
    assert workspace.latest_ledger() == Ledger(2, ledger.parts, ledger.partitions)


def test_of_two_runs_at_once_one_commits(workspace: Workspace, target: Target) -> None:
    workspace.commit_ledger(Ledger(1, ("r",), {"lang_de": 1}), "the other run")
    with pytest.raises(TransientError, match="another run committed"):
        _commit(workspace, target, Held(Ledger(0, (), {}), (), True), [*READ, {"partition.lang_de": 1}])
    assert workspace.latest_ledger() == Ledger(1, ("r",), {"lang_de": 1})


def test_a_commit_that_is_asked_for_twice_is_done_once(workspace: Workspace, target: Target) -> None:
    held = Held(Ledger(0, (), {}), (), True)
    first = _commit(workspace, target, held, [*READ, {"partition.lang_de": 1}])
    second = _commit(workspace, target, held, [*READ, {"partition.lang_de": 1}])
    assert (first[0], first[1]["ledger"]) == (second[0], second[1]["ledger"]) == (0, 1)


def test_a_run_without_any_tally_balances_only_if_nothing_was_planned(workspace: Workspace, target: Target) -> None:
    code, record = _commit(workspace, target, Held(Ledger(0, (), {}), (), True), [])
    assert code == 5
    assert "splits planned 1 != splits read + left out 0" in record["differences"]


@pytest.mark.parametrize(("status", "code"), [(200, 0), (500, 0), (200, 5)])
def test_the_end_of_a_run_is_told_and_its_figures_pushed_whatever_becomes_of_them(
    workspace: Workspace, target: Target, caplog: pytest.LogCaptureFixture, status: int, code: int
) -> None:
    tallies: list[Tally] = [*READ, {"partition.lang_de": 1 if code == 0 else 2}]
    with pushgateway() as gateway, caplog.at_level(logging.INFO, "transforms"):
        gateway.status = status
        found, record = _commit(workspace, target, Held(Ledger(0, (), {}), (), True), tallies, push_metrics=gateway.url)
    assert (found, record["exit_code"], workspace.read_record("run-1")) == (code, code, record)
    told = {one.getMessage().partition(" run_id=")[0].partition(" url=")[0]: one.levelname for one in caplog.records}
    failed = {"metrics not pushed": "WARNING"} if status == 500 else {}
    assert told == {"run recorded": "ERROR" if code else "INFO", **failed}
    pushed = gateway.groups.get(GROUP, {})
    assert pushed.get(("corpus_embed_run_exit_code", "")) == (code if status == 200 else None)
    assert pushed.get(("corpus_embed_documents", '{outcome="read"}')) == (2 if status == 200 else None)


@pytest.mark.parametrize(("wanted", "written"), [("full", True), ("no-texts", True), ("none", False)])
def test_a_report_lies_beside_the_record_if_one_is_wanted(
    workspace: Workspace, target: Target, wanted: str, *, written: bool
) -> None:
    tallies: list[Tally] = [*READ, {"partition.lang_de": 1}]
    _commit(workspace, target, Held(Ledger(0, (), {}), (), True), tallies, report=wanted)
    path = Path(workspace.record_uri("run-1")).with_name("report.html")
    assert path.exists() == written
    if written:
        assert "The run balances" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "error", [OSError("disk full"), ValueError("a defect"), KeyError("a defect"), ZeroDivisionError()]
)
def test_a_report_that_cannot_be_made_is_told_and_harms_nothing(
    workspace: Workspace,
    target: Target,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def fail(*arguments: Any, **settings: Any) -> str:
        raise error

    monkeypatch.setattr("transforms.commit.write_report", fail)
    tallies: list[Tally] = [*READ, {"partition.lang_de": 1}]
    code, record = _commit(workspace, target, Held(Ledger(0, (), {}), (), True), tallies, report="full")
    assert (code, record["ledger"]) == (0, 1)
    assert workspace.latest_ledger().number == 1
    (told,) = [one.getMessage() for one in caplog.records if "report not written" in one.getMessage()]
    assert type(error).__name__ in told
