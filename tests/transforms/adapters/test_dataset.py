"""The dataset asked by key, against looking at every row."""

import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.rows import key, shard_rows, vectors
from transforms.adapters import workspace as workspace_module
from transforms.adapters.dataset import KnownVectors
from transforms.adapters.workspace import Shard, Workspace
from transforms.logic.identity import buckets_of, digest, key_prefixes
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.reuse import KNOWN, Known

Row = dict[str, Any]
Chunk = tuple[int, int]
"""Number of the text, version of the row."""


def asked(chunks: list[Chunk]) -> pa.Table:
    return pa.table(
        {
            "content_key": pa.array([key(number) for number, _ in chunks], pa.binary(16)),
            "row_key": pa.array([digest("row", version, number) for number, version in chunks], pa.binary(16)),
        }
    )


def brute_force(workspace: Workspace, shards: list[Shard], chunks: list[Chunk]) -> Known:
    """Every row of every shard, in order of the shards."""
    pairs = {(row["content_key"], row["row_key"]) for row in asked(chunks).to_pylist()}
    every = [
        ((shard.name, number), row)
        for shard in shards
        for number, row in enumerate(workspace.read_shard(shard.name).to_pylist())
    ]
    rows: dict[bytes, tuple[str, int]] = {}
    for place, row in every:
        if (row["content_key"], row["row_key"]) in pairs:
            rows.setdefault(row["row_key"], place)
    needed = {content for content, row_key in pairs if row_key not in rows}
    found: dict[bytes, Row] = {}
    for _, row in every:
        if row["content_key"] in needed:
            found.setdefault(row["content_key"], {name: row.get(name) for name in KNOWN.names})
    return Known(rows, pa.Table.from_pylist(list(found.values()), KNOWN))


def assert_same(found: Known, expected: Known) -> None:
    assert found.rows == expected.rows
    assert found.vectors.schema == KNOWN
    assert found.vectors.sort_by("content_key") == expected.vectors.sort_by("content_key")


def known_keys(known: Known) -> set[bytes]:
    return set(known.vectors.column("content_key").to_pylist())


NUMBERS = st.integers(0, 60)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    stored=st.lists(st.tuples(st.integers(0, 2), st.sets(NUMBERS, min_size=1, max_size=25)), max_size=4),
    chunks=st.lists(st.tuples(NUMBERS, st.integers(0, 2)), min_size=1, max_size=40),
    bucket_count=st.sampled_from([1, 2, 3, 16, 100, 4096, 1 << 20]),
    outputs=st.sampled_from([("dense",), ("sparse",), ("dense", "multi"), OUTPUTS]),
    group_rows=st.sampled_from([2, 7, 4096]),
)
def test_lookups_equal_looking_at_every_row(
    tmp_path_factory: pytest.TempPathFactory,
    stored: list[tuple[int, set[int]]],
    chunks: list[Chunk],
    bucket_count: int,
    outputs: tuple[Output, ...],
    group_rows: int,
) -> None:
    """Shards straddle buckets, overlap, and repeat contents; whatever the buckets, together they find what is there."""
    workspace = Workspace(str(tmp_path_factory.mktemp("workspace")), "space", "key")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workspace_module, "_ROW_GROUP_ROWS", group_rows)
        for version, numbers in stored:
            workspace.write_shard(shard_rows(numbers, version, outputs))
    shards = workspace.shards()
    known = KnownVectors(workspace, tuple(shards), outputs)
    prefixes = key_prefixes(asked(chunks).column("content_key"))
    buckets = buckets_of(prefixes, bucket_count)
    for bucket in set(buckets.tolist()):
        inside = [chunk for chunk, owner in zip(chunks, buckets.tolist(), strict=True) if owner == bucket]
        assert_same(known.of_chunks(asked(inside)), brute_force(workspace, shards, inside))


def test_a_new_row_of_a_known_text_gets_its_vector(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), "space", "key")
    name = workspace.write_shard(shard_rows([1, 2, 3]))
    known = KnownVectors(workspace, tuple(workspace.shards())).of_chunks(asked([(2, 0), (3, 1), (4, 0)]))
    stored = workspace.read_shard(name, ["content_key"]).column("content_key").to_pylist()
    assert known.rows == {digest("row", 0, 2): (name, stored.index(key(2)))}
    # The stored row needs none.
    assert known.vectors.select(["content_key", "vector"]).to_pylist() == [
        {"content_key": key(3), "vector": vectors([3])[0].tolist()}
    ]


def test_chunks_in_several_pieces_are_found(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), "space", "key")
    workspace.write_shard(shard_rows(range(10)))
    pieces = pa.concat_tables([asked([(9, 0)]), asked([(1, 0), (1, 0), (5, 0)]).slice(1), asked([(77, 0), (2, 1)])])
    known = KnownVectors(workspace, tuple(workspace.shards())).of_chunks(pieces)
    assert known.rows.keys() == {digest("row", 0, number) for number in (9, 1, 5)}
    assert known_keys(known) == {key(2)}


def test_shards_out_of_range_are_never_opened(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), "space", "key")
    prefix = int.from_bytes(key(1)[:4], "big")
    gone = (Shard("gone-before.parquet", 0, prefix - 1), Shard("gone-after.parquet", prefix + 1, (1 << 32) - 1))
    assert KnownVectors(workspace, gone).of_chunks(asked([(1, 0)])) == Known()


def test_the_first_and_last_prefix_of_a_shard_belong_to_it(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), "space", "key")
    rows = shard_rows(range(9))
    workspace.write_shard(rows)
    ordered = sorted(range(9), key=key)
    for number in (ordered[0], ordered[-1]):
        known = KnownVectors(workspace, tuple(workspace.shards())).of_chunks(asked([(number, 1)]))
        assert known_keys(known) == {key(number)}


def test_it_travels_to_workers(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), "space", "key")
    workspace.write_shard(shard_rows(range(3)))
    known = pickle.loads(pickle.dumps(KnownVectors(workspace, tuple(workspace.shards()))))
    assert known_keys(known.of_chunks(asked([(1, 1)]))) == {key(1)}
