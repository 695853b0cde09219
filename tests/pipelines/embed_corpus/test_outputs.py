"""Dense, sparse and multi-vector output of one run: in the dataset, in Milvus, in searches, and refused where they do not fit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.search import search
from tests import fakes
from tests.fakes import ENCODED, OPENED, outputs_of
from tests.milvus_server import MilvusServer, milvus_server, vector_bytes
from tests.pipelines.jobs import COLLECTION, DIMENSIONS, Job, document, row_counts, story
from transforms.adapters.calibrations import reopen
from transforms.adapters.encoders import Computation
from transforms.adapters.milvus import Collection, Target
from transforms.adapters.models import ModelDescription
from transforms.logic.errors import ConfigurationError
from transforms.logic.outputs import Output
from transforms.logic.representations import represent
from transforms.logic.vector_columns import to_columns

ALL = "dense,sparse,multi"


@pytest.fixture
def three(job: Job, heads: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job with a model of all outputs, and a corpus of five chunks."""
    job.model = heads
    job.write("a.jsonl", [document("d0", story("d0", 4)), document("d1", story("d1", 5), lang="de")])

    def open_for_query(model: ModelDescription, prompt: str, computation: Computation, role: str) -> fakes.FakeEncoder:
        assert role == "query"
        return fakes.open_fake_encoder(model, prompt, computation)

    monkeypatch.setattr("pipelines.queries.open_encoder", open_for_query)
    return job


def _encoded(text: str, outputs: tuple[Output, ...], prompt: str = "passage: ") -> dict[str, Any]:
    """What the dataset is to hold of a text, by column."""
    made = outputs_of([f"{prompt}|bfloat16|{text}"], DIMENSIONS, outputs)
    return {name: column.to_pylist()[0] for name, column in to_columns(made).items()}


def _weights(sparse: dict[str, list[Any]]) -> dict[int, float]:
    return {index: float(value) for index, value in zip(sparse["indices"], sparse["values"], strict=True)}


def test_dense_and_sparse_rows_of_milvus_are_those_of_the_dataset(three: Job) -> None:
    record = three.run(outputs="sparse,dense")
    rows, stored = three.rows(), three.stored()
    assert rows.keys() == stored.keys()
    assert len(rows) == 5
    for identity, row in rows.items():
        expected = _encoded(row["text"], ("dense", "sparse"))
        assert {name: stored[identity][name] for name in expected} == expected
        vector = np.array(expected["vector"], np.float32)
        np.testing.assert_allclose(row["dense"], vector / np.linalg.norm(vector), atol=1e-6)
        assert row["sparse"] == pytest.approx(_weights(expected["sparse"]), abs=1e-7)
    assert "multi" not in next(iter(stored.values()))
    assert record["computation"]["outputs"] == ["dense", "sparse"]
    assert record["representation"]["outputs"] == ["dense", "sparse"]
    ENCODED.clear()
    OPENED.clear()
    again = three.run(outputs="dense,sparse")
    assert (row_counts(again), ENCODED, OPENED) == ((5, 0, 5, 0), [], [])
    assert three.rows() == rows


def test_sparse_alone(three: Job) -> None:
    record = three.run(outputs="sparse")
    rows, stored = three.rows(), three.stored()
    assert len(rows) == 5
    for identity, row in rows.items():
        assert "dense" not in row
        assert "vector" not in stored[identity]
        assert row["sparse"] == pytest.approx(_weights(_encoded(row["text"], ("sparse",))["sparse"]), abs=1e-7)
    assert record["representation"] == {"outputs": ["sparse"]}
    assert record["exit_code"] == 0
    ENCODED.clear()
    assert row_counts(three.run(outputs="sparse")) == (5, 0, 5, 0)
    assert ENCODED == []


