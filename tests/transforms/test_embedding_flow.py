"""From chunks to the dataset and back: what Beam stores is what plain functions make, for every choice of outputs."""

from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.pvalue import PCollection

from tests.fakes import FakeEncoder, outputs_of
from tests.transforms.verbs import SPACE, Outcome, Row, chunks, record, run_verb
from transforms.adapters.workspace import Workspace
from transforms.embed import EmbedChunks
from transforms.load import LoadRows
from transforms.logic.filling import Made, fill_vectors, rows_to_encode
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.reuse import Known, reuse_vectors
from transforms.logic.rows import stored_rows
from transforms.logic.schemas import LEDGER, row_schema, with_columns
from transforms.logic.vector_columns import to_columns
from transforms.metrics import ByProducts
from transforms.reuse import ReuseVectors
from transforms.share import ShareVectors
from transforms.store import StoreVectors

DIMENSIONS = 4
BUCKETS = 4
FOOTER = "a footer on every page"
OF_RUN: list[str] = []


class _Encoder(FakeEncoder):
    def __init__(self, outputs: tuple[Output, ...]) -> None:
        super().__init__(DIMENSIONS, "poison", outputs=outputs)
        self.encoded = OF_RUN


class _Flow(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """The verbs of the main job between splitting and the ledger, and back to rows."""

    def __init__(self, workspace: Workspace, outputs: tuple[Output, ...], kept: ByProducts) -> None:
        super().__init__()
        self._workspace = workspace
        self._outputs = outputs
        self._kept = kept

    def expand(self, chunks: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        shards, kept, outputs = self._workspace.shards(), self._kept, self._outputs
        reused = chunks | ReuseVectors(self._workspace, shards, BUCKETS, kept, outputs)
        embedded = reused.chunks | EmbedChunks(partial(_Encoder, outputs), kept, outputs)
        shared = reused.repeats | ShareVectors(self._workspace, shards, embedded, kept, outputs)
        sources = {"chunks": embedded, "repeats": shared}
        pointers = sources | StoreVectors(self._workspace, DIMENSIONS, BUCKETS, kept, outputs)
        places = pointers | beam.Map(_to_places).with_output_types(pa.RecordBatch)
        rows: PCollection[pa.RecordBatch] = places | LoadRows(self._workspace, BUCKETS, kept, outputs)
        return rows


def _to_places(pointers: pa.RecordBatch) -> pa.RecordBatch:
    return with_columns(pointers.filter(pa.compute.is_valid(pointers.column("shard"))), LEDGER)


def _records(title: str) -> list[Row]:
    """Texts, copies, contents that come too often, and two poison contents, one of which comes too often."""
    texts = [f"text number {number} of {number % 5} kinds" for number in range(40)] + ["twin text"] * 3
    texts += [FOOTER] * 90 + ["poison once"] + ["poison on every page"] * 80
    return [
        record(f"d{number}", text, position=number, metadata=f'{{"title": "{title}"}}')
        for number, text in enumerate(texts)
    ]


def _run(workspace: Workspace, title: str, outputs: tuple[Output, ...]) -> Outcome:
    OF_RUN.clear()
    rows = _records(title)
    batches = [chunks(*rows[start : start + 50]) for start in range(0, len(rows), 50)]
    return run_verb(lambda kept: _Flow(workspace, outputs, kept), batches)


def _by_hand(title: str, outputs: tuple[Output, ...]) -> dict[str, Row]:
    """The same without Beam, dataset, buckets and repeats."""
    batch = reuse_vectors(pa.Table.from_batches([chunks(*_records(title))]), Known())
    texts = batch.column("text").take(pa.array(rows_to_encode(batch))).to_pylist()
    faults = {index: "bad" for index, text in enumerate(texts) if "poison" in text}
    filled, missing = fill_vectors(batch, Made(to_columns(outputs_of(texts, DIMENSIONS, outputs)), faults), None)
    kept = filled.take(pa.array(sorted(set(range(batch.num_rows)) - missing.keys())))
    return {row["id"]: row for row in stored_rows(pa.Table.from_batches([kept]), DIMENSIONS, outputs).to_pylist()}


@pytest.mark.parametrize("outputs", [("dense",), ("sparse",), ("multi",), ("dense", "sparse"), OUTPUTS])
def test_the_dataset_holds_what_plain_functions_make(tmp_path: Path, outputs: tuple[Output, ...]) -> None:
    workspace = Workspace(str(tmp_path), SPACE, "c")

    first = _run(workspace, "old", outputs)

    expected = _by_hand("old", outputs)
    assert {row["id"]: row for row in first.rows} == expected
    assert len(first.rows) == len(expected) == 40 + 3 + 90
    assert all(batch.schema.equals(row_schema(DIMENSIONS, outputs)) for batch in first.main)
    assert len(OF_RUN) == len(set(OF_RUN)) == 40 + 1 + 1 + 2
    assert {one["document_id"] for one in first.rejects} == {f"d{number}" for number in range(133, 133 + 81)}

    again = _run(workspace, "old", outputs)
    assert {row["id"]: row for row in again.rows} == expected
    assert set(OF_RUN) == {"poison once", "poison on every page"}
    counts: dict[str, Any] = again.counts
    assert (counts.get("vectors.encoded", 0), counts.get("rows.stored", 0)) == (0, 0)

    retitled = _run(workspace, "new", outputs)
    assert {row["id"]: row for row in retitled.rows} == _by_hand("new", outputs)
    assert set(OF_RUN) == {"poison once", "poison on every page"}
    assert retitled.counts["vectors.reused"] == 133
