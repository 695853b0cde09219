"""A collection on Milvus Lite, and the ways in which a server can fail."""

import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from pymilvus import MilvusClient, MilvusException

from transforms.adapters import milvus
from transforms.adapters.milvus import Collection, CollectionSpace, Target, connect, is_lite_path, release, served
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, TransientError
from transforms.logic.identity import digest

SPACE = CollectionSpace(
    embedding_space="e" * 32,
    model="some/model",
    revision="a" * 40,
    dtype="bfloat16",
    query_prompt='query: "ä" ',
    dimensions=4,
    vector_type="float32",
    partition_by="language",
    document_prompt="passage: ",
)
DIRECTIONS = {"de": [1.0, 0.0, 0.0, 0.0], "fr": [0.0, 1.0, 0.0, 0.0], "th": [0.6, 0.8, 0.0, 0.0]}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Milvus Lite that the tests of this module share, each with a collection of its own."""
    path = str(tmp_path_factory.mktemp("milvus") / "milvus.db")
    yield path
    release(path)


@pytest.fixture
def target(uri: str, request: pytest.FixtureRequest) -> Target:
    return served(Target(uri, f"c_{digest(request.node.name).hex()}"))


@pytest.fixture
def collection(target: Target) -> Iterator[Collection]:
    """An empty collection, created and loaded."""
    opened = Collection(target)
    opened.create(SPACE)
    yield opened
    opened.close()


def row(number: int, language: str = "de", **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{number:032x}",
        "document_id": f"document {number}",
        "ordinal": 0,
        "start": 0,
        "end": 4,
        "text": f"text {number}",
        "language": language,
        "language_score": 0.75,
        "chunk_language": language,
        "chunk_language_score": 0.75,
        "unknown_fraction": 0.0,
        "script": "Latn",
        "tokens": 1,
        "source": "a.jsonl",
        "date": "2026-11-21",
        "metadata": {"title": "größer 🎉", "tags": ["a"], "n": None},
        "dense": DIRECTIONS[language],
        **changes,
    }


def found(collection: Collection, vector: Sequence[float], partitions: Sequence[str] | None = None) -> list[str]:
    return [hit["id"] for hit in collection.search(vector, 10, partitions, ["text"])]


# --- the collection ---


def test_a_collection_remembers_its_space(target: Target) -> None:
    opened = Collection(target)
    assert not opened.exists()
    opened.create(SPACE)
    assert opened.exists()
    assert Collection(target).space() == SPACE
    other = Collection(replace(target, collection="without_revision"))
    other.create(replace(SPACE, revision=None, dimensions=7))
    assert other.space() == replace(SPACE, revision=None, dimensions=7)
    assert opened.counts() == {}
    assert opened.version


def test_a_collection_of_somebody_else_is_refused(target: Target) -> None:
    client = MilvusClient(target.uri)
    client.create_collection("foreign", dimension=4)
    with pytest.raises(ConfigurationError, match="'foreign' exists but was not made by corpus-embed"):
        Collection(replace(target, collection="foreign")).space()
    client.close()


@pytest.mark.parametrize(
    "text",
    ["", "words", "[]", "3", "null", "{}", '{"format": 2}', '{"format": 2, "model": "a"}', '{"format": 3}', '"text"'],
)
def test_a_description_of_somebody_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        CollectionSpace.from_json(text)


@pytest.mark.parametrize("languages", [None, (), ("de", "th")])
def test_a_space_reads_back_as_written(languages: tuple[str, ...] | None) -> None:
    space = replace(SPACE, languages=languages)
    assert CollectionSpace.from_json(space.to_json()) == space


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (1, "written in format 1, this version reads 2; choose another --collection"),
        (3, "written in format 3, this version reads 2; use a newer corpus-embed"),
    ],
)
def test_a_space_of_another_version_is_refused_with_what_to_do(version: int, said: str) -> None:
    text = SPACE.to_json().replace('"format": 2', f'"format": {version}')
    with pytest.raises(ConfigurationError, match=said):
        CollectionSpace.from_json(text)


# --- rows ---


def test_rows_are_written_counted_found_and_deleted_by_partition(collection: Collection) -> None:
    collection.upsert("lang_de", [row(number) for number in range(5)])
    collection.upsert("lang_fr", [row(number, "fr") for number in range(10, 13)])
    assert collection.counts() == {"lang_de": 5, "lang_fr": 3}
    assert {"_default", "lang_de", "lang_fr"} <= set(collection.partitions())
    assert set(found(collection, DIRECTIONS["de"], ["lang_fr"])) == {f"{number:032x}" for number in range(10, 13)}
    assert len(found(collection, DIRECTIONS["de"])) == 8
    assert found(collection, DIRECTIONS["fr"])[0] in {f"{number:032x}" for number in range(10, 13)}
    collection.delete("lang_de", [f"{number:032x}" for number in (1, 3, 99)])
    assert collection.counts() == {"lang_de": 3, "lang_fr": 3}
    assert set(found(collection, DIRECTIONS["de"], ["lang_de"])) == {f"{number:032x}" for number in (0, 2, 4)}


def test_a_row_comes_back_as_it_went_in(collection: Collection) -> None:
    written = row(7, "th", text="น้ำ 🎉\n'\"\\", ordinal=3, start=10, end=16)
    collection.upsert("lang_th", [written])
    fields = [name for name in written if name not in {"id", "dense"}]
    (hit,) = collection.search(DIRECTIONS["th"], 1, None, fields)
    assert hit.pop("score") == pytest.approx(1, abs=1e-5)
    assert hit == {name: written[name] for name in ("id", *fields)}


def test_scores_are_cosines_best_first(collection: Collection) -> None:
    for number, language in enumerate(DIRECTIONS):
        collection.upsert(f"lang_{language}", [row(number, language)])
    hits = collection.search([2.0, 0.0, 0.0, 0.0], 3, None, ["language"])
    assert [hit["language"] for hit in hits] == ["de", "th", "fr"]
    assert [hit["score"] for hit in hits] == pytest.approx([1, 0.6, 0], abs=1e-5)
    assert [hit["language"] for hit in collection.search([2.0, 0.0, 0.0, 0.0], 1, None, ["language"])] == ["de"]


def test_a_search_finds_only_documents_in_the_chosen_languages(collection: Collection) -> None:
    for number, language in enumerate(DIRECTIONS):
        collection.upsert(f"lang_{language}", [row(number, language)])
    hits = collection.search(DIRECTIONS["de"], 10, None, ["language"], ["th", "yo"])
    assert {hit["language"] for hit in hits} == {"th"}


def test_an_upsert_again_changes_nothing_and_a_changed_row_replaces(collection: Collection) -> None:
    rows = [row(number) for number in range(4)]
    collection.upsert("lang_de", rows)
    collection.upsert("lang_de", rows)
    collection.upsert("lang_de", [row(2, text="changed")])
    assert collection.counts() == {"lang_de": 4}
    texts = {hit["id"]: hit["text"] for hit in collection.search(DIRECTIONS["de"], 10, None, ["text"])}
    assert texts == {**{f"{number:032x}": f"text {number}" for number in range(4)}, f"{2:032x}": "changed"}


def test_the_default_partition_needs_no_making(collection: Collection) -> None:
    collection.upsert("_default", [row(1)])
    assert collection.counts() == {"_default": 1}


def test_a_partition_that_another_worker_made_is_used(target: Target, collection: Collection) -> None:
    other = Collection(target)
    other.upsert("lang_de", [row(1)])
    collection.upsert("lang_de", [row(2)])
    assert other.counts() == collection.counts() == {"lang_de": 2}
    other.close()


def test_a_partition_made_in_between_is_used(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    create = MilvusClient.create_partition

    def too_late(client: MilvusClient, *args: Any, **settings: Any) -> None:
        create(client, *args, **settings)
        raise MilvusException(code=1, message="partition already exists")

    monkeypatch.setattr(MilvusClient, "create_partition", too_late)
    collection.upsert("lang_de", [row(1)])
    assert collection.counts() == {"lang_de": 1}


def test_deleting_from_a_partition_that_is_not_there_is_no_error(collection: Collection) -> None:
    collection.upsert("lang_de", [row(1)])
    collection.delete("lang_xx", [f"{1:032x}"])
    assert collection.counts() == {"lang_de": 1}


def test_the_longest_values_fit(collection: Collection) -> None:
    longest = row(1, document_id="ä" * 512, text="ก" * 21_845, source="s" * 65_535, date="9" * 256)
    collection.upsert("lang_de", [longest])
    (hit,) = collection.search(DIRECTIONS["de"], 1, None, ["text", "document_id"])
    assert (hit["text"], hit["document_id"]) == (longest["text"], longest["document_id"])


# --- failures ---


class _Waits(list[float]):
    """Takes the place of waiting, and remembers it."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> _Waits:
    recorded = _Waits()
    monkeypatch.setattr("tenacity.nap.time.sleep", recorded)
    return recorded


