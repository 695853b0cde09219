"""A collection on Milvus Lite, and the ways in which a server can fail."""

import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import grpc
import pytest
from pymilvus import MilvusClient, MilvusException

from tests.transforms.adapters.milvus.four import DIRECTIONS, SPACE, asked, found, row
from transforms.adapters import milvus
from transforms.adapters.milvus import Collection, Target, connect
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, TransientError


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
    (hit,) = asked(collection, DIRECTIONS["th"], 1, fields)
    assert hit.pop("score") == pytest.approx(1, abs=1e-5)
    assert hit == {name: written[name] for name in ("id", *fields)}


def test_scores_are_cosines_best_first(collection: Collection) -> None:
    for number, language in enumerate(DIRECTIONS):
        collection.upsert(f"lang_{language}", [row(number, language)])
    hits = asked(collection, [2.0, 0.0, 0.0, 0.0], 3, ["language"])
    assert [hit["language"] for hit in hits] == ["de", "th", "fr"]
    assert [hit["score"] for hit in hits] == pytest.approx([1, 0.6, 0], abs=1e-5)
    assert [hit["language"] for hit in asked(collection, [2.0, 0.0, 0.0, 0.0], 1, ["language"])] == ["de"]


def test_a_search_finds_only_documents_in_the_chosen_languages(collection: Collection) -> None:
    for number, language in enumerate(DIRECTIONS):
        collection.upsert(f"lang_{language}", [row(number, language)])
    hits = asked(collection, DIRECTIONS["de"], 10, ["language"], languages=["th", "yo"])
    assert {hit["language"] for hit in hits} == {"th"}


def test_a_search_finds_only_rows_with_the_chosen_labels(target: Target) -> None:
    names = ("späße & mehr", "ข่าว", "a/b:c")
    opened = Collection(target)
    opened.create(replace(SPACE, labels=names, labels_digest="0"))
    opened.upsert("lang_de", [row(n, label=name, label_score=0.5) for n, name in enumerate((*names, ""))])
    for name in names:
        hits = asked(opened, DIRECTIONS["de"], 10, ["label", "label_score"], labels=[name], languages=["de"])
        assert [(hit["label"], hit["label_score"]) for hit in hits] == [(name, 0.5)]
    assert len(asked(opened, DIRECTIONS["de"], 10, ["label"], labels=names)) == 3
    opened.close()


def test_an_upsert_again_changes_nothing_and_a_changed_row_replaces(collection: Collection) -> None:
    rows = [row(number) for number in range(4)]
    collection.upsert("lang_de", rows)
    collection.upsert("lang_de", rows)
    collection.upsert("lang_de", [row(2, text="changed")])
    assert collection.counts() == {"lang_de": 4}
    texts = {hit["id"]: hit["text"] for hit in asked(collection, DIRECTIONS["de"], 10, ["text"])}
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
    (hit,) = asked(collection, DIRECTIONS["de"], 1, ["text", "document_id"])
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