def test_vectors_of_tokens_are_refused_by_milvus_lite_and_kept_in_the_dataset(three: Job) -> None:
    with pytest.raises(ConfigurationError) as caught:
        three.run(outputs=ALL)
    assert "does not hold the output 'multi', Milvus servers do from version 2.6.4 on" in str(caught.value)
    assert "--milvus-outputs dense,sparse" in str(caught.value)
    assert (ENCODED, three.stored()) == ([], {})
    three.run(outputs=ALL, milvus_outputs="dense,sparse")
    rows, stored = three.rows(), three.stored()
    for identity, row in rows.items():
        assert {name: stored[identity][name] for name in ("vector", "sparse", "multi")} == _encoded(
            row["text"], ("dense", "sparse", "multi")
        )
        assert "multi" not in row
    ENCODED.clear()
    # Another collection takes other outputs of the same dataset.
    record = three.run(outputs=ALL, milvus_outputs="sparse", collection="second")
    assert (ENCODED, row_counts(record)) == ([], (5, 5, 0, 0))
    assert {identity: row["sparse"] for identity, row in three.rows("second").items()} == {
        identity: row["sparse"] for identity, row in rows.items()
    }


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({}, {"outputs": "dense,sparse"}, "outputs: dense in the collection, dense,sparse in this run"),
        (
            {"outputs": "dense,sparse"},
            {"outputs": "dense,sparse", "milvus_outputs": "dense"},
            "milvus_outputs: dense,sparse in the collection, dense in this run",
        ),
        ({"outputs": "sparse"}, {"outputs": "dense"}, f"dimensions: None in the collection, {DIMENSIONS} in this run"),
    ],
    ids=["more", "held", "other"],
)
def test_another_choice_of_outputs_is_refused_with_the_difference(
    three: Job, first: dict[str, Any], second: dict[str, Any], said: str
) -> None:
    three.run(**first)
    rows = three.rows()
    ENCODED.clear()
    with pytest.raises(ConfigurationError) as caught:
        three.run(**second)
    assert f"collection {COLLECTION!r} holds vectors of another space" in str(caught.value)
    assert said in str(caught.value)
    assert ENCODED == []
    assert three.rows() == rows


@pytest.mark.parametrize("changes", [{"vector_type": "float16"}, {"dimensions": 8}, {"vector_type": "auto"}], ids=str)
def test_a_representation_without_dense_vectors_is_refused(three: Job, changes: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigurationError, match="for dense vectors, and Milvus holds none in this run; leave them out"
    ):
        three.run(outputs="sparse", **changes)


def _target(job: Job) -> Target:
    return Target(str(job.milvus), COLLECTION)


def test_searches_find_by_each_kind_of_vector(three: Job) -> None:
    three.run(outputs="dense,sparse")
    rows = three.rows()
    question = "Sentence 0 of d1 tells about rivers and old towns."
    asked = outputs_of([f"query: |bfloat16|{question}"], DIMENSIONS)
    assert asked.dense is not None
    assert asked.sparse is not None
    query = dict(zip(asked.sparse.indices.tolist(), asked.sparse.values.tolist(), strict=True))
    by_cosine = {one: float(np.array(row["dense"]) @ asked.dense[0]) for one, row in rows.items()}
    by_weights = {
        one: sum(weight * query.get(index, 0) for index, weight in row["sparse"].items()) for one, row in rows.items()
    }

    dense = search(question, _target(three), top=5)
    assert dense == search(question, _target(three), top=5, mode="dense")
    assert [hit["id"] for hit in dense] == sorted(rows, key=lambda one: -by_cosine[one])
    assert {hit["id"]: hit["score"] for hit in dense} == pytest.approx(by_cosine, abs=1e-5)

    sparse = search(question, _target(three), top=5, mode="sparse")
    assert {hit["id"]: hit["score"] for hit in sparse} == pytest.approx(by_weights, abs=1e-4)

    ranks = [{hit["id"]: rank for rank, hit in enumerate(found, 1)} for found in (dense, sparse)]
    fused = {one: sum(1 / (60 + of_kind[one]) for of_kind in ranks) for one in rows}
    hybrid = search(question, _target(three), top=5, mode="hybrid")
    assert {hit["id"]: hit["score"] for hit in hybrid} == pytest.approx(fused, abs=1e-6)
    assert [hit["score"] for hit in hybrid] == sorted((hit["score"] for hit in hybrid), reverse=True)

    german = search(question, _target(three), top=5, mode="hybrid", languages=["de"])
    assert {hit["language"] for hit in german} == {"de"}
    assert len(german) == 3