class _RpcError(grpc.RpcError):  # type: ignore[misc]  # grpc has no types
    """What a call that Milvus Lite does not have, or a lost connection, raises."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__(code.name)
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


def failing(monkeypatch: pytest.MonkeyPatch, method: str, error: Exception, times: int) -> list[Mapping[str, Any]]:
    """Lets a method of the client fail so many times before it works; gives the list of its calls."""
    calls: list[Mapping[str, Any]] = []
    works = getattr(MilvusClient, method)

    def sometimes(client: MilvusClient, *args: Any, **settings: Any) -> Any:
        calls.append(settings)
        if len(calls) <= times:
            raise error
        return works(client, *args, **settings)

    monkeypatch.setattr(MilvusClient, method, sometimes)
    return calls


PASSING = [
    MilvusException(code=8, message="rate limit exceeded[rate=10]"),
    MilvusException(code=65535, message="service unavailable: internal"),
    MilvusException(code=101, message="collection not loaded"),
    _RpcError(grpc.StatusCode.UNAVAILABLE),
    _RpcError(grpc.StatusCode.DEADLINE_EXCEEDED),
]
LASTING = [
    MilvusException(code=1100, message="the length (70000) of varchar field text exceeds max length"),
    MilvusException(code=1, message="collection not found"),
    _RpcError(grpc.StatusCode.UNIMPLEMENTED),
]


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_what_may_pass_is_tried_again(
    collection: Collection, waits: _Waits, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    calls = failing(monkeypatch, "upsert", error, times=3)
    collection.upsert("lang_de", [row(1)])
    assert len(calls) == 4
    assert len(waits) == 3
    assert collection.counts() == {"lang_de": 1}


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_what_does_not_pass_in_time_is_transient(
    collection: Collection, waits: _Waits, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    calls = failing(monkeypatch, "upsert", error, times=1000)
    with pytest.raises(TransientError, match=r"Milvus upsert failed 6 times"):
        collection.upsert("lang_de", [row(1)])
    assert len(calls) == 6
    assert len(waits) == 5
    assert all(0 <= seconds <= 20 for seconds in waits)


@pytest.mark.parametrize("error", LASTING, ids=str)
def test_what_cannot_pass_is_not_tried_again(
    collection: Collection, waits: _Waits, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    calls = failing(monkeypatch, "upsert", error, times=1000)
    with pytest.raises(CorpusEmbedError, match="Milvus refused upsert") as caught:
        collection.upsert("lang_de", [row(1)])
    assert not isinstance(caught.value, TransientError)
    assert len(calls) == 1
    assert waits == []


@pytest.mark.parametrize(
    "method", ["query", "search", "delete", "list_partitions", "has_collection", "describe_collection"]
)
def test_every_call_has_a_time_limit_and_is_tried_again(
    collection: Collection, waits: _Waits, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    collection.upsert("lang_de", [row(1)])
    calls = failing(monkeypatch, method, PASSING[0], times=1)
    assert collection.exists()
    assert collection.space() == SPACE
    assert collection.counts() == {"lang_de": 1}
    assert len(found(collection, DIRECTIONS["de"])) == 1
    collection.delete("lang_de", [f"{1:032x}"])
    assert len(waits) == 1
    assert {settings["timeout"] for settings in calls} == {milvus.CALL_TIMEOUT_SECONDS}


def test_a_row_that_the_server_refuses_is_an_error_of_its_own(collection: Collection) -> None:
    with pytest.raises(CorpusEmbedError, match="Milvus refused upsert"):
        collection.upsert("lang_de", [row(1, dense=[1.0, 2.0])])


def test_an_address_without_a_server_is_named_within_seconds() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(ConfigurationError, match=f"Milvus at '{address}' does not answer"):
        Collection(Target(address, "corpus"))
    with pytest.raises(TransientError, match=address):
        connect(Target(address, "corpus"))
    assert time.monotonic() - started < 2 * (milvus.CONNECT_TIMEOUT_SECONDS + 3)


@pytest.mark.parametrize("uri", ["milvus", "milvus.sqlite", "gs://bucket/milvus.db", "localhost:19530", "", "db"])
def test_an_address_of_no_known_kind_is_named(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--milvus .* neither a path ending in \.db") as caught:
        served(Target(uri, "corpus"))
    assert repr(uri) in str(caught.value)


def test_addresses_of_servers_are_left_alone() -> None:
    for uri in ("http://127.0.0.1:19530", "https://example.org", "tcp://127.0.0.1:1", "unix:/run/milvus.sock"):
        assert not is_lite_path(uri)
        assert served(Target(uri, "corpus", "TOKEN")) == Target(uri, "corpus", "TOKEN")
        release(uri)


# --- Milvus Lite's one process ---


def test_a_database_has_one_server_in_a_process(uri: str, target: Target) -> None:
    assert served(Target(uri, "other", "TOKEN")) == Target(target.uri, "other", "TOKEN")
    assert target.uri.startswith("http://127.0.0.1:")


def test_a_released_database_opens_again_with_its_rows(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "milvus.db")
    for round_number in range(3):
        opened = Collection(served(Target(path, "corpus")))
        if not opened.exists():
            opened.create(SPACE)
        else:
            opened.load()
            assert opened.space() == SPACE
            assert opened.counts() == {"lang_de": round_number}
            assert len(found(opened, DIRECTIONS["de"])) == round_number
        opened.upsert("lang_de", [row(round_number)])
        opened.close()
        release(path)
    release(path)


_HOLDER = """
import sys
from transforms.adapters.milvus import Target, release, served

