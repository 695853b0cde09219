"""One request to Milvus: with a time limit, judged when it fails, and repeated while its failure may pass.

pymilvus repeats by itself, up to 75 times and unseen; here it makes one attempt (`ONE_ATTEMPT`, `make_one_attempt`), so that there is one
policy: "full jitter", a pause drawn evenly from [0, min(cap, base 2^attempt)], after which many workers do not come back at once (Marc
Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar, cast

import grpc
from pymilvus import MilvusClient, MilvusException
from pymilvus.exceptions import SchemaMismatchRetryableException
from pymilvus.grpc_gen import common_pb2
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from transforms.adapters.events import report
from transforms.adapters.secrets import cause_of, redact
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, TransientError

_LOG = logging.getLogger(__name__)
CONNECT_TIMEOUT_SECONDS = 5.0
CALL_TIMEOUT_SECONDS = 120.0
ONE_ATTEMPT = MappingProxyType({"timeout": CALL_TIMEOUT_SECONDS, "retry_times": 0, "retry_on_rate_limit": False})
"""Arguments of every call of the client."""


@dataclass(frozen=True)
class Patience:
    """How long a request is repeated.

    Attributes:
        outage_seconds: while the server is away.
        throttled_seconds: while it asks to slow down, or has no room: compaction, or an operator, makes some.
    """

    outage_seconds: float = 300.0
    throttled_seconds: float = 1800.0

    @property
    def one_attempt(self) -> dict[str, Any]:
        """Arguments of a call that should not take longer than this."""
        return {**ONE_ATTEMPT, "timeout": min(CALL_TIMEOUT_SECONDS, self.outage_seconds)}


PATIENT = Patience()
"""Of a run, which would lose hours of work."""
BRIEF = Patience(20.0, 20.0)
"""Of a reader, who would rather be told."""
_PAUSE_SECONDS = 0.2
_MAX_PAUSE_SECONDS = 20.0


class Verdict(Enum):
    """What the failure of a request says of the next attempt."""

    AWAY = "the server is not there, not ready, or did not answer in time"
    THROTTLED = "the server takes no more at present"
    CONFIGURATION = "none such will be answered until somebody mends something"
    REFUSED = "this very request will never be taken"


# `merr` of the server (pkg/util/merr/errors.go), and what Milvus Lite sends in its stead. 1 and 65535 stand for anything: they are
# judged by the older code beside them, or by words.
_BY_CODE = {
    2: Verdict.AWAY,  # service unavailable
    3: Verdict.THROTTLED,  # memory limit exceeded
    4: Verdict.THROTTLED,  # request limit exceeded
    6: Verdict.REFUSED,  # illegal argument, of Milvus Lite
    7: Verdict.THROTTLED,  # disk limit exceeded
    8: Verdict.THROTTLED,  # rate limit exceeded
    9: Verdict.THROTTLED,  # quota exceeded, force deny
    11: Verdict.THROTTLED,  # time tick long delay
    12: Verdict.THROTTLED,  # resources insufficient
    100: Verdict.CONFIGURATION,  # collection not found
    101: Verdict.AWAY,  # collection not loaded
    103: Verdict.AWAY,  # collection not fully loaded
    106: Verdict.AWAY,  # collection on recovering
    200: Verdict.CONFIGURATION,  # partition not found: it was there, or made, a moment ago
    201: Verdict.AWAY,  # partition not loaded
    202: Verdict.AWAY,  # partition not fully loaded
    401: Verdict.AWAY,  # replica not available
    500: Verdict.AWAY,  # channel not found
    501: Verdict.AWAY,  # channel lacks
    503: Verdict.AWAY,  # channel not available
    504: Verdict.THROTTLED,  # channel checkpoint exceeds its lag
    800: Verdict.CONFIGURATION,  # database not found
    901: Verdict.AWAY,  # node not found
    902: Verdict.AWAY,  # node offline
    903: Verdict.AWAY,  # node lacks
    904: Verdict.AWAY,  # node does not match
    905: Verdict.AWAY,  # node not available
    1001: Verdict.AWAY,  # the server's storage failed
    1002: Verdict.AWAY,
    1100: Verdict.REFUSED,  # invalid parameter
    1101: Verdict.REFUSED,  # missing parameter
    1102: Verdict.REFUSED,  # parameter too large
    1302: Verdict.AWAY,  # message queue
    1303: Verdict.THROTTLED,  # deny to write to the message queue
    1400: Verdict.CONFIGURATION,  # not authenticated
    1401: Verdict.CONFIGURATION,  # not permitted
    1800: Verdict.CONFIGURATION,  # not authenticated
    1807: Verdict.THROTTLED,  # rejected by the limiter
    10001: Verdict.AWAY,  # timeout
}
_BY_OLDER_CODE = {
    common_pb2.ConnectFailed: Verdict.AWAY,
    common_pb2.PermissionDenied: Verdict.CONFIGURATION,
    common_pb2.CollectionNotExists: Verdict.CONFIGURATION,
    common_pb2.IllegalArgument: Verdict.REFUSED,
    common_pb2.IllegalDimension: Verdict.REFUSED,
    common_pb2.NotShardLeader: Verdict.AWAY,
    common_pb2.NoReplicaAvailable: Verdict.AWAY,
    common_pb2.ForceDeny: Verdict.THROTTLED,
    common_pb2.RateLimit: Verdict.THROTTLED,
    common_pb2.NodeIDNotMatch: Verdict.AWAY,
    common_pb2.MemoryQuotaExhausted: Verdict.THROTTLED,
    common_pb2.DiskQuotaExhausted: Verdict.THROTTLED,
    common_pb2.TimeTickLongDelay: Verdict.THROTTLED,
    common_pb2.NotReadyServe: Verdict.AWAY,
    common_pb2.NotReadyCoordActivating: Verdict.AWAY,
    common_pb2.DataCoordNA: Verdict.AWAY,
}
_BY_WORDS = (
    (Verdict.REFUSED, ("max length", "dimension")),
    (
        Verdict.THROTTLED,
        ("rate limit", "ratelimit", "quota", "deny to write", "limit exceeded", "time tick long delay"),
    ),
    (Verdict.CONFIGURATION, ("auth check", "unauthenticated", "not authenticated", "permission", "privilege")),
    (Verdict.CONFIGURATION, ("collection not found", "can't find collection", "cannot find collection")),
    (Verdict.AWAY, ("unavailable", "not ready", "timeout", "deadline", "connection", "not loaded", "stream removed")),
)
_BY_STATUS = {
    grpc.StatusCode.UNAVAILABLE: Verdict.AWAY,
    grpc.StatusCode.DEADLINE_EXCEEDED: Verdict.AWAY,
    grpc.StatusCode.ABORTED: Verdict.AWAY,
    grpc.StatusCode.CANCELLED: Verdict.AWAY,
    grpc.StatusCode.INTERNAL: Verdict.AWAY,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Verdict.THROTTLED,
    grpc.StatusCode.UNAUTHENTICATED: Verdict.CONFIGURATION,
    grpc.StatusCode.PERMISSION_DENIED: Verdict.CONFIGURATION,
}
_TOO_LARGE = "larger than max"

Result = TypeVar("Result")


class IncompleteError(MilvusException):  # type: ignore[misc]  # pymilvus has no types
    """The server said yes, but to a part of what it was sent. The same request again mends it."""


def call(name: str, function: Callable[[], Result], patience: Patience = PATIENT) -> Result:
    """Runs one request, repeated while its failure may pass.

    Raises:
        TransientError: it did not pass for as long as `patience` says.
        ConfigurationError: credentials are not valid, or what is asked for is not there.
        CorpusEmbedError: the server refuses this request.
    """
    try:
        return attempt(name, function, patience)
    except (MilvusException, grpc.RpcError) as error:
        raise CorpusEmbedError(f"Milvus refused {name}: {text_of(error)}") from cause_of(error)


def attempt(name: str, function: Callable[[], Result], patience: Patience = PATIENT) -> Result:
    """As `call`, but a refusal comes as the client raises it, for those who have another request to make of it."""
    retrying = Retrying(
        retry=retry_if_exception(_may_pass),
        stop=partial(_is_over, patience),
        wait=wait_random_exponential(multiplier=_PAUSE_SECONDS, max=_MAX_PAUSE_SECONDS),
        before_sleep=partial(_tell, name),
        reraise=True,
    )
    try:
        return retrying(function)
    except (MilvusException, grpc.RpcError) as error:
        verdict = verdict_on(error)
        if verdict in _PASSING:
            times = retrying.statistics["attempt_number"]
            raise TransientError(
                f"Milvus {name} failed {times} times, for up to {_seconds(patience, verdict):g} seconds: {text_of(error)}; "
                "run again when the server answers"
            ) from cause_of(error)
        if verdict is Verdict.CONFIGURATION:
            raise ConfigurationError(
                f"Milvus does not answer {name}: {text_of(error)}; check --milvus-token and its rights, "
                "and who drops collections or partitions"
            ) from cause_of(error)
        raise


_PASSING = frozenset({Verdict.AWAY, Verdict.THROTTLED})


def _seconds(patience: Patience, verdict: Verdict) -> float:
    return patience.outage_seconds if verdict is Verdict.AWAY else patience.throttled_seconds


def verdict_on(error: BaseException) -> Verdict:
    """Judges by code where codes are clear, by what the server says where they are not."""
    if isinstance(error, (IncompleteError, SchemaMismatchRetryableException)):
        return Verdict.AWAY
    status: Any = cast("Any", error).code
    if isinstance(error, MilvusException):
        found = _BY_CODE.get(status) or _BY_OLDER_CODE.get(error.compatible_code)
    else:
        status = status()
        found = Verdict.REFUSED if _TOO_LARGE in text_of(error) else None
    # pymilvus may put the status of a lost call in the place of a server's code.
    found = found or _BY_STATUS.get(status)
    if found is not None:
        return found
    words = text_of(error).lower()
    return next((verdict for verdict, some in _BY_WORDS if any(one in words for one in some)), Verdict.REFUSED)


def make_one_attempt(client: MilvusClient) -> None:
    """Takes from a client of its own connection the habit to repeat lost calls until their time limit is over."""
    handler = client._get_connection()  # noqa: SLF001  the hook that pymilvus calls between two attempts has no public name
    recover = handler._on_rpc_error  # noqa: SLF001

    def hand_on(error: BaseException) -> bool:
        recover(error)
        raise error

    handler._on_rpc_error = hand_on  # noqa: SLF001


def text_of(error: BaseException) -> str:
    """The first line of what an error says, without secrets."""
    details = error.details() if isinstance(error, grpc.Call) else None
    said = str(getattr(error, "message", None) or details or error).strip()
    # Before it is cut: half a secret is not found.
    return redact(said).splitlines()[0][:300] if said else type(error).__name__


def _tell(name: str, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    if error is not None:
        times, pause = state.attempt_number, round(state.upcoming_sleep, 3)
        said = text_of(error)
        report(_LOG, logging.WARNING, "request repeated", call=name, attempt=times, pause_seconds=pause, error=said)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, (MilvusException, grpc.RpcError)) and verdict_on(error) in _PASSING


def _is_over(patience: Patience, state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome is not None else None
    if error is None or state.seconds_since_start is None:
        return False
    return state.seconds_since_start + state.upcoming_sleep >= _seconds(patience, verdict_on(error))
