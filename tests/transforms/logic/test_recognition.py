"""A document is known by everything that decides its rows, and by nothing else."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.identity import digest
from transforms.logic.recognition import KnownKeys, known_by_source, recognise, with_keys
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
@given(KEYS, KEYS)
def test_known_keys_are_a_set(known: list[bytes], asked: list[bytes]) -> None:
    found = KnownKeys(b"".join(known)).hold(pa.array([*asked, *known], KEY))
    assert found.tolist() == [key in set(known) for key in (*asked, *known)]


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

    known = known_by_source(part)

    assert known == {"a": b"".join(sorted((first, second))), "b": other}
    documents = batch_of([{**record(source=source), "document_key": key} for source, key in rows[:4]], RECOGNISED)
    held = {source: KnownKeys(keys) for source, keys in known.items()}
    assert recognise(documents, held).tolist() == [True] * 4
    assert recognise(documents, {"a": held["b"], "b": held["a"]}).tolist() == [False] * 4
    assert recognise(documents, {"a": KnownKeys(b""), "b": held["b"]}).tolist() == [False, False, False, True]
    assert recognise(documents.slice(0, 0), {}).dtype == np.bool_
