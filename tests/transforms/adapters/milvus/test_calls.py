"""What a failure says, how long a call is repeated, and that it is repeated here alone."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import pytest
from pymilvus import MilvusException
from pymilvus.exceptions import SchemaMismatchRetryableException
from pymilvus.grpc_gen import common_pb2

from tests.milvus_server import MilvusServer, milvus_server
from transforms.adapters.events import FIELDS
from transforms.adapters.milvus import Collection, Target
from transforms.adapters.milvus.calls import (
    CALL_TIMEOUT_SECONDS,
    ONE_ATTEMPT,
    PATIENT,
    IncompleteError,
    Patience,
    Verdict,
    attempt,
    call,
    text_of,
    verdict_on,
)
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, TransientError


class RpcError(grpc.RpcError, grpc.Call):  # type: ignore[misc]  # grpc has no types
    """What a lost call raises."""

    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        super().__init__(code.name)
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


RpcError.__abstractmethods__ = frozenset()


@dataclass
class Clock:
    """Time that passes only where somebody waits, or where a call takes some."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("tenacity.time", made)
    monkeypatch.setattr("tenacity.nap.time", made)
    return made


def milvus(code: int, message: str, older: int = common_pb2.UnexpectedError) -> MilvusException:
    return MilvusException(code=code, message=message, compatible_code=older)


VERDICTS = [
    # Seen on Milvus 2.3.5 and Milvus Lite 3.2.2.
    (milvus(100, "collection not found[database=default][collection=c]", 4), Verdict.CONFIGURATION),
    (milvus(1100, "the length (70000) of 0th string exceeds max length (65535)", 5), Verdict.REFUSED),
    (milvus(65535, "the length(2) of float data should divide the dim(4)"), Verdict.REFUSED),
    (milvus(65535, "value 'NaN' is not a number or infinity"), Verdict.REFUSED),
    (milvus(200, "partition not found[partition=p]", 15), Verdict.CONFIGURATION),
    (milvus(6, "vector dimension 2 is not 4: connection timeout", 6), Verdict.REFUSED),
    (milvus(101, "collection 'c' is not loaded", 101), Verdict.AWAY),
    # By code, of `merr`, whatever the words.
    (milvus(2, "words"), Verdict.AWAY),
    (milvus(3, "words"), Verdict.THROTTLED),
    (milvus(7, "words"), Verdict.THROTTLED),
    (milvus(8, "words"), Verdict.THROTTLED),
    (milvus(9, "deny to write: memory quota exceeded"), Verdict.THROTTLED),
    (milvus(1100, "unavailable, rate limit, timeout"), Verdict.REFUSED),
    (milvus(1400, "words"), Verdict.CONFIGURATION),
    (milvus(10001, "words"), Verdict.AWAY),
    # By the older code, where the newer says nothing.
    (milvus(1, "words", common_pb2.RateLimit), Verdict.THROTTLED),
    (milvus(1, "words", common_pb2.DiskQuotaExhausted), Verdict.THROTTLED),
    (milvus(1, "words", common_pb2.PermissionDenied), Verdict.CONFIGURATION),
    (milvus(1, "words", common_pb2.NotReadyServe), Verdict.AWAY),
    (SchemaMismatchRetryableException("the collection was altered"), Verdict.AWAY),
    # By words.
    (milvus(1, "Request is rejected by grpc RateLimiter middleware: rate limit exceeded"), Verdict.THROTTLED),
    (milvus(65535, "quota exceeded[reason=disk quota exhausted]"), Verdict.THROTTLED),
    (milvus(65535, "service unavailable: internal"), Verdict.AWAY),
    (milvus(1, "auth check failure, please check username and password"), Verdict.CONFIGURATION),
    (milvus(1, "can't find collection: c"), Verdict.CONFIGURATION),
    (milvus(1, "something nobody has seen"), Verdict.REFUSED),
    (milvus(1, "text exceeds max length: the server is unavailable, it says"), Verdict.REFUSED),
    # Lost calls.
    (RpcError(grpc.StatusCode.UNAVAILABLE, "connection reset by peer"), Verdict.AWAY),
    (RpcError(grpc.StatusCode.DEADLINE_EXCEEDED), Verdict.AWAY),
    (RpcError(grpc.StatusCode.UNKNOWN, "Stream removed"), Verdict.AWAY),
    (RpcError(grpc.StatusCode.UNKNOWN, "Exception calling application"), Verdict.REFUSED),
    (RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests"), Verdict.THROTTLED),
    (RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (5 vs. 4)"), Verdict.REFUSED),
    (RpcError(grpc.StatusCode.UNAUTHENTICATED, "who?"), Verdict.CONFIGURATION),
    (RpcError(grpc.StatusCode.PERMISSION_DENIED, "no"), Verdict.CONFIGURATION),
    (RpcError(grpc.StatusCode.UNIMPLEMENTED), Verdict.REFUSED),
    (MilvusException(grpc.StatusCode.UNAVAILABLE, "Retry run out of 0 retry times"), Verdict.AWAY),
    (IncompleteError(message="3 of 5 rows were taken"), Verdict.AWAY),
]


@pytest.mark.parametrize(
    ("error", "verdict"), VERDICTS, ids=lambda value: text_of(value)[:60] if isinstance(value, Exception) else ""
)
def test_a_failure_is_judged_by_code_then_by_words(error: Exception, verdict: Verdict) -> None:
    assert verdict_on(error) is verdict


@pytest.mark.parametrize(
    ("error", "budget"),
    [(milvus(2, "unavailable"), PATIENT.outage_seconds), (milvus(8, "rate limit"), PATIENT.throttled_seconds)],
    ids=["away", "throttled"],
)
def test_a_call_is_repeated_until_its_budget_is_spent(clock: Clock, error: Exception, budget: float) -> None:
    def always() -> None:
        clock.now += 1.5
        raise error

    with pytest.raises(TransientError, match=rf"Milvus upsert failed {len(clock.pauses) or '[0-9]+'} times"):
        call("upsert", always)
    # The last attempt may begin within the budget and end after it.
    assert budget - 25 < clock.now <= budget + 1.5
    assert all(0 <= pause <= 20 for pause in clock.pauses)
    # Drawn from a range, not one fixed pause: workers that failed together do not come back together.
    assert len(set(clock.pauses[10:])) > 5


@pytest.mark.parametrize("code", [2, 8])
def test_who_has_less_patience_is_told_sooner(clock: Clock, code: int) -> None:
    brief = Patience(5.0, 9.0)
    seconds = 5 if code == 2 else 9

    def always() -> None:
        clock.now += 0.5
        raise milvus(code, "not now")

    with pytest.raises(
        TransientError, match=rf"Milvus search failed [0-9]+ times, for up to {seconds} seconds: .*not now"
    ):
        call("search", always, brief)
    assert clock.now <= seconds + 0.5
    assert brief.one_attempt["timeout"] == 5.0 < PATIENT.one_attempt["timeout"]


def test_a_server_that_comes_back_is_not_noticed_by_the_caller(clock: Clock) -> None:
    def slow() -> str:
        if clock.now < PATIENT.throttled_seconds / 2:
            raise milvus(9, "deny to write: memory quota")
        return "done"

    assert call("upsert", slow) == "done"
    assert clock.now < PATIENT.throttled_seconds


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            milvus(1400, "not authenticated"),
            ConfigurationError,
            "Milvus does not answer count: not authenticated; check",
        ),
        (RpcError(grpc.StatusCode.UNAUTHENTICATED, "who?"), ConfigurationError, "who[?]; check --milvus-token"),
        (milvus(1100, "too long"), CorpusEmbedError, "Milvus refused count: too long"),
    ],
)
def test_what_cannot_pass_is_tried_once(clock: Clock, error: Exception, kind: type[Exception], said: str) -> None:
    calls = []

    def once() -> None:
        calls.append(1)
        raise error

    with pytest.raises(kind, match=said) as caught:
        call("count", once)
    assert type(caught.value) is kind
    assert (len(calls), clock.pauses) == (1, [])


