"""The pure parts of the benchmark, and its writers on a few rows; speeds are shown, never asserted."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.milvus_write import PARTITIONS, Figure, Load, make_rows, render, render_loads, write_bare, write_ours
from transforms.logic.import_files import import_columns

ROWS = 1200


def test_rows_are_the_same_each_time_and_of_one_partition_a_batch() -> None:
    first, second = (list(make_rows(ROWS, 8)) for _ in range(2))
    assert all(one.equals(other) for one, other in zip(first, second, strict=True))
    assert [batch.num_rows for batch in first] == [512, 512, 176]
    assert [set(batch.column("partition").to_pylist()) for batch in first] == [{name} for name in PARTITIONS[:3]]
    ids = [identity for batch in first for identity in batch.column("id").to_pylist()]
    assert len(set(ids)) == ROWS


def test_both_writers_write_the_same_columns(tmp_path: Path) -> None:
    batches = list(make_rows(ROWS, 8))
    assert write_ours(batches, 8, tmp_path / "ours") == ROWS
    table = import_columns(pa.Table.from_batches(batches))
    write_bare(table, 8, tmp_path / "bare.parquet", sync=True)
    bare = pq.read_table(tmp_path / "bare.parquet")
    ours = pa.concat_tables(pq.read_table(path) for path in sorted((tmp_path / "ours").rglob("*.parquet")))
    assert ours.sort_by("id").equals(bare.sort_by("id"))


def test_rates_are_of_the_median_and_ratios_against_the_first_line() -> None:
    text = render(
        "title", [Figure("ours", 1000, [9.0, 1.0, 2.0], [1.0], 0.04), Figure("peer", 1000, [4.0], [3.0], 0.5)]
    )
    title, _, ours, peer, *_ = text.splitlines()
    assert title == "title"
    assert ours.split() == ["ours", "500", "2.00", "1.00", "1.00", "1.00", "0.04"]
    assert peer.split() == ["peer", "250", "4.00", "3.00", "2.00", "3.00", "0.50"]


@pytest.mark.parametrize(
    ("indexed", "said"),
    [((9.0, 9.0), "upsert is the faster at every size"), ((9.0, 4.0), "import is the faster from 200 rows on")],
)
def test_the_crossover_is_named(indexed: tuple[float, float], said: str) -> None:
    found = [
        (Load(size, 1.0, seconds, 0.1), Load(size, 2.0, 5.0, 0.2))
        for size, seconds in zip((100, 200), indexed, strict=True)
    ]
    *_, line, last = render_loads(found, 384).splitlines()[:5]
    assert line.split() == ["200", "1.0,", f"{indexed[1]:.1f}", "2.0,", "5.0", f"{5.0 / indexed[1]:.2f}", "0.20"]
    assert last == said
