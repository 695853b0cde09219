"""WriteToMilvus and DeleteFromMilvus, on Milvus Lite."""

import pickle
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.fakes import outputs_of
from tests.transforms.verbs import chunks, record, run_verb
from transforms.adapters.milvus import Collection, CollectionSpace, Query, Target, release, served
from transforms.compress import compress_vectors
from transforms.logic.access import Access
from transforms.logic.checksum import REJECTED, WRITTEN, checksum, combined
from transforms.logic.outputs import Output
from transforms.logic.record import rejected_rows
from transforms.logic.representations import Representation
from transforms.logic.rows import stored_rows
from transforms.logic.schemas import INTENTS, batch_of
from transforms.logic.vector_columns import to_columns
from transforms.write import DeleteFromMilvus, WriteToMilvus, Writing, _UpsertFn

DIMENSIONS = 4
FIELDS = ("document_id", "text", "language", "metadata")
SPACE = CollectionSpace("space", "m", None, "float32", "", DIMENSIONS, "float32", "language")
BOTH: tuple[Output, ...] = ("dense", "sparse")


def _target(path: str, space: CollectionSpace) -> Target:
    found = served(Target(path, "c"))
    collection = Collection(found)
    collection.create(space)
    collection.close()
    return found


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    """An empty collection."""
    path = str(tmp_path / "milvus.db")
    yield _target(path, SPACE)
    release(path)


def _rows(count: int, outputs: tuple[Output, ...] = ("dense",)) -> pa.RecordBatch:
    languages = ("en", "de", "fr")
    rows = [record(f"d{n}", f"text {n}", declared_language=languages[n % 3], metadata='{"n": 1}') for n in range(count)]
    table = pa.Table.from_batches([chunks(*rows)])
    made = to_columns(outputs_of(table.column("text").to_pylist(), DIMENSIONS, outputs))
    for name, column in made.items():
        table = table.append_column(name, column)
    return compress_vectors(
        stored_rows(table, DIMENSIONS, outputs).to_batches()[0], Representation("float32", DIMENSIONS)
    )


def _counts(target: Target) -> Mapping[str, int]:
    collection = Collection(target)
    try:
        return collection.counts()
    finally:
        collection.close()


def test_rows_land_in_their_own_partitions_and_writing_again_changes_nothing(target: Target) -> None:
    batch = _rows(12)
    for _ in range(2):
        outcome = run_verb(partial(WriteToMilvus, target), [batch.slice(0, 5), batch.slice(5)])
        assert outcome.counts == {"rows.written": 12}
        assert outcome.checksum(WRITTEN) == checksum(batch.to_pylist())
        assert _counts(target) == {"lang_de": 4, "lang_en": 4, "lang_fr": 4}
    collection = Collection(target)
    try:
        for row in batch.to_pylist():
            query = Query(np.array(row["dense"], np.float32), partitions=[row["partition"]])
            (hit,) = collection.search(query, 1, FIELDS)
            assert hit["id"] == row["id"]
            assert hit["score"] == pytest.approx(1, abs=1e-5)
            assert hit["metadata"] == {"n": 1}
            assert (hit["document_id"], hit["text"]) == (row["document_id"], row["text"])
    finally:
        collection.close()


def test_sparse_weights_are_written_beside_dense_vectors(tmp_path: Path) -> None:
    path = str(tmp_path / "milvus.db")
    found = _target(path, CollectionSpace(**{**vars(SPACE), "outputs": BOTH, "milvus_outputs": BOTH}))
    batch = _rows(6, BOTH)
    # A slice has offsets of its own.
    run_verb(lambda kept: WriteToMilvus(found, kept, BOTH), [batch.slice(0, 2), batch.slice(2)])
    collection = Collection(found)
    try:
        for row in batch.to_pylist():
            weights = dict(zip(row["sparse"]["indices"], row["sparse"]["values"], strict=True))
            own = [hit for hit in collection.search(Query(sparse=weights), 6, ["id"]) if hit["id"] == row["id"]]
            assert own[0]["score"] == pytest.approx(sum(float(weight) ** 2 for weight in weights.values()), rel=1e-5)
    finally:
        collection.close()
        release(path)


def test_named_rows_are_deleted_from_their_partition_and_no_others(target: Target) -> None:
    batch = _rows(9)
    run_verb(partial(WriteToMilvus, target), [batch])
    gone = [{name: row[name] for name in INTENTS.names} for row in batch.to_pylist()[:4]]
    absent = {"id": "0" * 32, "document_id": "never", "partition": "lang_nowhere"}
    for _ in range(2):
        outcome = run_verb(partial(DeleteFromMilvus, target), [batch_of([*gone, absent], INTENTS)])
        assert outcome.counts == {"rows.deleted": 5}
        assert _counts(target) == {"lang_de": 2, "lang_en": 1, "lang_fr": 2}


def test_building_the_step_connects_to_nothing() -> None:
    function = _UpsertFn(Target("http://127.0.0.1:9", "c", Access("env:NO_SUCH_VARIABLE")))
    again = pickle.loads(pickle.dumps(function))
    assert again._borrowed is None
    again.teardown()


def test_rows_that_cannot_be_held_are_rejected_and_deleted(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = _rows(12)
    run_verb(partial(WriteToMilvus, target), [batch])
    monkeypatch.setattr(Collection, "max_bytes", lambda _: {"text": 6})
    outcome = run_verb(partial(WriteToMilvus, target), [batch.slice(0, 4), batch.slice(4)])
    # `text 10` and `text 11` have 7 bytes.
    assert outcome.counts["rows.written"] == 10
    assert outcome.counts["rows.rejected"] == 2
    rejected = [row for row in batch.to_pylist() if row["document_id"] in {"d10", "d11"}]
    assert rejected_rows(outcome.counts) == {row["id"]: row["partition"] for row in rejected}
    assert outcome.checksum(REJECTED) == checksum(rejected)
    assert combined([outcome.checksum(WRITTEN), outcome.checksum(REJECTED)]) == checksum(batch.to_pylist())
    assert _counts(target) == {"lang_de": 3, "lang_en": 4, "lang_fr": 3}
    described = [(row["document_id"], row["reason"], row["level"], row["locator"]) for row in outcome.rejects]
    assert sorted(described) == [("d10", "too_large", "chunk", "chunk 0"), ("d11", "too_large", "chunk", "chunk 0")]


def test_columns_write_what_rows_write(target: Target) -> None:
    batch = _rows(12)
    outcome = run_verb(
        lambda kept: WriteToMilvus(target, kept, writing=Writing("columns", 1)), [batch.slice(0, 5), batch.slice(5)]
    )
    assert outcome.counts == {"rows.written": 12}
    assert _counts(target) == {"lang_de": 4, "lang_en": 4, "lang_fr": 4}
