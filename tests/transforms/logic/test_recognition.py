"""A document is known by everything that decides its rows, and by nothing else."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.identity import digest
from transforms.logic.recognition import KnownKeys, heads_and_tails, known_by_source, recognise, with_keys
from transforms.logic.schemas import KEY, LEDGER, RECOGNISED, RECORDS, batch_of

# Few bytes, so that keys share beginnings and ends, zeros among them.
KEYS = st.lists(st.lists(st.sampled_from((0, 1, 255)), min_size=16, max_size=16).map(bytes), max_size=12)


def record(**changes: Any) -> dict[str, Any]:
    row = {
        "document_id": "d",
        "text": "Ein Text.",
        "declared_language": "de",
        "source": "a.jsonl",
        "position": 0,
        "date": "2026-03-01",
        "metadata": "{}",
    }
    return row | changes


def key_of(row: dict[str, Any], recipe: str = "recipe") -> bytes:
    key: bytes = with_keys(batch_of([row], RECORDS), recipe).column("document_key")[0].as_py()
    return key


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(st.tuples(KEYS, st.integers(1, 3)), max_size=3), KEYS, st.integers(1, 3))
def test_known_keys_are_sets_by_bucket_of_heads_that_name_one_key(
    parts: list[tuple[list[bytes], int]], asked: list[bytes], bucket: int
) -> None:
    """A part knows of some keys in one bucket."""
    told = []
    for keys, number in parts:
        rows = pa.Table.from_batches([batch_of([ledger_row("a", key) for key in keys], LEDGER)])
        told += [*known_by_source(rows, np.full(len(keys), number)).values()]
    known = [key for keys, number in parts if number == bucket for key in set(keys)]
    heads = sorted({key[:8][::-1] for key in known})
    alone = {key[:8] for key in known if sum(other[:8] == key[:8] for other in known) == 1}
    asked = [*asked, *known]

    ranks, count = KnownKeys(told).ranks(bucket, heads_and_tails(pa.array(asked, KEY))[0])

    assert count == len(heads)
    assert ranks.tolist() == [heads.index(key[:8][::-1]) if key[:8] in alone else -1 for key in asked]


def test_halves_of_keys_are_those_of_a_slice() -> None:
    keys = pa.array([bytes(range(start, start + 16)) for start in range(4)], KEY)
    heads, tails = heads_and_tails(keys[1:3])
    assert heads.tolist() == [int.from_bytes(bytes(range(start, start + 8)), "little") for start in (1, 2)]
    assert tails.tolist() == [int.from_bytes(bytes(range(start, start + 8)), "little") for start in (9, 10)]
    assert [len(half) for half in heads_and_tails(keys[:0])] == [0, 0]


@pytest.mark.parametrize(
    "change",
    [
        {"document_id": "e"},
        {"text": "Ein Text!"},
        {"declared_language": "en"},
        {"declared_language": None},
        {"declared_language": ""},
        {"source": "b.jsonl"},
        {"date": ""},
        {"metadata": '{"title":"T"}'},
    ],
)
def test_a_key_moves_with_everything_that_decides_a_row(change: dict[str, Any]) -> None:
    assert key_of(record(**change)) != key_of(record())


def test_a_key_stays_when_neighbours_push_a_document_on_and_moves_with_the_recipe() -> None:
    assert key_of(record(position=77)) == key_of(record())
    assert key_of(record(), "another recipe") != key_of(record())


def test_fields_do_not_flow_into_one_another() -> None:
    assert key_of(record(date="x", metadata="yz")) != key_of(record(date="xy", metadata="z"))


def test_keys_keep_the_documents_as_they_are() -> None:
    batch = batch_of([record(), record(document_id="e")], RECORDS)
    keyed = with_keys(batch, "recipe")
    assert keyed.schema == RECOGNISED
    assert keyed.select(RECORDS.names).equals(batch)


def ledger_row(source: str | None, key: bytes | None) -> dict[str, Any]:
    return {
        **dict.fromkeys(("id", "document_id", "partition", "shard"), "x"),
        "row_key": digest("x"),
        "row": 0,
        "source": source,
        "document_key": key,
    }


def test_documents_are_known_in_the_file_they_came_from() -> None:
    first, second, other = (digest(name) for name in ("first", "second", "other"))
    rows = [("a", first), ("a", first), ("a", second), ("b", other), ("b", None), (None, None)]
    part = pa.Table.from_batches([batch_of([ledger_row(*row) for row in rows], LEDGER)])

    known = known_by_source(part, np.array([2, 2, 0, 2, 0, 0]))

    assert list(known) == ["a", "b"]
    assert known["a"] == (np.array([0, 1, 2, 1], "<u4").tobytes(), second[:8] + first[:8])
    assert known["b"] == (np.array([2, 1], "<u4").tobytes(), other[:8])
    documents = batch_of([{**record(source=source), "document_key": key} for source, key in rows[:4]], RECOGNISED)
    held = {source: KnownKeys([keys]) for source, keys in known.items()}
    none = KnownKeys([])
    for buckets, keys, expected in (
        ([2, 2, 0, 2], held, [True] * 4),
        ([2, 0, 2, 2], held, [True, False, False, True]),
        ([2, 2, 0, 2], {"a": held["b"], "b": held["a"]}, [False] * 4),
        ([2, 2, 0, 2], {"a": none, "b": held["b"]}, [False, False, False, True]),
    ):
        found = recognise(documents, np.array(buckets), keys)
        assert (found.ranks >= 0).tolist() == expected
    assert recognise(documents.slice(0, 0), np.empty(0, np.int64), {}).ranks.tolist() == []
