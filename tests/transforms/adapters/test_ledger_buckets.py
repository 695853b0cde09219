"""Held rows of a bucket, wherever the parts of the ledger were cut."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.adapters.ledger_buckets import LedgerBuckets, document_bucket_count, prefix_range
from transforms.adapters.workspace import Ledger, Workspace
from transforms.logic.identity import PREFIXES, bucket_of_prefix, buckets_of, digest, text_prefixes
from transforms.logic.schemas import LEDGER, batch_of


def _row(number: int) -> dict[str, Any]:
    return {
        "id": f"{number:032x}",
        "document_id": f"document {number // 2}",
        "partition": "lang_en",
        "row_key": digest(number),
        "shard": "s.parquet",
        "row": number,
        "source": "a.jsonl",
        "document_key": digest("document", number // 2),
    }


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_batches([batch_of(rows, LEDGER)])


def _commit(workspace: Workspace, rows: list[dict[str, Any]], bucket_count: int) -> tuple[str, ...]:
    buckets = buckets_of(text_prefixes([row["document_id"] for row in rows]), bucket_count).tolist()
    found = [
        [row for row, number in zip(rows, buckets, strict=True) if number == bucket] for bucket in range(bucket_count)
    ]
    return tuple(sorted(workspace.write_ledger_part(_table(some)) for some in found if some))


@pytest.mark.parametrize("written", [1, 3, 8])
@pytest.mark.parametrize("asked", [1, 3, 8, 40])
def test_every_row_is_in_the_one_bucket_of_its_document(tmp_path: Path, written: int, asked: int) -> None:
    workspace = Workspace(str(tmp_path), "space", "c")
    rows = [_row(number) for number in range(60)]
    parts = _commit(workspace, rows, written)
    held = LedgerBuckets(workspace, parts)

    buckets = [held.of_bucket(bucket, asked) for bucket in range(asked)]

    prefixes = text_prefixes([row["document_id"] for row in rows])
    for bucket, found in enumerate(buckets):
        wanted = [
            row for row, prefix in zip(rows, prefixes, strict=True) if bucket_of_prefix(int(prefix), asked) == bucket
        ]
        assert sorted(found.rows.to_pylist(), key=lambda row: str(row["id"])) == wanted
    named = [name for found in buckets for name in found.parts or ()]
    assert len(named) == len(set(named))
    if asked == written:
        assert tuple(sorted(named)) == parts
        assert None not in [found.parts for found in buckets]


@pytest.mark.parametrize(
    ("rows", "at_least", "count"),
    [
        (0, 8, 8),
        (8 << 16, 8, 8),
        ((8 << 16) + 1, 8, 16),
        (10**6, 8, 16),
        (10**6, 7, 28),
        (10**12, 8, 4096),
        (10**12, 3000, 3000),
    ],
)
def test_a_growing_ledger_is_cut_in_two_when_its_buckets_are_full(rows: int, at_least: int, count: int) -> None:
    assert document_bucket_count(Ledger(1, (), {"lang_en": rows}), at_least) == count


def test_a_part_of_an_earlier_version_is_read_whatever_it_holds(tmp_path: Path) -> None:
    """Its name does not tell a range, and it does not say where a document came from."""
    workspace = Workspace(str(tmp_path), "space", "c")
    old = _table([_row(number) for number in range(10)]).drop_columns(["source", "document_key"])
    named = workspace.write_ledger_part(old)
    name = named.rsplit("-", 1)[-1]
    parts = tmp_path / "ledger" / "c" / "parts"
    (parts / named).rename(parts / name)

    found = LedgerBuckets(workspace, (name,)).of_bucket(0, 1)

    assert prefix_range(name) == (0, PREFIXES - 1)
    assert found.rows.schema == LEDGER
    assert [row["row"] for row in found.rows.to_pylist()] == list(range(10))
    assert {(row["source"], row["document_key"]) for row in found.rows.to_pylist()} == {(None, None)}


@settings(deadline=None, derandomize=True)
@given(st.integers(0, PREFIXES - 1), st.integers(1, 5000))
def test_the_bucket_of_one_prefix_is_that_of_many(prefix: int, bucket_count: int) -> None:
    assert bucket_of_prefix(prefix, bucket_count) == buckets_of(np.array([prefix], np.uint32), bucket_count)[0]
