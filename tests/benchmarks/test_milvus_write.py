"""The pure parts of the benchmark, and its writers on a few rows; speeds are shown, never asserted."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.milvus_write import (
    PARTITIONS,
    Figure,
    Load,
    crossing,
    make_rows,
    render,
    render_loads,
    verdict,
    write_bare,
    write_ours,
)
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
    write_bare(table, tmp_path / "bare.parquet", sync=True)
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


def test_what_was_wanted_is_held_against_what_came() -> None:
    figures = [Figure("ours", 1000, [2.0], [1.0], 0.0), Figure("peer", 1000, [5.0], [1.0], 0.0)]
    assert verdict(figures, "peer", "more") == (
        "ours is 2.50 times as fast as peer and takes 0.40 of its time; wanted: more\n"
    )
    assert verdict(figures, "another", "more") == "another was left out\n"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ((9, 9, 9), (1, 8, 9), "not the faster up to 1,000 rows"),
        ((1, 2, 3), (2, 3, 4), "the faster from 10 rows on, if not before"),
        # At 100 rows it is slower by 1, at 1,000 faster by 2.
        ((5, 5, 6), (1, 4, 8), "the faster from some 400 rows on, between 100 and 1,000"),
        # Once slower at a larger size, it is not the faster before.
        ((1, 5, 6), (2, 4, 8), "the faster from some 400 rows on, between 100 and 1,000"),
    ],
)
def test_the_crossing_lies_between_two_sizes(first: tuple[float, ...], second: tuple[float, ...], said: str) -> None:
    assert crossing((10, 100, 1000), first, second) == said


def test_the_crossover_is_named_for_both_ends() -> None:
    found = [
        (Load(size, counted, 9.0, 0.1), Load(size, 2.0, 5.0, 0.2))
        for size, counted in zip((100, 200), (3, 1), strict=True)
    ]
    *_, line, counted, indexed = render_loads(found, 384).splitlines()[:6]
    assert line.split() == ["200", "1.0,", "9.0", "2.0,", "5.0", "0.56", "0.20"]
    assert counted == "until counted, import is the faster from some 150 rows on, between 100 and 200"
    assert indexed == "until indexed, import is not the faster up to 200 rows"


def test_loads_that_nobody_waited_for_the_index_of_have_one_end() -> None:
    found = [(Load(size, counted, None, 0.1), Load(size, 2.0, None, 0.2)) for size, counted in ((100, 3.0), (200, 1.0))]
    *_, line, counted, _ = render_loads(found, 384).splitlines()
    assert line.split() == ["200", "1.0,", "-", "2.0,", "-", "2.00", "0.20"]
    assert counted == "until counted, import is the faster from some 150 rows on, between 100 and 200"
