"""LoadRows."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.transforms.verbs import SPACE, chunks, record, run_verb
from transforms.adapters.workspace import Workspace
from transforms.load import LoadRows
from transforms.logic.rows import stored_rows
from transforms.logic.schemas import LEDGER, batch_of
from transforms.logic.vectors import unit_rows

COUNT = 30


@pytest.mark.parametrize("bucket_count", [1, 8])
def test_exactly_the_named_rows_come_whole_and_ordered_by_partition(tmp_path: Path, bucket_count: int) -> None:
    workspace = Workspace(str(tmp_path), SPACE, "c")
    languages = ("en", "de", "fr")
    places, expected = [], {}
    for part in range(3):
        rows = chunks(
            *(record(f"{part}-{n}", f"text {part} {n}", declared_language=languages[n % 3]) for n in range(COUNT))
        )
        table = pa.Table.from_batches([rows]).sort_by("content_key")
        vectors = unit_rows(np.random.default_rng(part).standard_normal((COUNT, 4)).astype(np.float32))
        stored = stored_rows(table, vectors)
        shard = workspace.write_shard(stored)
        for number in range(part, COUNT, 4):
            row = stored.slice(number, 1).to_pylist()[0]
            expected[row["id"]] = row
            named = {name: row[name] for name in ("id", "document_id", "partition", "row_key")}
            places.append({**named, "shard": shard, "row": number})
    # Places arrive in any order and cut into any batches.
    shuffled = [batch_of(places[start::3], LEDGER) for start in (2, 0, 1)]
    outcome = run_verb(partial(LoadRows, workspace, bucket_count), shuffled)
    assert {row["id"]: row for row in outcome.rows} == expected
    assert len(outcome.rows) == len(expected)
    for batch in outcome.main:
        partitions = batch.column("partition").to_pylist()
        assert partitions == sorted(partitions)
    assert outcome.counts == {"rows.loaded": len(expected)}


def test_nothing_to_write_reads_nothing(tmp_path: Path) -> None:
    assert run_verb(partial(LoadRows, Workspace(str(tmp_path), SPACE, "c"), 4), []).main == []
