"""ReconcileLedger."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest

from tests.transforms.logic.test_notices import notices_of
from tests.transforms.verbs import SPACE, Outcome, Row, run_verb
from transforms.adapters.lease import Claim, leased
from transforms.adapters.ledger_buckets import document_bucket_count
from transforms.adapters.workspace import Held, Ledger, Workspace, read_intents
from transforms.group import Keyed
from transforms.logic.checksum import HELD, WANTED, checksum
from transforms.logic.errors import TransientError
from transforms.logic.identity import chunk_id, digest
from transforms.logic.mirroring import mirror
from transforms.logic.records import Place, reject
from transforms.logic.schemas import INTENTS, KEPT, LEDGER, POINTERS, Origin, Reason, batch_of
from transforms.metrics import ByProducts, rejected, with_by_products
from transforms.reconcile import ReconcileLedger

NOTHING = Held(Ledger(0, (), {}), (), trusted=True)


def _pointer(document: str, ordinal: int = 0, version: int = 1, **changes: Any) -> Row:
    row = {
        "id": chunk_id(document, ordinal, "lang_en"),
        "document_id": document,
        "document_key": digest(document, version),
        "source": "a.jsonl",
        "position": 0,
        "partition": "lang_en",
        "tokens": 3,
        "row_key": digest(document, ordinal, version),
        "shard": f"shard{version}",
        "row": ordinal,
        "origin": Origin.ENCODED.value,
    }
    return row | changes


def _kept(pointer: Row) -> Row:
    return {name: pointer[name] for name in KEPT.names}


def _held_row(pointer: Row) -> Row:
    return {name: pointer[name] for name in LEDGER.names}


def _workspace(directory: Path) -> Workspace:
    return Workspace(str(directory), SPACE, "c")


def _commit(workspace: Workspace, rows: list[Row]) -> Held:
    part = workspace.write_ledger_part(pa.Table.from_batches([batch_of(rows, LEDGER)]))
    partitions: dict[str, int] = {}
    for row in rows:
        partitions[row["partition"]] = partitions.get(row["partition"], 0) + 1
    workspace.commit_ledger(Ledger(1, (part,), partitions), "run-1")
    return Held(workspace.latest_ledger(), (), trusted=True)


def _notices(workspace: Workspace, held: Held, kept: Sequence[Row], bucket_count: int) -> list[Keyed]:
    parts = [workspace.read_ledger_part(name) for name in held.ledger.parts]
    return notices_of([batch_of(kept, KEPT)], parts, document_bucket_count(held.ledger, bucket_count))


class _Found(beam.PTransform[beam.PCollection[pa.RecordBatch], Any]):
    """Pointers, and notices of what was kept beside them."""

    def __init__(self, reconcile: ReconcileLedger, kept: list[Keyed]) -> None:
        super().__init__()
        self._reconcile = reconcile
        self._kept = kept

    def expand(self, batches: beam.PCollection[pa.RecordBatch]) -> Any:
        kept = batches.pipeline | "Kept" >> beam.Create(self._kept, reshuffle=False).with_output_types(Keyed)
        return {"pointers": batches, "kept": kept} | "Reconcile" >> self._reconcile


def _reconcile(
    workspace: Workspace, held: Held, pointers: list[Row], bucket_count: int = 4, kept: Sequence[Row] = ()
) -> Outcome:
    batches = [batch_of(pointers[start::3], POINTERS) for start in range(3)]
    notices = _notices(workspace, held, kept, bucket_count)
    return run_verb(
        lambda by_products: _Found(ReconcileLedger(workspace, held, bucket_count, by_products), notices),
        [one for one in batches if one.num_rows],
    )


class _Reject(beam.DoFn):
    """Gives what it gets, and rejects of its own, as the verbs before do."""

    def __init__(self, rejects: list[Row]) -> None:
        self._rejects = rejects

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        yield batch
        yield from rejected(self._rejects)


class _Mirror(beam.PTransform[beam.PCollection[pa.RecordBatch], Any]):
    """ReconcileLedger of a run that mirrors its source."""

    def __init__(
        self,
        reconcile: Callable[[ByProducts], ReconcileLedger],
        rejects: list[Row],
        notices: list[Keyed],
        kept: ByProducts,
    ) -> None:
        super().__init__()
        self._reconcile = reconcile
        self._rejects = rejects
        self._notices = notices
        self._kept = kept

    def expand(self, pointers: beam.PCollection[pa.RecordBatch]) -> Any:
        read = self._kept.take(pointers | "Reject" >> with_by_products(_Reject(self._rejects)))
        return read | "Found" >> _Found(self._reconcile(self._kept), self._notices)


def _mirror(
    workspace: Workspace,
    held: Held,
    pointers: list[Row],
    rejects: list[Row],
    max_delete_fraction: float,
    kept: Sequence[Row] = (),
) -> Outcome:
    notices = _notices(workspace, held, kept, 4)

    def make(kept: ByProducts) -> _Mirror:
        return _Mirror(
            lambda by_products: ReconcileLedger(workspace, held, 4, by_products, max_delete_fraction),
            rejects,
            notices,
            kept,
        )

    return run_verb(make, [batch_of(pointers, POINTERS)])


def _ids(batches: list[pa.RecordBatch]) -> list[str]:
    return sorted(identity for batch in batches for identity in batch.column("id").to_pylist())


def _parts(workspace: Workspace, outcome: Outcome) -> list[Row]:
    rows = [row for name in outcome.outputs["parts"] for row in workspace.read_ledger_part(name).to_pylist()]
    return sorted(rows, key=lambda row: str(row["id"]))


@pytest.mark.parametrize("bucket_count", [1, 4, 32])
def test_first_run_writes_everything_and_holds_it(tmp_path: Path, bucket_count: int) -> None:
    workspace = _workspace(tmp_path)
    pointers = [_pointer(f"d{number}", ordinal) for number in range(9) for ordinal in range(2)]
    outcome = _reconcile(workspace, NOTHING, pointers, bucket_count)
    assert _ids(outcome.outputs["writes"]) == sorted(row["id"] for row in pointers)
    assert all(batch.schema.equals(LEDGER) for batch in outcome.outputs["writes"])
    assert outcome.outputs["deletes"] == []
    assert _parts(workspace, outcome) == sorted(map(_held_row, pointers), key=lambda row: str(row["id"]))
    assert outcome.counts == {
        "documents.embedded": 9,
        "chunks.reconciled": 18,
        "rows.produced": 18,
        "rows.held": 18,
        "rows.to_write": 18,
        "partition.lang_en": 18,
    }
    assert outcome.checksum(HELD) == outcome.checksum(WANTED) == checksum(pointers)


def test_what_changes_is_written_down_before_milvus_sees_it(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path)
    held = _commit(
        workspace, [_held_row(_pointer("same")), _held_row(_pointer("edited")), _held_row(_pointer("short", 1))]
    )
    now = [_pointer("same", origin="stored"), _pointer("edited", version=2), _pointer("short", 0)]
    outcome = _reconcile(workspace, held, now)
    uris = workspace.unsettled_intents(held.ledger)
    intents = [row for uri in uris for row in read_intents(uri).to_pylist()]
    assert all("/00000002/" in uri for uri in uris)
    changed = _ids(outcome.outputs["writes"]) + _ids(outcome.outputs["deletes"])
    assert sorted(row["id"] for row in intents) == sorted(changed)
    assert _ids(outcome.outputs["writes"]) == sorted(
        [chunk_id("edited", 0, "lang_en"), chunk_id("short", 0, "lang_en")]
    )
    assert _ids(outcome.outputs["deletes"]) == [chunk_id("short", 1, "lang_en")]
    assert all(batch.schema.equals(INTENTS) for batch in outcome.outputs["deletes"])


def test_no_change_leaves_no_trace_but_the_same_parts(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path)
    pointers = [_pointer(f"d{number}", origin="stored") for number in range(5)]
    first = _reconcile(workspace, NOTHING, pointers)
    held = Held(Ledger(1, tuple(sorted(first.outputs["parts"])), {"lang_en": 5}), (), trusted=True)
    second = _reconcile(workspace, held, pointers)
    assert second.outputs["writes"] == second.outputs["deletes"] == []
    assert sorted(second.outputs["parts"]) == sorted(first.outputs["parts"])
    assert workspace.unsettled_intents(held.ledger) == []
    assert second.counts["documents.unchanged"] == 5


def test_documents_that_skipped_the_pipeline_keep_their_rows_and_their_parts(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path)
    rows = [_pointer(f"d{number}", ordinal) for number in range(5) for ordinal in range(3)]
    first = _reconcile(workspace, NOTHING, rows)
    held = Held(Ledger(1, tuple(sorted(first.outputs["parts"])), {"lang_en": 15}), (), trusted=True)

    second = _reconcile(workspace, held, [], kept=[_kept(row) for row in rows[::3]])

    assert second.outputs["writes"] == second.outputs["deletes"] == []
    assert sorted(second.outputs["parts"]) == sorted(first.outputs["parts"])
    assert second.counts == {"documents.unchanged": 5, "rows.held": 15, "partition.lang_en": 15}
    assert second.checksum(HELD) == first.checksum(HELD)


@pytest.mark.parametrize("bucket_count", [1, 2, 3, 64])
def test_a_ledger_may_be_cut_into_other_buckets(tmp_path: Path, bucket_count: int) -> None:
    workspace = _workspace(tmp_path)
    rows = [_pointer(f"d{number}", ordinal) for number in range(20) for ordinal in range(2)]
    first = _reconcile(workspace, NOTHING, rows, bucket_count=5)
    held = Held(Ledger(1, tuple(sorted(first.outputs["parts"])), {"lang_en": 40}), (), trusted=True)
    edited = [_pointer("d7", ordinal, version=2) for ordinal in range(2)]

    second = _reconcile(
        workspace, held, edited, bucket_count, [_kept(row) for row in rows[::2] if row["document_id"] != "d7"]
    )

    assert _parts(workspace, second) == sorted(
        map(_held_row, [*(row for row in rows if row["document_id"] != "d7"), *edited]), key=lambda row: str(row["id"])
    )
    assert _ids(second.outputs["writes"]) == sorted(row["id"] for row in edited)
    assert second.counts["documents.unchanged"] == 19


def test_a_kept_document_whose_rows_are_in_doubt_is_written_again(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path)
    row = _pointer("d")
    ledger = _commit(workspace, [_held_row(row)]).ledger
    outcome = _reconcile(workspace, Held(ledger, (), trusted=False), [], kept=[_kept(row)])
    assert _ids(outcome.outputs["writes"]) == [row["id"]]
    assert outcome.counts["documents.reused"] == 1


def test_a_kept_document_is_not_gone_from_its_source(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path)
    rows = [_pointer(f"d{number}") for number in range(4)]
    held = _commit(workspace, [_held_row(row) for row in rows])
    result = _mirror(workspace, held, [rows[0]], [], 0.25, kept=[_kept(row) for row in rows[1:3]])
    assert _ids(result.outputs["deletes"]) == [rows[3]["id"]]
    assert result.counts["mirror.held"] == 4


def test_documents_of_other_runs_stay_held(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path)
    held = _commit(workspace, [_held_row(_pointer("elsewhere"))])
    outcome = _reconcile(workspace, held, [_pointer("here")])
    assert _ids(outcome.outputs["writes"]) == [chunk_id("here", 0, "lang_en")]
    assert {row["document_id"] for row in _parts(workspace, outcome)} == {"elsewhere", "here"}


def test_rows_of_a_run_that_never_committed_are_settled(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path)
    lost, again = _pointer("lost"), _pointer("again", origin="stored")
    intents = [{name: row[name] for name in INTENTS.names} for row in (lost, again)]
    workspace.write_intents(1, pa.Table.from_batches([batch_of(intents, INTENTS)]))
    ledger = workspace.latest_ledger()
    held = Held(ledger, tuple(workspace.unsettled_intents(ledger)), trusted=True)
    outcome = _reconcile(workspace, held, [again])
    assert _ids(outcome.outputs["deletes"]) == [lost["id"]]
    assert _ids(outcome.outputs["writes"]) == [again["id"]]


def test_every_held_row_is_written_again_to_a_collection_that_lost_some(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path)
    rows = [_held_row(_pointer(f"d{number}")) for number in range(6)]
    ledger = _commit(workspace, rows).ledger
    outcome = _reconcile(workspace, Held(ledger, (), trusted=False), [_pointer("d0", origin="stored")])
    assert _ids(outcome.outputs["writes"]) == sorted(row["id"] for row in rows)
    assert outcome.outputs["deletes"] == []


def test_the_first_document_of_an_id_stands_and_the_others_are_rejected(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path)
    claims = [
        _pointer("d", source="b.jsonl", position=0, version=3),
        _pointer("d", source="a.jsonl", position=90, version=2),
        _pointer("d", source="a.jsonl", position=7, version=1),
        _pointer("d", ordinal=1, source="b.jsonl", position=0, version=3),
    ]
    for order in (claims, claims[::-1]):
        outcome = _reconcile(workspace, NOTHING, order)
        (written,) = [row for batch in outcome.outputs["writes"] for row in batch.to_pylist()]
        assert written["shard"] == "shard1"
        assert sorted((one["source"], one["locator"], one["reason"], one["stage"]) for one in outcome.rejects) == [
            ("a.jsonl", "position 90", "duplicate_id", "reconcile"),
            ("b.jsonl", "position 0", "duplicate_id", "reconcile"),
        ]
        assert outcome.counts["chunks.reconciled"] == 4
        assert outcome.counts["documents.embedded"] == 1


def _rejected(document: str | None, *, file: bool = False) -> Row:
    place = "a.jsonl" if file else Place("a.jsonl", 0, "byte")
    return reject("read", Reason.UNREADABLE_FILE if file else Reason.EMPTY_TEXT, place, "", document_id=document)


@pytest.mark.parametrize(
    ("rejects", "fraction", "outcome"),
    [
        ([], 0.2, "deleted"),
        ([], 0.19, "over the limit"),
        ([], 0, "over the limit"),
        ([_rejected("d8")], 0.1, "deleted"),
        ([_rejected("d8"), _rejected("d9")], 0, "deleted"),
        ([_rejected("d3")], 0.2, "deleted"),
        ([_rejected(None)], 1, "source not whole"),
        ([_rejected(None, file=True)], 1, "source not whole"),
        ([_rejected("d8"), _rejected("d9"), _rejected(None)], 1, "deleted"),
    ],
)
def test_what_is_gone_from_a_whole_source_is_deleted_within_the_limit(
    tmp_path: Path, rejects: list[Row], fraction: float, outcome: str
) -> None:
    """Of ten held documents two are not produced; which of them are gone, rejects may tell."""
    workspace = _workspace(tmp_path)
    everything = [_pointer(f"d{number}", ordinal, origin="stored") for number in range(10) for ordinal in range(3)]
    held = _commit(workspace, [_held_row(row) for row in everything])
    read = [row for row in everything if row["document_id"] not in {"d8", "d9"}]
    there = {row["document_id"] for row in rejects}
    gone = {"d8", "d9"} - there

    result = _mirror(workspace, held, read, rejects, fraction)

    mirrored = mirror(result.counts, fraction)
    assert (mirrored.held, mirrored.gone, mirrored.outcome) == (10, len(gone), outcome)
    deleted = [row for row in everything if outcome == "deleted" and row["document_id"] in gone]
    assert _ids(result.outputs["deletes"]) == sorted(row["id"] for row in deleted)
    stays = [row for row in everything if row not in deleted]
    assert [row["id"] for row in _parts(workspace, result)] == sorted(row["id"] for row in stays)
    assert result.checksum(HELD) == checksum(stays)
    assert result.counts.get("rows.to_delete", 0) == len(deleted)
    assert _ids(result.outputs["writes"]) == []


def test_a_run_that_was_taken_over_writes_no_intents(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path)
    with leased(workspace.lease, "run-1") as claim:
        late = Claim(claim.directory, claim.epoch - 1)
        with pytest.raises(TransientError, match=r"run run-1 .* took over the lease"):
            _reconcile(workspace, replace(NOTHING, claim=late), [_pointer("d0")])
        assert workspace.unsettled_intents(NOTHING.ledger) == []
        _reconcile(workspace, replace(NOTHING, claim=claim), [_pointer("d0")])
    assert len(workspace.unsettled_intents(NOTHING.ledger)) == 1
