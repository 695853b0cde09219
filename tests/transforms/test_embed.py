"""EmbedChunks."""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.fakes import FakeEncoder
from tests.transforms.verbs import Outcome, chunks, record, reused, run_verb
from transforms.embed import EmbedChunks
from transforms.logic.reuse import Known
from transforms.logic.schemas import REUSED, Origin, with_columns

DIMENSIONS = 4
asked: list[list[str]] = []
opened: list[int] = []


class _CountingEncoder(FakeEncoder):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(DIMENSIONS, poison="poison")
        self._scale = scale
        opened.append(1)

    def encode(self, texts: Any, token_ids: Any) -> Any:
        asked.append(list(texts))
        return super().encode(texts, token_ids) * np.float32(self._scale)


def _embed(*batches: Any, scale: float = 1.0) -> Outcome:
    asked.clear()
    opened.clear()
    return run_verb(partial(EmbedChunks, partial(_CountingEncoder, scale)), batches)


def _vector(text: str) -> list[float]:
    vectors = FakeEncoder(DIMENSIONS).encode([text], [[1]])
    return [float(value) for value in vectors.astype(np.float16)[0]]


def test_each_content_is_encoded_once_and_serves_its_copies() -> None:
    batch = reused([chunks(record("a", "one text"), record("b", "other text"), record("c", "one text"))])
    outcome = _embed(batch)
    assert sorted(text for texts in asked for text in texts) == ["one text", "other text"]
    assert all(part.schema.equals(REUSED) for part in outcome.main)
    assert {row["document_id"]: row["vector"] for row in outcome.rows} == {
        "a": _vector("one text"),
        "b": _vector("other text"),
        "c": _vector("one text"),
    }
    assert outcome.counts == {"vectors.encoded": 2, "vectors.reused": 1, "tokens.encoded": 4}


def test_copies_in_the_next_batch_of_a_bucket_share_the_vector() -> None:
    batch = reused([chunks(*(record(f"{number}", "one text") for number in range(6)))])
    outcome = _embed(batch.slice(0, 2), batch.slice(2, 3), batch.slice(5, 1))
    assert asked == [["one text"]]
    assert [row["vector"] for row in outcome.rows] == [_vector("one text")] * 6
    assert outcome.counts["vectors.reused"] == 5


def test_known_vectors_and_stored_rows_open_no_model() -> None:
    batch = chunks(record("known", "a known text"), record("stored", "a stored text"))
    keys = {row["document_id"]: row for row in batch.to_pylist()}
    vector = np.array([1, 0, 0, 0], np.float16)
    known = Known({keys["stored"]["row_key"]: ("shard", 3)}, {keys["known"]["content_key"]: vector})
    outcome = _embed(reused([batch], known))
    assert (asked, opened) == ([], [])
    assert {row["document_id"]: (row["origin"], row["vector"], row["shard"], row["row"]) for row in outcome.rows} == {
        "known": (Origin.REUSED, [1.0, 0.0, 0.0, 0.0], None, None),
        "stored": (Origin.STORED, None, "shard", 3),
    }
    assert outcome.counts == {"vectors.reused": 1}


def test_a_bad_vector_rejects_its_chunk_and_copies_alone() -> None:
    rows = [record("a", "good"), record("b", "poison", position=5), record("c", "poison"), record("d", "fine")]
    outcome = _embed(reused([chunks(*rows)]))
    found = {row["document_id"]: (row["origin"], row["vector"]) for row in outcome.rows}
    assert found == {
        "a": (Origin.ENCODED, _vector("good")),
        "b": (Origin.REJECTED, None),
        "c": (Origin.REJECTED, None),
        "d": (Origin.ENCODED, _vector("fine")),
    }
    assert {
        (one["document_id"], one["reason"], one["level"], one["stage"], one["locator"]) for one in outcome.rejects
    } == {
        ("b", "bad_vector", "chunk", "embed", "position 5"),
        ("c", "bad_vector", "chunk", "embed", "position 0"),
    }
    assert {one["length_bytes"] for one in outcome.rejects} == {len("poison")}
    counts = outcome.counts
    assert (counts["vectors.encoded"], counts["rejects.chunk.bad_vector"], counts["rejects.total"]) == (2, 2, 2)


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0, float("inf"), float("nan")])
def test_a_vector_that_is_not_of_unit_length_is_rejected(scale: float) -> None:
    with np.errstate(invalid="ignore"):
        outcome = _embed(reused([chunks(record("a", "text"))]), scale=scale)
    assert [row["origin"] for row in outcome.rows] == [Origin.REJECTED]
    assert outcome.counts["rejects.chunk.bad_vector"] == 1


def test_the_model_is_opened_once_for_many_batches() -> None:
    batches = [reused([chunks(record(f"{number}", f"text {number}"))]) for number in range(5)]
    outcome = _embed(*batches)
    assert len(opened) == 1
    assert outcome.counts["vectors.encoded"] == 5


def test_a_chunk_that_lost_tokens_on_its_way_is_counted() -> None:
    whole = reused([chunks(record("a", "one two three"), record("b", "four five six"))])
    ids = [row["token_ids"][: 2 if row["document_id"] == "a" else 3] for row in whole.to_pylist()]
    outcome = _embed(with_columns(whole, REUSED, token_ids=pa.array(ids, REUSED.field("token_ids").type)))
    assert (outcome.counts["chunks.truncated"], outcome.counts["tokens.encoded"]) == (1, 5)
    assert "chunks.truncated" not in _embed(whole).counts
