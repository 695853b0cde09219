"""EmbedChunks."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.fakes import FakeEncoder, outputs_of
from tests.transforms.logic.chunks import known_vectors
from tests.transforms.verbs import Outcome, Row, chunks, record, reused, run_verb
from transforms import embed
from transforms.adapters.encoders import Encoded, TokenIds
from transforms.embed import EmbedChunks
from transforms.logic.outputs import OUTPUTS, Output, Outputs
from transforms.logic.reuse import Known
from transforms.logic.schemas import REUSED, Origin, with_columns
from transforms.logic.vector_columns import VECTORS, to_columns

DIMENSIONS = 4
asked: list[list[str]] = []
given: list[tuple[str, list[int]]] = []
opened: list[int] = []


class _CountingEncoder(FakeEncoder):
    def __init__(self, outputs: tuple[Output, ...]) -> None:
        super().__init__(DIMENSIONS, poison="poison", outputs=outputs)
        opened.append(1)

    def encode(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Encoded:
        asked.append(list(texts))
        given.extend((text, ids.tolist()) for text, ids in zip(texts, token_ids, strict=True))
        assert all(ids.dtype == np.int32 for ids in token_ids)
        return replace(super().encode(texts, token_ids), budget_reductions=2)


def _embed(*batches: Any, outputs: tuple[Output, ...] = ("dense",)) -> Outcome:
    asked.clear()
    given.clear()
    opened.clear()
    return run_verb(partial(EmbedChunks, partial(_CountingEncoder, outputs), outputs=outputs), batches)


def _vectors(text: str, outputs: tuple[Output, ...]) -> Row:
    """The vector columns of a text."""
    made = to_columns(outputs_of([text], DIMENSIONS, outputs))
    return {name: made[name][0].as_py() if name in made else None for name in VECTORS.names}


def _vector(text: str) -> list[float]:
    vector: list[float] = _vectors(text, ("dense",))["vector"]
    return vector


@pytest.mark.parametrize("outputs", [("dense",), ("sparse",), ("multi",), OUTPUTS])
def test_each_content_is_encoded_once_and_serves_its_copies(outputs: tuple[Output, ...]) -> None:
    batch = reused([chunks(record("a", "one text"), record("b", "other text"), record("c", "one text"))])
    outcome = _embed(batch, outputs=outputs)
    assert sorted(text for texts in asked for text in texts) == ["one text", "other text"]
    assert all(part.schema.equals(REUSED) for part in outcome.main)
    assert {row["document_id"]: {name: row[name] for name in VECTORS.names} for row in outcome.rows} == {
        "a": _vectors("one text", outputs),
        "b": _vectors("other text", outputs),
        "c": _vectors("one text", outputs),
    }
    assert outcome.counts == {
        "vectors.encoded": 2,
        "vectors.reused": 1,
        "tokens.encoded": 4,
        "budget.reductions": 2 * len(asked),
    }
    assert dict(given) == {row["text"]: row["token_ids"] for row in batch.to_pylist()}


def test_copies_in_the_next_batch_of_a_bucket_share_the_vector() -> None:
    batch = reused([chunks(*(record(f"{number}", "one text") for number in range(6)))])
    outcome = _embed(batch.slice(0, 2), batch.slice(2, 3), batch.slice(5, 1))
    assert asked == [["one text"]]
    assert [row["vector"] for row in outcome.rows] == [_vector("one text")] * 6
    assert outcome.counts["vectors.reused"] == 5


def test_known_vectors_and_stored_rows_open_no_model() -> None:
    batch = chunks(record("known", "a known text"), record("stored", "a stored text"))
    keys = {row["document_id"]: row for row in batch.to_pylist()}
    vectors = known_vectors([keys["known"]["content_key"]], Outputs(np.eye(1, 4, dtype=np.float32)))
    known = Known({keys["stored"]["row_key"]: ("shard", 3)}, vectors)
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
    assert {one["detail"] for one in outcome.rejects} == {"chunk 0: fake fault at poison"}
    counts = outcome.counts
    assert (counts["vectors.encoded"], counts["rejects.chunk.bad_vector"], counts["rejects.total"]) == (2, 2, 2)


def test_copies_of_a_bad_content_in_the_next_batch_are_rejected_too() -> None:
    batch = reused([chunks(*(record(f"{number}", "poison") for number in range(4)), record("fine", "fine"))])
    outcome = _embed(*(batch.slice(number, 1) for number in range(5)))
    assert sorted(asked) == [["fine"], ["poison"]]
    assert {one["document_id"] for one in outcome.rejects} == {"0", "1", "2", "3"}
    assert {one["detail"] for one in outcome.rejects} == {"chunk 0: fake fault at poison"}
    assert [row["vector"] for row in outcome.rows if row["origin"] == Origin.ENCODED] == [_vector("fine")]


def test_a_vector_a_token_is_made_for_few_chunks_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "_MULTI_TOKENS", 6)
    batch = reused([chunks(*(record(f"{number}", f"text number {number // 2}") for number in range(8)))])
    outcome = _embed(batch, outputs=OUTPUTS)
    assert [len(texts) for texts in asked] == [1] * 4
    assert sum(batch.num_rows for batch in outcome.main) == 8
    for row in outcome.rows:
        assert {name: row[name] for name in VECTORS.names} == _vectors(row["text"], OUTPUTS)
    _embed(batch, outputs=("dense", "sparse"))
    assert [len(texts) for texts in asked] == [4]


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


@pytest.mark.parametrize(("enough", "calls"), [(1, [2, 1, 2]), (5, [3, 2]), (1000, [5])])
def test_batches_are_gathered_until_there_is_enough_for_a_call(
    monkeypatch: pytest.MonkeyPatch, enough: int, calls: list[int]
) -> None:
    monkeypatch.setattr(_CountingEncoder, "call_tokens", lambda _: enough)
    names = ["a", "b", "c", "poison", "e"]
    batch = reused([chunks(*(record(name, f"{name} text") for name in names))])
    outcome = _embed(batch.slice(0, 2), batch.slice(2, 1), batch.slice(3, 2))
    assert [len(texts) for texts in asked] == calls
    assert [row["id"] for row in outcome.rows] == batch.column("id").to_pylist()
    for row in outcome.rows:
        is_good = "poison" not in row["text"]
        assert row["vector"] == (_vector(row["text"]) if is_good else None)
        assert row["origin"] == (Origin.ENCODED if is_good else Origin.REJECTED)
    assert [one["document_id"] for one in outcome.rejects] == ["poison"]
    assert outcome.counts["vectors.encoded"] == 4


def test_no_more_than_so_many_bytes_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_CountingEncoder, "call_tokens", lambda _: 1000)
    batch = reused([chunks(*(record(f"{number}", f"text {number}") for number in range(6)))])
    monkeypatch.setattr(embed, "_MOST_WAITING_BYTES", batch.slice(0, 2).nbytes + 1)
    outcome = _embed(*(batch.slice(number, 1) for number in range(6)))
    assert [len(texts) for texts in asked] == [3, 3]
    assert [row["id"] for row in outcome.rows] == batch.column("id").to_pylist()
    assert all(row["vector"] == _vector(row["text"]) for row in outcome.rows)


def test_nothing_waits_for_a_call_once_the_bundle_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_CountingEncoder, "call_tokens", lambda _: 1000)
    outcome = _embed(reused([chunks(record("a", "one text"))]))
    assert [row["vector"] for row in outcome.rows] == [_vector("one text")]


def test_on_a_gpu_processes_share_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "is_gpu", lambda device: device == "cuda")
    shared: list[str] = []

    class Across:
        def __init__(self, factory: Any, tag: str) -> None:
            self._factory = factory
            shared.append(tag)

        def acquire(self) -> Any:
            return self._factory()

    monkeypatch.setattr(embed, "MultiProcessShared", Across)
    factory = partial(_CountingEncoder, ("dense",))
    for device, tags in (("cpu", 0), ("cuda", 1)):
        function = embed._EmbedFn(embed._Model(factory, device, "space"), ("dense",))
        function.start_bundle()
        batch = reused([chunks(record("a", "one text"))])
        made = [one for one in function.process(batch) if isinstance(one, pa.RecordBatch)]
        assert [row["vector"] for part in made for row in part.to_pylist()] == [_vector("one text")]
        assert len(shared) == tags
    other = embed._Model(factory, "cuda", "other space")
    assert other.acquire().call_tokens() == 1
    assert len(set(shared)) == 2, "another model is another object"
