"""A collection on Milvus Lite, and the ways in which a server can fail."""

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymilvus import MilvusClient, MilvusException
from pymilvus.grpc_gen import common_pb2

from tests.milvus_server import MilvusServer, milvus_server
from tests.transforms.adapters.milvus.four import DIRECTIONS, SPACE, asked, found, row
from transforms.adapters import milvus
from transforms.adapters.milvus import Collection, Target, connect
from transforms.adapters.milvus.requests import MAX_REQUEST_BYTES
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, CorruptDataError, TransientError


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


def test_partitions_are_counted_side_by_side_on_a_server_and_one_by_one_on_lite(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A strong count waits for a server's next time tick, so 75 one after the other would wait half a minute."""
    count = Collection._count
    together = threading.Barrier(2, timeout=20)
    threads: set[int] = set()

    def counted(self: Collection, partition: str) -> int:
        threads.add(threading.get_ident())
        if not self.is_lite:
            together.wait()
        return count(self, partition)

    monkeypatch.setattr(Collection, "_count", counted)
    collection.upsert("lang_de", [row(1)])
    assert collection.counts() == {"lang_de": 1}
    assert len(threads) == 1
    with milvus_server("v2.6.4") as server:
        opened = Collection(Target(server.uri, "c"))
        opened.create(SPACE)
        for language in ("de", "fr", "th"):
            opened.upsert(f"lang_{language}", [row(number, language) for number in range(3)])
        assert opened.counts() == {"lang_de": 3, "lang_fr": 3, "lang_th": 3}
        opened.close()


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


RATE_LIMIT = MilvusException(code=8, message="rate limit exceeded[rate=10]")


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


@pytest.mark.parametrize(
    "method",
    ["get_partition_stats", "search", "delete", "list_partitions", "has_collection", "describe_collection"],
)
def test_every_call_has_a_time_limit_and_is_tried_again(
    collection: Collection, waits: _Waits, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    collection.upsert("lang_de", [row(1)])
    calls = failing(monkeypatch, method, RATE_LIMIT, times=1)
    assert collection.exists()
    assert collection.space() == SPACE
    assert collection.counts() == {"lang_de": 1}
    assert len(found(collection, DIRECTIONS["de"])) == 1
    collection.delete("lang_de", [f"{1:032x}"])
    assert len(waits) == 1
    assert {settings["timeout"] for settings in calls} == {milvus.CALL_TIMEOUT_SECONDS}


# --- rows that are refused ---


@pytest.fixture
def double() -> Iterator[MilvusServer]:
    with milvus_server("v2.6.4") as server:
        yield server


@pytest.fixture
def sharp(double: MilvusServer) -> Iterator[Collection]:
    """A collection of a server that can be told what to refuse."""
    opened = Collection(Target(double.uri, "c"))
    opened.create(SPACE)
    yield opened
    opened.close()


@given(bad=st.sets(st.integers(0, 63), max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exactly_the_rows_that_are_refused_are_found(double: MilvusServer, sharp: Collection, bad: set[int]) -> None:
    double.partitions["lang_de"] = {}
    double.accepts = lambda identity: int(identity, 16) not in bad
    refused = sharp.upsert("lang_de", [row(number) for number in range(64)])
    assert sorted(one.row for one in refused) == sorted(bad)
    assert {one.said for one in refused} <= {"invalid parameter"}
    assert set(double.partitions["lang_de"]) == {f"{number:032x}" for number in set(range(64)) - bad}


def test_one_bad_row_costs_few_requests(double: MilvusServer, sharp: Collection) -> None:
    double.accepts = lambda identity: int(identity, 16) != 300
    sharp.upsert("lang_de", [row(number) for number in range(512)])
    assert double.calls("Upsert") == 1 + 2 * 9


def test_a_server_that_takes_no_row_at_all_is_an_error(double: MilvusServer, sharp: Collection) -> None:
    double.accepts = lambda identity: False
    with pytest.raises(CorpusEmbedError, match="it took none of 16 rows: invalid parameter") as caught:
        sharp.upsert("lang_de", [row(number) for number in range(512)])
    assert not isinstance(caught.value, TransientError)
    assert double.calls("Upsert") < 64


def test_a_row_that_the_client_cannot_send_is_refused_alone(collection: Collection) -> None:
    rows = [row(1), row(2, ordinal="seven"), row(3, dense=[1.0, 2.0]), row(4, text="\ud800"), row(5)]
    assert [one.row for one in collection.upsert("lang_de", rows)] == [1, 2, 3]
    assert set(found(collection, DIRECTIONS["de"])) == {f"{1:032x}", f"{5:032x}"}


def test_an_id_that_comes_twice_is_an_error_and_nothing_is_written(collection: Collection) -> None:
    with pytest.raises(CorruptDataError, match=f"row {1:032x} is to be written twice"):
        collection.upsert("lang_de", [row(1), row(2), row(1, text="other")])
    assert collection.counts() == {}


def test_no_rows_are_no_request(double: MilvusServer, sharp: Collection) -> None:
    assert sharp.upsert("lang_de", []) == []
    assert double.calls("Upsert") == 0


@pytest.mark.parametrize("text_bytes", [60_000, 10_000])
def test_a_request_has_at_most_so_many_bytes(double: MilvusServer, sharp: Collection, text_bytes: int) -> None:
    rows = [row(number, text="ä" * (text_bytes // 2)) for number in range(20_000_000 // text_bytes)]
    sharp.upsert("lang_de", rows)
    sizes = [request.ByteSize() for request in double.of("Upsert")]
    assert len(sizes) == 2
    assert max(sizes) <= MAX_REQUEST_BYTES
    assert sharp.counts() == {"lang_de": len(rows)}


def test_a_server_that_takes_less_gets_less() -> None:
    with milvus_server("v2.6.4", max_request_bytes=1 << 20) as server:
        opened = Collection(Target(server.uri, "c"))
        opened.create(SPACE)
        assert opened.upsert("lang_de", [row(number, text="x" * 50_000) for number in range(64)]) == []
        assert opened.counts() == {"lang_de": 64}
        assert {request.num_rows for request in server.of("Upsert")} == {16}
        opened.close()


def test_a_row_larger_than_a_request_goes_alone(
    double: MilvusServer, sharp: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.adapters.milvus.collection.MAX_REQUEST_BYTES", 300)
    sharp.upsert("lang_de", [row(number, text="x" * 1000) for number in range(3)])
    assert [request.num_rows for request in double.of("Upsert")] == [1, 1, 1]


def test_a_collection_altered_meanwhile_is_looked_up_again(
    double: MilvusServer, sharp: Collection, waits: _Waits
) -> None:
    sharp.upsert("lang_de", [row(1)])
    described = double.calls("DescribeCollection")
    double.fail("Upsert", common_pb2.Status(error_code=common_pb2.SchemaMismatch, reason="schema mismatch"))
    assert sharp.upsert("lang_de", [row(2)]) == []
    assert double.calls("DescribeCollection") == described + 1
    assert len(waits) == 1


@pytest.mark.parametrize("identity", ["", "x", "' or id != '", "A" * 32, f"{1:033x}", f"{1:032x}\n", "é" * 32])
def test_an_id_that_is_none_of_ours_reaches_no_expression(collection: Collection, identity: str) -> None:
    collection.upsert("lang_de", [row(1)])
    with pytest.raises(ValueError, match="not 32 hexadecimal digits"):
        collection.delete("lang_de", [f"{1:032x}", identity])
    assert collection.counts() == {"lang_de": 1}


def test_many_rows_are_deleted_in_several_requests(double: MilvusServer, sharp: Collection) -> None:
    double.partitions["lang_de"] = {f"{number:032x}": None for number in range(10_000)}
    sharp.delete("lang_de", [f"{number:032x}" for number in range(9_000)])
    assert sharp.counts() == {"lang_de": 1000}
    assert double.calls("Delete") == 3


def test_the_bytes_that_each_text_field_holds_are_known(collection: Collection) -> None:
    held = collection.max_bytes()
    assert (held["id"], held["text"], held["document_id"]) == (32, 65_535, 1024)
    assert not {"ordinal", "metadata", "dense"} & set(held)


# --- the server is not there ---


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
