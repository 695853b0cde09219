"""Publication, verification and the guard of spaces on a real server, Milvus 2.3.5."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient
from safetensors.numpy import save_file

from pipelines.configuration import options
from pipelines.configuration.sections import Representation as Wanted
from pipelines.load_vectors import load
from pipelines.preflight.load_plan import Loading
from pipelines.publish import publish, rollback
from pipelines.search import search
from pipelines.verify import verify_collection
from tests import fakes
from tests.pipelines.jobs import Job, document, make_model, story
from tests.transforms.adapters.milvus.four import SPACE
from tests.transforms.adapters.milvus.test_aliases import switch_under_a_reader
from transforms.adapters.milvus import Collection, Target
from transforms.logic.errors import ConfigurationError
from transforms.logic.verification import Kind, Verification

pytestmark = [pytest.mark.milvus, pytest.mark.timeout(300)]

LANGUAGES = ("en", "de")
_names = count()


@pytest.fixture(scope="module")
def client(milvus_235: str) -> Iterator[MilvusClient]:
    opened = MilvusClient(uri=milvus_235)
    before = set(opened.list_collections())
    aliases = set(opened.list_aliases()["aliases"])
    yield opened
    for alias in set(opened.list_aliases()["aliases"]) - aliases:
        opened.drop_alias(alias)
    for name in set(opened.list_collections()) - before:
        opened.drop_collection(name)
    opened.close()


@pytest.fixture(scope="module")
def filled(milvus_235: str, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that has filled the collection `source`, verified in full."""
    home = tmp_path_factory.mktemp("publishing")
    job = Job(home / "job", make_model(home / "model"))
    job.write("a.jsonl", [document(f"d{n}", story(f"d{n}", 4), lang=LANGUAGES[n % 2]) for n in range(70)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
        record = job.run(milvus=milvus_235, collection="source", verify="full")
    assert (record["exit_code"], record["rows"]["held"]) == (0, 140)
    return job


def loaded(job: Job, milvus: str, **changes: Any) -> tuple[str, dict[str, Any]]:
    """A collection of its own with the rows of `source`."""
    name = f"copy_{next(_names)}"
    asked = Loading(str(job.workspace), "source", Target(milvus, name), verify="full", **changes)
    return name, load(asked, options.to_pipeline_options(["--runner=FnApiRunner"]))


def verified(job: Job, milvus: str, collection: str) -> Verification:
    return verify_collection(str(job.workspace), Target(milvus, collection))


def _first(client: MilvusClient, collection: str, partition: str, number: int = 1) -> list[dict[str, Any]]:
    rows = client.query(
        collection,
        filter='id != ""',
        partition_names=[partition],
        output_fields=["*"],
        limit=100,
        consistency_level="Strong",
    )
    return sorted((dict(row) for row in rows), key=lambda row: row["id"])[:number]


def double_row(client: MilvusClient, name: str) -> None:
    client.insert(name, _first(client, name, "lang_de"), partition_name="lang_de")


def put_into_another_partition(client: MilvusClient, name: str) -> None:
    client.upsert(name, _first(client, name, "lang_de"), partition_name="lang_en")


def drop_row(client: MilvusClient, name: str) -> None:
    client.delete(name, ids=[row["id"] for row in _first(client, name, "lang_de", 3)], partition_name="lang_de")


def shuffle_vectors(client: MilvusClient, name: str) -> None:
    rows = _first(client, name, "lang_de", 100)
    vectors = [row["dense"] for row in rows]
    moved = [{**row, "dense": vector} for row, vector in zip(rows, [*vectors[1:], vectors[0]], strict=True)]
    client.upsert(name, moved, partition_name="lang_de")


def release(client: MilvusClient, name: str) -> None:
    client.release_collection(name)


def drop_partition(client: MilvusClient, name: str) -> None:
    client.release_collection(name)
    client.drop_partition(name, "lang_de")
    client.load_collection(name)


def drop_index(client: MilvusClient, name: str) -> None:
    client.release_collection(name)
    client.drop_index(name, "dense")


@pytest.mark.parametrize(
    ("corrupt", "expected"),
    [
        # Lite would put the new row in place of the old one.
        (double_row, {(Kind.COUNT, "lang_de", 1), (Kind.DOUBLED, "lang_de", 1)}),
        # Lite would move it.
        (put_into_another_partition, {(Kind.COUNT, "lang_en", 1), (Kind.UNKNOWN, "lang_en", 1)}),
        (drop_row, {(Kind.COUNT, "lang_de", 3), (Kind.MISSING, "lang_de", 3)}),
        (shuffle_vectors, {(Kind.VECTOR, "lang_de", 50)}),
        (drop_partition, {(Kind.COUNT, "lang_de", 70), (Kind.MISSING, "lang_de", 70)}),
        (release, {(Kind.LOAD, "", 0)}),
        (drop_index, {(Kind.INDEX, "", 0), (Kind.LOAD, "", 0)}),
    ],
)
def test_a_corruption_is_named(
    filled: Job,
    milvus_235: str,
    client: MilvusClient,
    corrupt: Callable[[MilvusClient, str], None],
    expected: set[tuple[Kind, str, int]],
) -> None:
    name, record = loaded(filled, milvus_235)
    assert (record["exit_code"], record["verification"]["findings"]) == (0, [])
    corrupt(client, name)
    found = verified(filled, milvus_235, name)
    told = {
        (one.kind, one.partition, one.count) for one in found.findings if one.kind not in {Kind.NOT_FOUND, Kind.RECALL}
    }
    assert told == expected
    if corrupt is drop_index:
        asked = Loading(str(filled.workspace), "source", Target(milvus_235, name))
        with pytest.raises(ConfigurationError, match=r"index not found.*; corpus-embed verify says what it lacks"):
            load(asked, options.to_pipeline_options(["--runner=FnApiRunner"]))
    if corrupt is double_row:
        (doubled,) = [one for one in found.findings if one.kind == Kind.DOUBLED]
        assert doubled.ids == (_first(client, name, "lang_de")[0]["id"],)


def test_bits_are_loaded_from_the_dataset_and_verified(filled: Job, milvus_235: str) -> None:
    name, record = loaded(filled, milvus_235, representation=Wanted(vector_type="binary"))
    assert (record["exit_code"], record["representation"]["vector_type"]) == (0, "binary")
    found = verified(filled, milvus_235, name)
    assert found.findings == []
    assert found.rows_compared == found.vectors_exact == 100
    # A second load has nothing to write.
    asked = Loading(
        str(filled.workspace), "source", Target(milvus_235, name), representation=Wanted(vector_type="binary")
    )
    assert load(asked, options.to_pipeline_options(["--runner=FnApiRunner"]))["rows"]["written"] == 0


def test_editions_are_published_and_rolled_back(
    filled: Job, milvus_235: str, client: MilvusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
    beam_options = options.to_pipeline_options(["--runner=FnApiRunner"])
    config = options.to_config(filled.options(collection=None, publish="pages", milvus=milvus_235, verify="full"))
    for number in (1, 2, 3):
        filled.write("b.jsonl", [document(f"edition{number}")])
        done = publish(config, beam_options)
        assert (done.exit_code, done.served) == (0, f"pages_000{number}")
        assert publish(config, beam_options).filled is None
    generations = [name for name in client.list_collections() if name.startswith("pages")]
    assert sorted(generations) == ["pages_0002", "pages_0003"]
    assert rollback(str(filled.workspace), milvus_235, "pages") == "pages_0002"
    assert client.describe_collection("pages")["collection_name"] == "pages_0002"
    with pytest.raises(ConfigurationError, match="'pages' is an alias of 'pages_0002'"):
        filled.run(milvus=milvus_235, collection="pages")


def test_a_hundred_switches_under_a_reader(milvus_235: str) -> None:
    target = Target(milvus_235, "switched")
    seen = switch_under_a_reader(target, 100)
    assert set(seen) == {"switched_1", "switched_2"}
    assert seen.total() > 100


def test_this_server_drops_what_an_alias_means_if_nobody_minds(milvus_235: str, client: MilvusClient) -> None:
    """Why `Alias.drop` asks first; later versions refuse it themselves."""
    collection = Collection(Target(milvus_235, "minded"))
    collection.create(SPACE)
    client.create_alias("minded", "reader_of_minded")
    client.drop_collection("minded")
    assert "minded" not in client.list_collections()
    collection.close()


def test_the_space_is_recorded_and_guarded(filled: Job, milvus_235: str, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = Collection(Target(milvus_235, "guarded"))
    collection.create(SPACE)
    assert collection.space() == SPACE
    # Properties can be altered, and are read before the description.
    collection.record(replace(SPACE, max_tokens=77))
    assert collection.space() == replace(SPACE, max_tokens=77)
    collection.close()
    monkeypatch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
    with pytest.raises(ConfigurationError) as caught:
        filled.run(milvus=milvus_235, collection="source", document_prompt="other: ", dimensions=8)
    message = str(caught.value)
    assert "collection 'source' holds vectors of another space" in message
    for difference in ("embedding_space: ", "dimensions: 16 in the collection, 8", "document_prompt: 'passage: ' in"):
        assert difference in message
    other = make_model(filled.home / "other-model")
    (other / "config_sentence_transformers.json").write_text('{"prompts": {}}', encoding="utf-8")
    save_file({"weight": np.ones(1, np.float32)}, other / "model.safetensors")
    with pytest.raises(ConfigurationError, match="is of another space than collection 'source'"):
        search("rivers", Target(milvus_235, "source"), model=str(other))
