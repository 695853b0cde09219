"""StoreVectors and LoadRows: what was stored is what is read back."""

from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest

from tests.fakes import outputs_of
from tests.transforms.verbs import SPACE, Outcome, chunks, record, reused, run_verb
from transforms import store
from transforms.adapters.workspace import Workspace
from transforms.logic.identity import buckets_of, key_prefixes
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.schemas import POINTERS, REUSED, Origin, row_schema, with_columns
from transforms.logic.vector_columns import to_columns
from transforms.store import StoreVectors

DIMENSIONS = 4


def _embedded(batch: pa.RecordBatch, outputs: tuple[Output, ...] = ("dense",)) -> pa.RecordBatch:
    """The batch with the outputs of each text."""
    made = outputs_of(batch.column("text").to_pylist(), DIMENSIONS, outputs)
    return with_columns(batch, REUSED, **to_columns(made))


def _bucketed(batch: pa.RecordBatch, bucket_count: int) -> list[pa.RecordBatch]:
    buckets = buckets_of(key_prefixes(batch.column("content_key")), bucket_count)
    return [batch.filter(pa.array(buckets == bucket)) for bucket in sorted(set(buckets.tolist()))]


class _Store(beam.PTransform[beam.PCollection[pa.RecordBatch], beam.PCollection[pa.RecordBatch]]):
    """StoreVectors over two sources: batches with an even and with an odd number of rows."""

    def __init__(self, verb: StoreVectors) -> None:
        super().__init__()
        self._verb = verb

    def expand(self, chunks: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[pa.RecordBatch]:
        evens, odds = (
            chunks | name >> beam.Filter(_is_of_half, half).with_output_types(pa.RecordBatch)
            for half, name in enumerate(("Evens", "Odds"))
        )
        return {"evens": evens, "odds": odds} | "Store" >> self._verb


def _is_of_half(batch: pa.RecordBatch, half: int) -> bool:
    return bool(batch.num_rows % 2 == half)


def _store(
    workspace: Workspace,
    batches: list[pa.RecordBatch],
    bucket_count: int,
    outputs: tuple[Output, ...] = ("dense",),
) -> Outcome:
    return run_verb(lambda kept: _Store(StoreVectors(workspace, DIMENSIONS, bucket_count, kept, outputs)), batches)


@pytest.mark.parametrize("outputs", [("dense",), ("sparse",), ("dense", "multi"), OUTPUTS])
def test_pointers_lead_to_the_rows_they_name(tmp_path: Path, outputs: tuple[Output, ...]) -> None:
    workspace = Workspace(str(tmp_path), SPACE, "c")
    batch = _embedded(reused([chunks(*(record(f"d{number}", f"text {number}") for number in range(40)))]), outputs)
    outcome = _store(workspace, _bucketed(batch, 4), 4, outputs)
    assert all(part.schema.equals(POINTERS) for part in outcome.main)
    expected = {row["id"]: row for row in batch.to_pylist()}
    assert {row["id"] for row in outcome.rows} == set(expected)
    for pointer in outcome.rows:
        row = workspace.read_shard(pointer["shard"], rows=np.array([pointer["row"]])).to_pylist()[0]
        assert row == {name: expected[pointer["id"]][name] for name in row_schema(DIMENSIONS, outputs).names}
    shards = workspace.shards()
    for shard in shards:
        assert workspace.read_shard(shard.name).schema.equals(row_schema(DIMENSIONS, outputs))
    assert outcome.counts == {"rows.stored": 40, "shards.written": len(shards)}
    # A shard never mixes buckets, so that a bucket opens only its own shards.
    assert len(shards) == len(_bucketed(batch, 4))
    for shard in shards:
        assert (shard.first * 4) >> 32 == (shard.last * 4) >> 32


def test_storing_the_same_rows_again_leaves_one_shard(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), SPACE, "c")
    batch = _embedded(reused([chunks(record("a", "text"), record("b", "other"))]))
    first, second = (_store(workspace, [batch], 1) for _ in range(2))
    assert first.rows == second.rows
    assert len(workspace.shards()) == 1


def test_stored_and_rejected_rows_pass_without_being_written(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), SPACE, "c")
    batch = reused([chunks(record("a", "text"), record("b", "other"))])
    settled = with_columns(
        batch,
        REUSED,
        origin=pa.array([Origin.STORED.value, Origin.REJECTED.value]),
        shard=pa.array(["an older shard", None], pa.string()),
        row=pa.array([7, None], pa.int32()),
    )
    outcome = _store(workspace, [settled], 1)
    assert [(row["origin"], row["shard"], row["row"]) for row in outcome.rows] == [
        (Origin.STORED, "an older shard", 7),
        (Origin.REJECTED, None, None),
    ]
    assert workspace.shards() == []
    assert outcome.counts == {}


def test_a_full_shard_is_written_before_more_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_SHARD_BYTES", 1)
    workspace = Workspace(str(tmp_path), SPACE, "c")
    batch = _embedded(reused([chunks(*(record(f"d{number}", f"text {number}") for number in range(6)))]))
    outcome = _store(workspace, [batch.slice(start, 2) for start in (0, 2, 4)], 1)
    assert outcome.counts == {"rows.stored": 6, "shards.written": 3}
    assert {row["document_id"] for row in outcome.rows} == {f"d{number}" for number in range(6)}


def test_groups_of_one_bucket_that_follow_each_other_make_one_shard_in_order(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), SPACE, "c")
    batch = _embedded(reused([chunks(*(record(f"d{number}", f"text {number}") for number in range(20)))]))
    outcome = _store(workspace, [batch.slice(10, 10), batch.slice(0, 10)], 1)
    (shard,) = workspace.shards()
    prefixes = key_prefixes(batch.column("content_key"))
    assert (shard.first, shard.last) == (int(prefixes.min()), int(prefixes.max()))
    stored = workspace.read_shard(shard.name).to_pylist()
    assert [row["content_key"] for row in stored] == sorted(row["content_key"] for row in stored)
    vectors = {row["id"]: row["vector"] for row in batch.to_pylist()}
    for pointer in outcome.rows:
        row = stored[pointer["row"]]
        assert (row["id"], row["vector"]) == (pointer["id"], vectors[pointer["id"]])