def test_a_refusal_comes_as_it_is_to_those_who_have_another_request_to_make(clock: Clock) -> None:
    error = milvus(1100, "too long")

    def once() -> None:
        raise error

    with pytest.raises(MilvusException) as caught:
        attempt("upsert", once)
    assert caught.value is error


def test_an_error_of_the_program_is_none_of_milvus() -> None:
    def wrong() -> None:
        raise KeyError("a")

    with pytest.raises(KeyError):
        call("upsert", wrong)


@pytest.fixture
def server() -> Iterator[MilvusServer]:
    with milvus_server("v2.6.4") as made:
        yield made


@pytest.mark.parametrize(
    "fault",
    [grpc.StatusCode.UNAVAILABLE, common_pb2.Status(code=8, error_code=49, reason="rate limit")],
    ids=["lost", "limit"],
)
@pytest.mark.parametrize("method", ["DescribeCollection", "ShowPartitions"])
def test_pymilvus_makes_one_attempt(
    server: MilvusServer, clock: Clock, method: str, fault: grpc.StatusCode | common_pb2.Status
) -> None:
    """By itself it would repeat a lost call, or a limited one, for as long as the call may take."""
    collection = Collection(Target(server.uri, "c"))
    server.fail(method, fault, times=1000)
    try:
        with pytest.raises((MilvusException, grpc.RpcError)):
            collection._client.describe_collection("c", **ONE_ATTEMPT) if method == "DescribeCollection" else (
                collection._client.list_partitions("c", **ONE_ATTEMPT)
            )
        assert server.calls(method) == 1
        with pytest.raises(TransientError):
            collection.partitions() if method == "ShowPartitions" else collection.space()
        # One call for each attempt of ours, none of anybody else's.
        assert server.calls(method) == len(clock.pauses) + 2
    finally:
        collection.close()


def test_a_call_may_not_take_for_ever() -> None:
    assert ONE_ATTEMPT["timeout"] == CALL_TIMEOUT_SECONDS < PATIENT.outage_seconds < PATIENT.throttled_seconds


def test_every_repetition_is_told_with_its_pause(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Exception | str] = [
        RpcError(grpc.StatusCode.UNAVAILABLE, "nobody there"),
        milvus(8, "rate limit exceeded[rate=1]"),
        "done",
    ]

    def answer() -> str:
        now = answers.pop(0)
        if isinstance(now, Exception):
            raise now
        return now

    with caplog.at_level(logging.WARNING, "transforms"):
        assert call("upsert", answer) == "done"
    told = [getattr(record, FIELDS) for record in caplog.records]
    assert [(one["call"], one["attempt"], one["error"]) for one in told] == [
        ("upsert", 1, "nobody there"),
        ("upsert", 2, "rate limit exceeded[rate=1]"),
    ]
    assert [one["pause_seconds"] for one in told] == [round(pause, 3) for pause in clock.pauses]