served(Target(sys.argv[1], "corpus"))
print("open", flush=True)
sys.stdin.readline()
release(sys.argv[1])
"""


def test_a_database_that_another_process_has_open_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "milvus.db")
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, path],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    assert holder.stdout.readline() == "open\n"
    try:
        with pytest.raises(ConfigurationError, match="another process has it open") as caught:
            served(Target(path, "corpus"))
        assert repr(path) in str(caught.value)
    finally:
        holder.communicate("go\n", timeout=60)
    assert holder.returncode == 0
    served(Target(path, "corpus"))
    release(path)


def test_a_database_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = str(tmp_path / "file" / "milvus.db")
    with pytest.raises(ConfigurationError) as caught:
        served(Target(path, "corpus"))
    assert repr(path) in str(caught.value)


# --- the token ---


def test_a_token_that_is_not_set_is_named(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORPUS_EMBED_TEST_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match="'CORPUS_EMBED_TEST_TOKEN' named by --milvus-token-env is not set"):
        Collection(replace(target, token_env="CORPUS_EMBED_TEST_TOKEN"))


def test_a_token_is_read_where_it_is_used_and_nowhere_kept(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "user:hunter2"
    monkeypatch.setenv("CORPUS_EMBED_TEST_TOKEN", secret)
    named = replace(target, token_env="CORPUS_EMBED_TEST_TOKEN")
    seen: list[str] = []
    initialise = MilvusClient.__init__

    def remember(client: MilvusClient, *args: Any, **settings: Any) -> None:
        seen.append(settings["token"])
        initialise(client, *args, **settings)

    monkeypatch.setattr(MilvusClient, "__init__", remember)
    Collection(named).close()
    assert seen == [secret]
    assert secret not in repr(named)
    assert secret.encode() not in pickle.dumps(named)
    assert pickle.loads(pickle.dumps(named)) == named


def test_a_token_is_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "user:hunter2"
    monkeypatch.setenv("CORPUS_EMBED_TEST_TOKEN", secret)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ConfigurationError) as caught:
        Collection(Target(address, "corpus", "CORPUS_EMBED_TEST_TOKEN"))
    assert secret not in str(caught.value)