def test_a_collection_without_dense_vectors_is_searched_by_sparse_ones(three: Job) -> None:
    three.run(outputs="sparse")
    question = "rivers and towns"
    assert search(question, _target(three)) == search(question, _target(three), mode="sparse")
    for mode, said in (
        ("dense", "no dense vectors; choose sparse"),
        ("hybrid", "no dense vectors"),
        ("multi", "no multi"),
    ):
        with pytest.raises(ConfigurationError, match=f"--mode {mode}: the collection holds {said}"):
            search(question, _target(three), mode=mode)  # type: ignore[arg-type]  # of the parameters above


@pytest.fixture(scope="module")
def server() -> Iterator[MilvusServer]:
    with milvus_server("v2.6.4") as started:
        yield started


def test_a_server_of_today_holds_all_three_and_ranks_by_tokens(three: Job, server: MilvusServer) -> None:
    record = three.run(outputs=ALL, vector_type="int8", milvus=server.uri, verify="none")
    assert record["exit_code"] == 0
    assert record["representation"]["vector_type"] == "int8"
    stored = three.stored()
    written = 0
    for request in server.of("Upsert"):
        data = {one.field_name: one for one in request.fields_data}
        ids = list(data["id"].scalars.string_data.data)
        numbers = np.frombuffer(vector_bytes(data["dense"]), np.int8).reshape(-1, DIMENSIONS).astype(np.float32)
        for identity, row, tokens in zip(
            ids, numbers, data["multi"].struct_arrays.fields[0].vectors.vector_array.data, strict=True
        ):
            full = np.array(stored[identity]["vector"], np.float32)
            assert row @ full / np.linalg.norm(row) / np.linalg.norm(full) > 0.999
            assert list(tokens.float_vector.data) == [float(n) for one in stored[identity]["multi"] for n in one]
            written += 1
    assert written == 5
    server.requests.clear()
    hits = search("rivers", Target(server.uri, COLLECTION), mode="hybrid", top=2)
    assert len(hits) == 2
    # Of dense vectors, of sparse ones, and again by those of tokens.
    assert len(server.of("Search")) == len(server.requests) == 3


def test_bits_of_rows_and_queries_are_cut_at_one_calibration(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipelines.queries.open_encoder",
        lambda model, prompt, computation, _: fakes.open_fake_encoder(model, prompt, computation),
    )
    job.write("a.jsonl", [document(f"d{number}", story(f"d{number}", 4)) for number in range(60)])
    job.run()
    ENCODED.clear()
    with milvus_server("v2.3.5") as server:
        record = job.run(vector_type="binary", milvus=server.uri, verify="none")
        assert (ENCODED, record["exit_code"], row_counts(record)) == ([], 0, (120, 120, 0, 0))
        target = Target(server.uri, COLLECTION)
        collection = Collection(target)
        recorded = collection.space().recorded
        collection.close()
        assert recorded is not None
        assert recorded.calibration == record["representation"]["calibration"]
        representation = reopen(recorded, record["embedding_space"], DIMENSIONS)
        stored = job.stored()
        bits = {
            identity: represent(np.array([row["vector"]], np.float32), representation).tobytes()
            for identity, row in stored.items()
        }
        written = {}
        for request in server.of("Upsert"):
            data = {one.field_name: one for one in request.fields_data}
            whole = vector_bytes(data["dense"])
            for place, identity in enumerate(data["id"].scalars.string_data.data):
                written[identity] = whole[place * DIMENSIONS // 8 : (place + 1) * DIMENSIONS // 8]
        assert written == bits
        search("rivers", target)
        asked = outputs_of(["query: |bfloat16|rivers"], DIMENSIONS).dense
        assert asked is not None
        assert represent(asked, representation).tobytes() in server.requests[-1].placeholder_group
        # The calibration of a collection stands, whatever the dataset holds by now.
        job.write("b.jsonl", [document("late", story("late", 4))])
        later = job.run(vector_type="binary", milvus=server.uri, verify="none")
        assert later["representation"]["calibration"] == recorded.calibration
        assert row_counts(later) == (122, 2, 120, 0)
