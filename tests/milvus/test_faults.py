"""No fault is silent: each ends in the right rows, or in an error that names it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import grpc
import pytest
from pymilvus.grpc_gen import common_pb2

from tests.milvus.backends import SPACE, Backend
from tests.milvus_server import Fault, MilvusServer, Odd, milvus_server
from tests.pipelines.jobs import Job, document
from tests.proxy import FaultProxy, Mode, fault_proxy
from tests.transforms.adapters.milvus.four import row
from transforms.adapters.milvus import Collection, Target, calls
from transforms.adapters.milvus.calls import ONE_ATTEMPT, call
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, TransientError

FOUR = replace(SPACE, dimensions=4)
ROWS = [row(number) for number in range(8)]
IDS = [str(one["id"]) for one in ROWS]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of no length; the budgets and the pauses themselves have tests of their own."""
    monkeypatch.setattr(calls, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(calls, "_MAX_PAUSE_SECONDS", 0.01)


@pytest.fixture
def double() -> Iterator[MilvusServer]:
    with milvus_server("v2.6.4") as server:
        yield server


@pytest.fixture
def collection(double: MilvusServer) -> Iterator[Collection]:
    """A collection with the rows of `ROWS`, and an alias of another."""
    opened = Collection(Target(double.uri, "c"))
    opened.create(FOUR)
    double.aliases["live"] = "before"
    opened.upsert("lang_de", ROWS[:4])
    yield opened
    opened.close()


@dataclass(frozen=True)
class Operation:
    """Something that a run asks of a server, and whether it is so afterwards."""

    method: str
    does: Callable[[Collection], object]
    is_done: Callable[[MilvusServer], bool]


OPERATIONS = {
    "upsert": Operation(
        "Upsert",
        lambda collection: collection.upsert("lang_de", ROWS),
        lambda server: list(server.partitions["lang_de"]) == IDS,
    ),
    "delete": Operation(
        "Delete",
        lambda collection: collection.delete("lang_de", IDS[:3]),
        lambda server: list(server.partitions["lang_de"]) == IDS[3:4],
    ),
    "count": Operation(
        "Query", lambda collection: collection._count("lang_de"), lambda server: server.calls("Query") > 0
    ),
    "alias": Operation(
        "AlterAlias",
        lambda collection: call("alter_alias", lambda: collection._client.alter_alias("c", "live", **ONE_ATTEMPT)),
        lambda server: server.aliases == {"live": "c"},
    ),
}
PASSING: dict[str, Fault] = {
    "rate limit": common_pb2.Status(code=8, error_code=common_pb2.RateLimit, reason="rate limit exceeded[rate=1]"),
    "quota": common_pb2.Status(code=9, error_code=common_pb2.ForceDeny, reason="quota exceeded[reason=memory quota]"),
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "not ready": common_pb2.Status(code=2, error_code=common_pb2.NotReadyServe, reason="service unavailable"),
    "deadline": grpc.StatusCode.DEADLINE_EXCEEDED,
    "lost reply": Odd.LOST_REPLY,
}
LASTING: dict[str, tuple[Fault, type[Exception], str]] = {
    "auth": (common_pb2.Status(code=1400, reason="not authenticated"), ConfigurationError, "not authenticated"),
    "auth call": (grpc.StatusCode.UNAUTHENTICATED, ConfigurationError, "UNAUTHENTICATED as told"),
    "gone": (
        common_pb2.Status(code=100, error_code=4, reason="collection not found"),
        ConfigurationError,
        "collection not found; check .*who drops collections",
    ),
    "schema": (common_pb2.Status(code=1100, reason="invalid parameter"), CorpusEmbedError, "invalid parameter"),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_leaves_the_right_state(
    double: MilvusServer, collection: Collection, operation: Operation, fault: Fault
) -> None:
    before = double.calls(operation.method)
    double.fail(operation.method, fault, times=3)
    result = operation.does(collection)
    assert operation.is_done(double)
    assert double.calls(operation.method) == before + 4
    assert result in ([], None, 4)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_does_not_pass_is_named(
    double: MilvusServer,
    collection: Collection,
    operation: Operation,
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "_seconds", lambda *_: 0.2)
    double.fail(operation.method, fault, times=10_000)
    with pytest.raises(TransientError, match=r"Milvus \w+ failed [0-9]+ times, for up to 0.2 seconds: .+; run again"):
        operation.does(collection)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize(("fault", "kind", "said"), LASTING.values(), ids=LASTING)
def test_what_lasts_is_named_at_once(
    double: MilvusServer,
    collection: Collection,
    operation: Operation,
    fault: Fault,
    kind: type[Exception],
    said: str,
) -> None:
    before = double.calls(operation.method)
    double.fail(operation.method, fault, times=10_000)
    if (operation.method, kind) == ("Upsert", CorpusEmbedError):
        # It may be the rows, as long as they are few.
        refused = collection.upsert("lang_de", ROWS)
        assert [one.said for one in refused] == [said] * len(ROWS)
        assert list(double.partitions["lang_de"]) == IDS[:4]
        return
    with pytest.raises(kind, match=said) as caught:
        operation.does(collection)
    assert type(caught.value) is kind
    assert double.calls(operation.method) == before + 1


def test_half_an_upsert_that_is_said_is_made_whole(double: MilvusServer, collection: Collection) -> None:
    double.fail("Upsert", Odd.HALF, times=2)
    assert collection.upsert("lang_de", ROWS) == []
    assert list(double.partitions["lang_de"]) == IDS
    assert double.calls("Upsert") == 4


@pytest.mark.parametrize("method", ["Delete", "Query"])
def test_half_of_what_nobody_says_does_not_balance(job: Job, method: str) -> None:
    """The protocol has no word for a delete of some rows, or a count of some: the run's own count finds it, and ends with exit code 5."""
    with milvus_server("v2.6.4") as double:
        job.write("a.jsonl", [document(f"d{number}") for number in range(8)])
        # The double answers nothing about its indexes.
        settings = {"milvus": double.uri, "verify": "none"}
        assert job.run(**settings)["exit_code"] == 0
        job.write("a.jsonl", [document(f"d{number}", lang="de") for number in range(8)])
        # The first count of a run is before it, and finds that every row must be written again.
        double.fail(method, Odd.HALF, times=8 if method == "Query" else 1)
        record = job.run(**settings)
        assert record["exit_code"] == 5
        assert any("counted in Milvus" in one for one in record["differences"])
        double._faults.clear()
        mended = job.run(**settings)
        assert (mended["exit_code"], mended["rows"]["held"]) == (0, 8)
        assert {name: len(ids) for name, ids in double.partitions.items() if ids} == {"lang_de": 8}


# --- the connection itself ---


@pytest.fixture
def through(
    lite_server: Backend, request: pytest.FixtureRequest
) -> Iterator[tuple[FaultProxy, Collection, Collection]]:
    """A proxy before a Milvus Lite, a collection through it, and the same beside it."""
    name = "through_" + "".join(one if one.isalnum() else "_" for one in request.node.name)
    with fault_proxy(lite_server.uri) as proxy, lite_server.collection(name, FOUR) as beside:
        spoiled = Collection(Target(proxy.uri, name))
        yield proxy, spoiled, beside
        spoiled.close()


MANY = [row(number, text="x" * 1000) for number in range(400)]


@pytest.mark.parametrize("after", [0, 1_000, 200_000])
@pytest.mark.parametrize("mode", ["reset", "lost reply"])
def test_a_connection_that_breaks_costs_no_row(
    through: tuple[FaultProxy, Collection, Collection], mode: Mode, after: int
) -> None:
    proxy, spoiled, beside = through
    spoiled.upsert("lang_de", MANY[:1])
    proxy.set(mode, after, times=2)
    assert spoiled.upsert("lang_de", MANY) == []
    assert proxy.struck == 2
    assert beside.counts() == {"lang_de": len(MANY)}
    proxy.set(mode, 0)
    spoiled.delete("lang_de", [one["id"] for one in MANY[:100]])
    assert proxy.struck == 1
    assert beside.counts() == spoiled.counts() == {"lang_de": 300}


def test_slow_bytes_arrive(through: tuple[FaultProxy, Collection, Collection]) -> None:
    proxy, spoiled, beside = through
    proxy.set("slow")
    assert spoiled.upsert("lang_de", MANY) == []
    assert beside.counts() == {"lang_de": len(MANY)}


def test_a_connection_that_stalls_is_given_up_and_made_anew(
    through: tuple[FaultProxy, Collection, Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, spoiled, beside = through
    monkeypatch.setattr("transforms.adapters.milvus.collection.ONE_ATTEMPT", {**ONE_ATTEMPT, "timeout": 1.0})
    spoiled.upsert("lang_de", MANY[:1])
    proxy.set("stall", after=100_000)
    monkeypatch.setattr(calls, "_seconds", lambda *_: 2.5)
    with pytest.raises(TransientError, match="Milvus upsert failed"):
        spoiled.upsert("lang_de", MANY)
    monkeypatch.setattr(calls, "_seconds", lambda *_: 60)
    # What a router that came back does to connections that it no longer knows.
    proxy.set("closed")
    proxy.set("open")
    assert spoiled.upsert("lang_de", MANY) == []
    assert beside.counts() == {"lang_de": len(MANY)}


def test_a_server_that_is_away_for_a_while_is_waited_for(
    through: tuple[FaultProxy, Collection, Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, spoiled, beside = through
    spoiled.upsert("lang_de", MANY[:1])
    proxy.set("closed")
    back = threading.Timer(2, proxy.set, ["open"])
    back.start()
    monkeypatch.setattr(calls, "_MAX_PAUSE_SECONDS", 0.2)
    assert spoiled.upsert("lang_de", MANY) == []
    back.join()
    assert beside.counts() == {"lang_de": len(MANY)}
