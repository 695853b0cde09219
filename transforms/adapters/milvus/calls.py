"""One request to Milvus: with a time limit, and retried while its failure may pass."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import grpc
from pymilvus import MilvusException
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from transforms.logic.errors import CorpusEmbedError, TransientError

CONNECT_TIMEOUT_SECONDS = 5.0
CALL_TIMEOUT_SECONDS = 120.0
_ATTEMPTS = 6
# By message, because one failure has different codes in Lite, 2.3 and later servers.
_TRANSIENT_WORDS = (
    "rate limit",
    "quota",
    "unavailable",
    "not ready",
    "timeout",
    "deadline",
    "connection",
    "not loaded",
)

Result = TypeVar("Result")


def call(name: str, function: Callable[[], Result]) -> Result:
    """Runs one request, retried with full jitter while the failure may pass; then `TransientError`, otherwise at once an error."""
    retrying = Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2, max=20),
        reraise=True,
    )
    try:
        return retrying(function)
    except (MilvusException, grpc.RpcError) as error:
        if _may_pass(error):
            message = f"Milvus {name} failed {_ATTEMPTS} times: {text_of(error)}; run again when the server answers"
            raise TransientError(message) from error
        message = f"Milvus refused {name}: {text_of(error)}"
        raise CorpusEmbedError(message) from error


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, MilvusException):
        return any(word in str(error.message).lower() for word in _TRANSIENT_WORDS)
    if isinstance(error, grpc.RpcError):
        status = cast("Any", error).code()
        return status in {
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        }
    return False


def text_of(error: BaseException) -> str:
    """The first line of what an error says."""
    return str(getattr(error, "message", error)).splitlines()[0][:300] if str(error) else type(error).__name__
