"""ShareVectors: repeats get the vector of the one row that was encoded for them."""

from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest

from tests.fakes import FakeEncoder, outputs_of
from tests.transforms.logic.chunks import with_vectors
from tests.transforms.verbs import SPACE, Outcome, Row, chunks, record, reused, run_verb
from transforms import share
from transforms.adapters.workspace import Workspace
from transforms.embed import EmbedChunks
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.rows import stored_rows
from transforms.logic.schemas import REUSED, Origin
from transforms.logic.vector_columns import VECTORS, to_columns
from transforms.metrics import ByProducts
from transforms.share import ShareVectors

DIMENSIONS = 4
FOOTER = "a footer on every page"
asked: list[str] = []


class _CountingEncoder(FakeEncoder):
    def encode(self, texts: Any, token_ids: Any) -> Any:
        asked.extend(texts)
        return super().encode(texts, token_ids)


class _Shared(beam.PTransform[beam.PCollection[Any], beam.PCollection[pa.RecordBatch]]):
    """ShareVectors of repeats, an element (group, rows of `CHUNKS`) each, beside what EmbedChunks makes of `embedded`."""

    def __init__(
        self, workspace: Workspace, embedded: list[pa.RecordBatch], kept: ByProducts, outputs: tuple[Output, ...]
    ) -> None:
        super().__init__()
        self._workspace = workspace
        self._batches = embedded
        self._kept = kept
        self._outputs = outputs

    def expand(self, repeats: beam.PCollection[Any]) -> beam.PCollection[pa.RecordBatch]:
        encoder = partial(_CountingEncoder, DIMENSIONS, "poison", outputs=self._outputs)
        unembedded = repeats.pipeline | "Chunks" >> beam.Create(self._batches, reshuffle=False)
        # Its rejects and tallies are not those of the verb under test.
        embedded = unembedded | "Embed" >> EmbedChunks(encoder, ByProducts(), self._outputs)
        verb = ShareVectors(self._workspace, self._workspace.shards(), embedded, self._kept, self._outputs)
        return repeats | "Share" >> verb


def _share(
    workspace: Workspace,
    first: list[Row],
    repeats: dict[int, list[Row]],
    outputs: tuple[Output, ...] = ("dense",),
) -> Outcome:
    asked.clear()
    embedded = [reused([chunks(*first)])]
    return run_verb(
        lambda kept: _Shared(workspace, embedded, kept, outputs),
        [(group, chunks(*rows)) for group, rows in repeats.items()],
    )


def _vectors(text: str, outputs: tuple[Output, ...] = ("dense",)) -> Row:
    """The vector columns of a text."""
    made = to_columns(outputs_of([text], DIMENSIONS, outputs))
    return {name: made[name][0].as_py() if name in made else None for name in VECTORS.names}


def _vectors_of(row: Row) -> Row:
    return {name: row[name] for name in VECTORS.names}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path), SPACE, "c")


@pytest.mark.parametrize("outputs", [("dense",), ("sparse",), OUTPUTS])
def test_repeats_of_every_group_share_the_vectors_that_were_made_once(
    workspace: Workspace, outputs: tuple[Output, ...]
) -> None:
    first = [record("d0", FOOTER), record("other", "another text"), record("a", "a second footer")]
    repeats = {group: [record(f"d{group}{number}", FOOTER) for number in range(30)] for group in (1, 2, 3)}
    repeats[2] += [record("b", "a second footer"), record("c", "a second footer")]
    outcome = _share(workspace, first, repeats, outputs)
    assert sorted(asked) == sorted([FOOTER, "another text", "a second footer"])
    assert all(batch.schema.equals(REUSED) for batch in outcome.main)
    found = {row["document_id"]: (row["origin"], _vectors_of(row)) for row in outcome.rows}
    names = {row["document_id"]: row["text"] for rows in repeats.values() for row in rows}
    assert found == {name: (Origin.REUSED, _vectors(text, outputs)) for name, text in names.items()}
    tokens = sum(row["tokens"] for row in outcome.rows)
    assert len(outcome.rows) == 92
    assert outcome.counts == {
        "chunks.looked_up": 92,
        "chunks.duplicates": 92,
        "chunks.hot": 92,
        "vectors.reused": 92,
        "tokens.spared": tokens,
    }


