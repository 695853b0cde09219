"""LoadRows."""

from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from tests.fakes import outputs_of
from tests.transforms.logic.chunks import with_vectors
from tests.transforms.verbs import SPACE, chunks, record, run_verb
from transforms.adapters.workspace import Workspace
from transforms.load import LoadRows
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.rows import stored_rows
from transforms.logic.schemas import LEDGER, batch_of, row_schema

COUNT = 30


@pytest.mark.parametrize(("bucket_count", "outputs"), [(1, ("dense",)), (8, OUTPUTS), (8, ("sparse",))])
def test_exactly_the_named_rows_come_whole_and_ordered_by_partition(
    tmp_path: Path, bucket_count: int, outputs: tuple[Output, ...]
) -> None:
    workspace = Workspace(str(tmp_path), SPACE, "c")
    languages = ("en", "de", "fr")
    places, expected = [], {}
    for part in range(3):
        rows = chunks(
            *(record(f"{part}-{n}", f"text {part} {n}", declared_language=languages[n % 3]) for n in range(COUNT))
        )
        table = pa.Table.from_batches([rows]).sort_by("content_key")
        made = outputs_of(table.column("text").to_pylist(), 4)
        stored = stored_rows(with_vectors(table, made), 4, OUTPUTS)
        shard = workspace.write_shard(stored)
        stored = stored.select(row_schema(4, outputs).names)
        for number in range(part, COUNT, 4):
            row = stored.slice(number, 1).to_pylist()[0]
            expected[row["id"]] = row
            named = {name: row[name] for name in ("id", "document_id", "partition", "row_key")}
            of_document = {"source": row["source"], "document_key": None}
            places.append({**named, **of_document, "shard": shard, "row": number})
    # Places arrive in any order and cut into any batches.
    shuffled = [batch_of(places[start::3], LEDGER) for start in (2, 0, 1)]
    outcome = run_verb(partial(LoadRows, workspace, bucket_count, outputs=outputs), shuffled)
    assert {row["id"]: row for row in outcome.rows} == expected
    assert len(outcome.rows) == len(expected)
    for batch in outcome.main:
        assert batch.schema.equals(row_schema(4, outputs))
        partitions = batch.column("partition").to_pylist()
        assert partitions == sorted(partitions)
    assert outcome.counts == {"rows.loaded": len(expected)}


def test_nothing_to_write_reads_nothing(tmp_path: Path) -> None:
    assert run_verb(partial(LoadRows, Workspace(str(tmp_path), SPACE, "c"), 4), []).main == []
