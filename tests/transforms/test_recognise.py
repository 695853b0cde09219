"""RecogniseDocuments."""

from functools import partial
from pathlib import Path

import pyarrow as pa

from tests.transforms.logic.test_recognition import key_of, ledger_row
from tests.transforms.verbs import SPACE, Outcome, Row, record, records, run_verb
from transforms.adapters.workspace import Workspace
from transforms.logic.schemas import KEPT, LEDGER, RECOGNISED, batch_of
from transforms.recognise import RecogniseDocuments

RECIPE = "recipe"


def _recognise(directory: Path, held: list[Row], read: list[Row]) -> Outcome:
    """Parts of two documents each, batches of three."""
    workspace = Workspace(str(directory), SPACE, "c")
    rows = [{**ledger_row(row["source"], key_of(row, RECIPE)), "document_id": row["document_id"]} for row in held]
    parts = tuple(
        workspace.write_ledger_part(pa.Table.from_batches([batch_of(rows[start : start + 2], LEDGER)]))
        for start in range(0, len(rows), 2)
    )
    batches = [records(*read[start : start + 3]) for start in range(0, len(read), 3)]
    return run_verb(partial(RecogniseDocuments, workspace, parts, RECIPE), batches)


def test_documents_are_parted_by_whether_the_ledger_knows_them_as_they_are(tmp_path: Path) -> None:
    held = [
        record(f"d{number}", f"text {number}", source=f"{number % 3}.jsonl", position=number) for number in range(7)
    ]
    pushed = [{**row, "position": row["position"] + 100} for row in held]
    read = [
        *pushed[:3],
        {**pushed[3], "text": "edited"},
        {**pushed[4], "source": "moved.jsonl"},
        record("new", "text 5"),
    ]

    outcome = _recognise(tmp_path, held, read)

    assert [row["document_id"] for row in outcome.rows_of("changed")] == ["d3", "d4", "new"]
    assert all(batch.schema.equals(RECOGNISED) for batch in outcome.outputs["changed"])
    assert all(batch.schema.equals(KEPT) for batch in outcome.outputs["kept"])
    assert outcome.rows_of("kept") == [
        {
            "document_id": row["document_id"],
            "document_key": key_of(row, RECIPE),
            "source": row["source"],
            "position": row["position"],
        }
        for row in pushed[:3]
    ]
    assert outcome.counts == {"documents.recognised": 3}


def test_without_a_ledger_every_document_is_new(tmp_path: Path) -> None:
    read = [record("d", "text"), record("e", "")]
    outcome = _recognise(tmp_path, [], read)
    assert [row["document_key"] for row in outcome.rows_of("changed")] == [key_of(row, RECIPE) for row in read]
    assert outcome.outputs["kept"] == []