def test_repeats_of_a_content_without_a_sound_vector_are_rejected_each(workspace: Workspace) -> None:
    first = [record("d0", "poison"), record("e0", FOOTER)]
    outcome = _share(
        workspace, first, {1: [record("d1", "poison", position=4), record("e1", FOOTER)], 2: [record("d2", "poison")]}
    )
    assert {row["document_id"]: (row["origin"], row["vector"]) for row in outcome.rows} == {
        "d1": (Origin.REJECTED, None),
        "d2": (Origin.REJECTED, None),
        "e1": (Origin.REUSED, _vectors(FOOTER)["vector"]),
    }
    assert {(one["document_id"], one["reason"], one["level"], one["locator"]) for one in outcome.rejects} == {
        ("d1", "bad_vector", "chunk", "position 4"),
        ("d2", "bad_vector", "chunk", "position 0"),
    }
    assert (outcome.counts["rejects.chunk.bad_vector"], outcome.counts["vectors.reused"]) == (2, 1)
    assert {one["detail"] for one in outcome.rejects} == {"chunk 0: it repeats a content that got no sound vector"}
    assert asked.count("poison") == 1


def test_repeats_that_the_dataset_knows_need_no_vector_of_this_run(workspace: Workspace) -> None:
    before = [record("d1", FOOTER), record("d2", FOOTER, metadata='{"title": "old"}')]
    stored = pa.Table.from_batches([chunks(*before)])
    made = outputs_of(stored.column("text").to_pylist(), DIMENSIONS, ["dense"])
    shard = workspace.write_shard(stored_rows(with_vectors(stored, made), DIMENSIONS))
    now = [before[0], record("d2", FOOTER, metadata='{"title": "new"}'), record("d3", FOOTER)]
    outcome = _share(workspace, [record("other", "another text")], {1: now})
    known = _vectors(FOOTER)["vector"]
    assert {row["document_id"]: (row["origin"], row["vector"], row["shard"], row["row"]) for row in outcome.rows} == {
        "d1": (Origin.STORED, None, shard, 0),
        "d2": (Origin.REUSED, known, None, None),
        "d3": (Origin.REUSED, known, None, None),
    }
    assert FOOTER not in asked
    assert outcome.counts["vectors.reused"] == 2


def test_a_large_group_goes_block_by_block(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = [chunks(record(f"d{number}", FOOTER)) for number in range(5)]
    assert [[one.num_rows for one in block] for block in share._blocks(batches, 1)] == [[1]] * 5
    assert [len(block) for block in share._blocks(batches, 2 * batches[0].nbytes)] == [2, 2, 1]
    assert list(share._blocks([], 1)) == []
    monkeypatch.setattr(share, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(share, "_MULTI_BLOCK_BYTES", 1)
    for outputs in (("dense",), OUTPUTS):
        repeats = {1: [record(f"d{number}", FOOTER) for number in range(7)]}
        outcome = _share(workspace, [record("e", FOOTER)], repeats, outputs)
        assert {row["document_id"] for row in outcome.rows} == {f"d{number}" for number in range(7)}


def test_without_repeats_no_vector_crosses_over() -> None:
    batch = reused([chunks(record("a", "one"), record("b", "two"))])
    assert list(share._made_vectors(batch, frozenset())) == []


def test_a_repeat_of_a_content_that_nobody_encoded_stops_the_run(workspace: Workspace) -> None:
    with pytest.raises(LookupError, match="no row of content key"):
        _share(workspace, [record("other", "another text")], {1: [record("d1", FOOTER)]})
