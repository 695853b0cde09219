"""A corpus and its next edition, run to the end or killed on the way, and what is compared afterwards."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.pipelines.faults.forking import Forker
from tests.pipelines.jobs import Job, document, story
from transforms.adapters.workspace import Workspace

Row = dict[str, Any]
ENDED_WITH_REJECTS = 3

FIRST: Sequence[Row | bytes] = [
    document("stays", story("stays", 4)),
    document("edited", story("edited", 6)),
    document("shrunken", story("shrunken", 10)),
    document("moved", story("moved", 3)),
    document("dated", story("dated", 2)),
    document("copy", story("stays", 4), lang="de"),
    b"{ no record",
]
NEXT: Sequence[Row | bytes] = [
    document("stays", story("stays", 4)),
    document("edited", story("edit", 8)),
    document("shrunken", story("shrunken", 3)),
    document("moved", story("moved", 3), lang="de"),
    {**document("dated", story("dated", 2)), "date": "2026-04-01"},
    document("copy", story("stays", 4), lang="de"),
    *(document(f"new{number}", story(f"new{number}", 4), lang=("fr", "th")[number % 2]) for number in range(8)),
    b"{ no record",
    b"{ another",
]
"""Unchanged, edited, shrunken, moved to another partition, changed in its metadata alone, new, and rejected."""


@dataclass(frozen=True)
class State:
    """What a run leaves: Milvus's rows by id, row keys by id as the ledger has them, and the rejects that the record names."""

    rows: dict[str, Row]
    row_keys: dict[str, bytes]
    rejects: list[Row]


@dataclass
class Scene:
    """A job in a place that is put back to how it was: paths are part of rows, so it is always the same place."""

    job: Job
    forker: Forker
    kept: Path

    def flags(self, **changes: Any) -> list[str]:
        return ["run", *self.job.flags(**changes), "--runner=FnApiRunner"]

    def keep(self) -> None:
        """Keeps the place as it is."""
        shutil.rmtree(self.kept, ignore_errors=True)
        shutil.copytree(self.job.home, self.kept)

    def put_back(self) -> None:
        """Makes the place what it was when it was kept."""
        shutil.rmtree(self.job.home)
        shutil.copytree(self.kept, self.job.home)
        self.forker.encoded()

    def finish(self) -> None:
        """Runs to the end."""
        ended = self.forker.run(self.flags())
        assert ended.status == ENDED_WITH_REJECTS, ended.output

    def stored(self) -> set[str]:
        """Texts whose vectors a shard holds; every shard is whole, since it has its name only then."""
        shards = self.job.workspace.glob("dataset/*/[!.]*.parquet")
        return {text for path in shards for text in pq.read_table(path, columns=["text"])["text"].to_pylist()}

    def state(self) -> State:
        """What the last run left; each row once, in Milvus as in the ledger."""
        rows = self.job.rows()
        (ledgers,) = (self.job.workspace / "ledger").iterdir()
        workspace = Workspace(str(self.job.workspace), "", ledgers.name)
        ledger = workspace.latest_ledger()
        held = [row for part in ledger.parts for row in workspace.read_ledger_part(part).to_pylist()]
        row_keys = {row["id"]: row["row_key"] for row in held}
        assert len(row_keys) == len(held) == ledger.rows
        assert workspace.unsettled_intents(ledger) == []
        records = [json.loads(path.read_bytes()) for path in self.job.workspace.glob("runs/*/run.json")]
        last = max(records, key=lambda record: record["ledger"])
        assert last["ledger"] == ledger.number
        assert last["differences"] == []
        return State(rows, row_keys, self.job.rejects(last))

    def check_nothing_was_encoded_twice(self, stored: set[str], encoded: Sequence[str]) -> None:
        """No text whose vector a shard held before was encoded, and none twice."""
        assert not stored.intersection(encoded)
        assert len(encoded) == len(set(encoded))
