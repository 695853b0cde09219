"""ReadHeldRows."""

from functools import partial
from pathlib import Path

import pyarrow as pa

from tests.transforms.adapters.kept import commit, stored
from tests.transforms.verbs import run_verb
from transforms.adapters.workspace import Workspace
from transforms.held import ReadHeldRows, pointers_of
from transforms.logic.schemas import LEDGER, POINTERS, Origin


def test_what_a_ledger_holds_comes_as_if_it_had_just_been_stored(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), "space", "c")
    rows = [
        {**row, "document_id": f"document {number // 3}"} for number, row in enumerate(stored(workspace, range(12)))
    ]
    # All rows of a document lie in one part.
    ledgers = [commit(workspace, rows[:6]), commit(workspace, rows[6:])]
    outcome = run_verb(partial(ReadHeldRows, workspace), [part for ledger in ledgers for part in ledger.parts])
    assert sorted(outcome.rows, key=lambda row: row["row"]) == [
        {**row, "position": 0, "tokens": 0, "origin": Origin.STORED} for row in rows
    ]
    assert outcome.counts == {"splits.read": 2, "documents.read": 4, "chunks.split": 12, "chunks.looked_up": 12}
    assert outcome.rejects == []


def test_of_nothing_comes_nothing() -> None:
    assert pointers_of(pa.Table.from_batches([], LEDGER)) == POINTERS.empty_table()
