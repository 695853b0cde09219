"""WriteRejects."""

from functools import partial
from pathlib import Path

import apache_beam as beam
import pyarrow.parquet as pq

from tests.transforms.verbs import SPACE, Row, run_verb
from transforms.adapters.workspace import Workspace
from transforms.logic.records import MAX_REJECTED_TEXT_BYTES, Place, reject
from transforms.logic.schemas import REJECTS, Reason, batch_of
from transforms.metrics import ByProducts
from transforms.reject import WriteRejects


def _make(
    workspace: Workspace, kept: ByProducts, *, keep_text: bool = False
) -> beam.PTransform[beam.PCollection[object], beam.PCollection[str]]:
    return WriteRejects(workspace, "run-1", keep_text=keep_text)


def _rejects() -> list[Row]:
    return [
        reject(
            "read",
            Reason.EMPTY_TEXT,
            Place(f"{source}.jsonl", position, "byte"),
            "nothing visible",
            b"raw",
            f"d{position}",
        )
        for source in "abcdef"
        for position in range(4)
    ]


def test_every_reject_is_kept_once_ordered_by_place(tmp_path: Path) -> None:
    rows = _rejects()
    batches = [batch_of(rows[start::5], REJECTS) for start in range(5)]
    outcome = run_verb(partial(_make, Workspace(str(tmp_path), SPACE, "c")), batches)
    tables = [pq.read_table(uri) for uri in outcome.main]
    assert all(Path(uri).parent == tmp_path / "rejects" / "run-1" for uri in outcome.main)
    assert all(table.schema.equals(REJECTS) for table in tables)
    found = [row for table in tables for row in table.to_pylist()]
    rows = [{**row, "text": None} for row in rows]
    assert sorted(found, key=lambda row: (row["source"], row["locator"])) == rows
    for table in tables:
        places = [(row["source"], row["locator"]) for row in table.to_pylist()]
        assert places == sorted(places)


def test_the_same_rejects_in_another_order_are_the_same_files(tmp_path: Path) -> None:
    rows = _rejects()
    names = []
    for directory, batches in (
        ("one", [batch_of(rows, REJECTS)]),
        ("other", [batch_of(rows[::-1][start::3], REJECTS) for start in range(3)]),
    ):
        outcome = run_verb(partial(_make, Workspace(str(tmp_path / directory), SPACE, "c")), batches)
        names.append(sorted(Path(uri).name for uri in outcome.main))
    assert names[0] == names[1]


def test_no_reject_leaves_no_file(tmp_path: Path) -> None:
    assert run_verb(partial(_make, Workspace(str(tmp_path), SPACE, "c")), []).main == []
    assert list(tmp_path.iterdir()) == []


def test_text_is_kept_for_who_asks_and_for_nobody_else(tmp_path: Path) -> None:
    place = Place("a.jsonl", 0, "byte")
    rows = [
        reject("read", Reason.EMPTY_TEXT, place, "nothing visible", "Ünlesbar".encode()),
        reject("read", Reason.BAD_ENCODING, place, "not UTF-8", b"caf\xe9 ole"),
        reject("read", Reason.TOO_LARGE, place, "too large", b"x" * (MAX_REJECTED_TEXT_BYTES + 1)),
        reject("read", Reason.UNREADABLE_FILE, "b.jsonl", "not a file"),
    ]
    found = {}
    for keep_text in (False, True):
        workspace = Workspace(str(tmp_path / str(keep_text)), SPACE, "c")
        outcome = run_verb(partial(_make, workspace, keep_text=keep_text), [batch_of(rows, REJECTS)])
        tables = [pq.read_table(uri) for uri in outcome.main]
        found[keep_text] = {row["reason"]: row["text"] for table in tables for row in table.to_pylist()}
    assert set(found[False].values()) == {None}
    assert found[True] == {
        "empty_text": "Ünlesbar",
        "bad_encoding": "caf\ufffd ole",
        "too_large": "x" * MAX_REJECTED_TEXT_BYTES,
        "unreadable_file": None,
    }
