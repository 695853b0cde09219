"""ReuseVectors."""

from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from tests.fakes import outputs_of
from tests.transforms.logic.chunks import with_vectors
from tests.transforms.verbs import SPACE, chunks, record, run_verb
from transforms import reuse
from transforms.adapters.workspace import Workspace
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.rows import stored_rows
from transforms.logic.schemas import CHUNKS, REUSED, Origin
from transforms.logic.vector_columns import VECTORS, to_columns
from transforms.reuse import ReuseVectors

DIMENSIONS = 4


@pytest.mark.parametrize(("bucket_count", "outputs"), [(1, ("dense",)), (16, ("sparse",)), (1, OUTPUTS), (16, OUTPUTS)])
def test_chunks_meet_what_the_dataset_knows_of_them(
    tmp_path: Path, bucket_count: int, outputs: tuple[Output, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reuse, "_MULTI_BLOCK_ROWS", 1)
    workspace = Workspace(str(tmp_path), SPACE, "c")
    before = [record("stored", "a stored text"), record("retitled", "a known text", metadata='{"title": "old"}')]
    stored = pa.Table.from_batches([chunks(*before)]).sort_by("content_key")
    shard = workspace.write_shard(
        stored_rows(
            with_vectors(stored, outputs_of(stored.column("text").to_pylist(), DIMENSIONS)), DIMENSIONS, outputs
        )
    )
    known = {
        name: column[0].as_py()
        for name, column in to_columns(outputs_of(["a known text"], DIMENSIONS, outputs)).items()
    }
    nothing = dict.fromkeys(VECTORS.names)

    now = [before[0], record("retitled", "a known text", metadata='{"title": "new"}')]
    now += [record("new", "a new text"), record("copy of new", "a new text", position=3)]
    make = partial(ReuseVectors, workspace, workspace.shards(), bucket_count, outputs=outputs)
    outcome = run_verb(make, [chunks(row) for row in now])
    assert all(batch.schema.equals(REUSED) for batch in outcome.outputs["chunks"])
    found = outcome.rows_of("chunks")
    rows = {row["document_id"]: row for row in found}
    assert {name: row["origin"] for name, row in rows.items()} == {
        "stored": Origin.STORED,
        "retitled": Origin.REUSED,
        "new": Origin.ENCODED,
        "copy of new": Origin.REUSED,
    }
    place = stored.column("document_id").to_pylist().index("stored")
    assert (rows["stored"]["shard"], rows["stored"]["row"]) == (shard, place)
    vectors = {name: {column: row[column] for column in VECTORS.names} for name, row in rows.items()}
    assert vectors["retitled"] == nothing | known
    assert vectors["stored"] == vectors["new"] == vectors["copy of new"] == nothing
    # Only the first new chunk has to be encoded.
    tokens = sum(row["tokens"] for row in found) - rows["new"]["tokens"]
    assert outcome.counts == {"chunks.looked_up": 4, "chunks.duplicates": 1, "tokens.spared": tokens}
    assert outcome.outputs["repeats"] == []
    # The copy that waits for a vector follows the chunk that gets one.
    order = [row["document_id"] for row in found if row["text"] == "a new text"]
    assert order == ["new", "copy of new"]


def test_an_empty_dataset_knows_nothing(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), SPACE, "c")
    outcome = run_verb(partial(ReuseVectors, workspace, [], 4), [chunks(record("a", "one"), record("b", "two"))])
    assert {row["origin"] for row in outcome.rows_of("chunks")} == {Origin.ENCODED}


def test_of_a_content_that_comes_too_often_the_bucket_gets_one(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), SPACE, "c")
    rows = [record(f"d{number}", "a footer", position=number) for number in range(100)]
    make = partial(ReuseVectors, workspace, [], 4)
    outcome = run_verb(make, [chunks(*rows[50:], record("other", "another text")), chunks(*rows[:50])])
    assert {row["document_id"]: row["origin"] for row in outcome.rows_of("chunks")} == {
        "d0": Origin.ENCODED,
        "other": Origin.ENCODED,
    }
    repeats = [row for _, batch in outcome.outputs["repeats"] for row in batch.to_pylist()]
    assert all(batch.schema.equals(CHUNKS) for _, batch in outcome.outputs["repeats"])
    assert {row["document_id"] for row in repeats} == {f"d{number}" for number in range(1, 100)}
    assert len(repeats) == 99
    assert outcome.counts == {"chunks.looked_up": 2}
