"""The index of a collection: chosen once, recorded, and never changed silently."""

from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.configuration import options
from pipelines.preflight.run_plan import plan_run
from tests.milvus_server import MilvusServer, milvus_server
from tests.pipelines.jobs import COLLECTION, Job, document
from transforms.adapters.milvus import Collection, Target, release, served
from transforms.logic.errors import ConfigurationError


@pytest.fixture
def filled(job: Job) -> Job:
    """A job with a corpus."""
    job.write("a.jsonl", [document("d0")])
    return job


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MilvusServer]:
    # The client sleeps before it asks whether an index is there.
    monkeypatch.setattr("pymilvus.client.grpc_handler.time.sleep", lambda _: None)
    with milvus_server("v2.6.4") as started:
        yield started


def _index(job: Job, **changes: Any) -> str | None:
    """The index that the collection records after a run was planned."""
    plan_run(options.to_config(job.options(**changes)))
    uri = changes.get("milvus", str(job.milvus))
    collection = Collection(served(Target(uri, COLLECTION)))
    index = collection.space().index
    collection.close()
    release(uri)
    return index


def _built(server: MilvusServer) -> dict[str, str]:
    (request,) = server.of("CreateIndex")
    return {pair.key: pair.value for pair in request.extra_params}


def test_a_small_collection_gets_the_index_of_the_server(filled: Job, server: MilvusServer) -> None:
    assert _index(filled, milvus=server.uri) == "AUTOINDEX"
    assert _built(server)["index_type"] == "AUTOINDEX"


def test_an_index_that_is_asked_for_is_built_and_recorded(filled: Job, server: MilvusServer) -> None:
    asked = {"index": "HNSW", "index_parameters": "M=32,efConstruction=360", "milvus": server.uri}
    assert _index(filled, **asked) == "HNSW M=32 efConstruction=360"
    built = _built(server)
    assert (built["index_type"], built["metric_type"]) == ("HNSW", "COSINE")
    assert (built["M"], built["efConstruction"]) == ("32", "360")
    # It stands, also for a run that does not name it.
    assert _index(filled, milvus=server.uri) == _index(filled, **asked) == "HNSW M=32 efConstruction=360"
    assert len(server.of("CreateIndex")) == 1
    with pytest.raises(
        ConfigurationError,
        match="--index asks for HNSW M=16 efConstruction=200, the collection was made with HNSW M=32 efConstruction=360",
    ):
        _index(filled, milvus=server.uri, index="HNSW")


def test_a_large_corpus_gets_an_index_that_fits_memory(
    filled: Job, server: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.preflight.run_plan._text_bytes", lambda _: 10 * 1024**4)
    assert _index(filled, milvus=server.uri) == "IVF_RABITQ nlist=1024 refine=true refine_type=SQ8"
    built = _built(server)
    assert (built["nlist"], built["refine"], built["refine_type"]) == ("1024", "true", "SQ8")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"index": "IVF_RABITQ"}, "Milvus Lite 3.2.2 does not build it, Milvus servers do from version 2.6.0 on"),
        ({"index": "BIN_FLAT"}, "Milvus Lite 3.2.2 does not build it"),
        ({"index": "GPU_CAGRA"}, "--index GPU_CAGRA is unknown; choose auto, or one of AUTOINDEX"),
        ({"index": "HNSW", "index_parameters": "ef=10"}, "HNSW has no such parameter; it has M, efConstruction"),
        ({"index_parameters": "M=10"}, "--index-parameters are those of a type; name it by --index"),
    ],
)
def test_what_is_no_index_here_is_refused_before_a_collection_is_made(
    filled: Job, changes: dict[str, Any], said: str
) -> None:
    try:
        with pytest.raises(ConfigurationError) as caught:
            plan_run(options.to_config(filled.options(**changes)))
        assert said in str(caught.value)
        with filled.client() as client:
            assert client.list_collections() == []
    finally:
        release(str(filled.milvus))


def test_an_index_of_dense_vectors_needs_dense_vectors(filled: Job, heads: Any) -> None:
    filled.model = heads
    try:
        with pytest.raises(ConfigurationError, match="--index HNSW is for dense vectors, and Milvus holds none"):
            plan_run(options.to_config(filled.options(index="HNSW", outputs="sparse")))
    finally:
        release(str(filled.milvus))
