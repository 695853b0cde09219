"""RecogniseDocuments."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from tests.transforms.logic.test_recognition import key_of, ledger_row
from tests.transforms.verbs import SPACE, Outcome, Row, record, records, run_verb
from transforms import recognise
from transforms.adapters.ledger_buckets import LedgerBuckets
from transforms.adapters.workspace import Held, Ledger, Workspace
from transforms.logic.identity import buckets_of, text_prefixes
from transforms.logic.notices import kept_documents
from transforms.logic.recognition import known_by_source
from transforms.logic.schemas import LEDGER, RECOGNISED, batch_of
from transforms.recognise import RecogniseDocuments, _RecogniseFn

RECIPE = "recipe"


BUCKETS = 3


def _recognise(directory: Path, held: list[Row], read: list[Row], *, recheck: bool = False) -> Outcome:
    """Parts of two documents each, batches of three; notices as the documents that they tell of."""
    workspace = Workspace(str(directory), SPACE, "c")
    rows = [{**ledger_row(row["source"], key_of(row, RECIPE)), "document_id": row["document_id"]} for row in held]
    parts = tuple(
        workspace.write_ledger_part(pa.Table.from_batches([batch_of(rows[start : start + 2], LEDGER)]))
        for start in range(0, len(rows), 2)
    )
    ledger = Ledger(1, parts, {"lang_en": len(rows)})
    batches = [records(*read[start : start + 3]) for start in range(0, len(read), 3)]
    make = partial(RecogniseDocuments, workspace, Held(ledger, (), trusted=True), BUCKETS, RECIPE, recheck=recheck)
    outcome = run_verb(lambda kept: make(by_products=kept), batches)
    buckets = LedgerBuckets(workspace, parts)
    outcome.outputs["kept"] = [
        batch
        for number, notices in outcome.outputs["kept"]
        for batch in kept_documents(
            pa.Table.from_batches([notices]), buckets.of_bucket(number, BUCKETS).rows
        ).to_batches()
    ]
    return outcome


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
    assert sorted(outcome.rows_of("kept"), key=lambda row: str(row["document_id"])) == [
        {
            "document_id": row["document_id"],
            "document_key": key_of(row, RECIPE),
            "source": row["source"],
            "position": row["position"],
        }
        for row in pushed[:3]
    ]
    assert outcome.counts == {"documents.recognised": 3}
    again = _recognise(tmp_path, held, read, recheck=True)
    assert len(again.rows_of("changed")) == len(read)
    assert again.outputs["kept"] == []


def test_without_a_ledger_every_document_is_new(tmp_path: Path) -> None:
    read = [record("d", "text"), record("e", "")]
    outcome = _recognise(tmp_path, [], read)
    assert [row["document_key"] for row in outcome.rows_of("changed")] == [key_of(row, RECIPE) for row in read]
    assert outcome.outputs["kept"] == []


class _Bundle:
    """One bundle of documents that a ledger of one part knows."""

    def __init__(self, names: list[str]) -> None:
        rows = [record(name, name) for name in names]
        self.batches = [records(row) for row in rows]
        held = [{**ledger_row("a.jsonl", key_of(row, RECIPE)), "document_id": row["document_id"]} for row in rows]
        part = pa.Table.from_batches([batch_of(held, LEDGER)])
        buckets = buckets_of(text_prefixes(names), BUCKETS)
        self.known = {"a.jsonl": [known_by_source(part, buckets)["a.jsonl"]]}

    def through(self, function: _RecogniseFn) -> Iterator[list[int]]:
        """Of each batch the buckets that are told of something."""
        function.start_bundle()
        for batch in self.batches:
            yield [one.value[0] for one in function.process(batch, self.known) if one.tag == "kept"]


def test_notices_go_when_there_are_enough_and_a_bundle_starts_empty_after_one_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recognise, "_GATHERED_DOCUMENTS_OF_BUCKET", 2)
    function, bundle = _RecogniseFn(RECIPE, BUCKETS), _Bundle([f"d{number}" for number in range(8)])
    for _ in range(2):
        told = list(bundle.through(function))
        assert [bool(buckets) for buckets in told] == [False] * 5 + [True] + [False] * 2
    assert sum(len(one.value.value[1]) for one in function.finish_bundle()) in {1, 2}
    function.start_bundle()
    assert list(function.finish_bundle()) == []
