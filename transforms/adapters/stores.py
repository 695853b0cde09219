"""How object stores differ from files: what they raise, told apart without importing their libraries, and how they are read by etag.

gcsfs and s3fs retry at the call before anything is raised: gcsfs six times over about 30 seconds (timeouts, 408, 429, 500 to 504), s3fs and
botocore five times each (timeouts, broken connections, 429, 5xx, "slow down"). Whatever still fails then is another attempt's business.
"""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from fsspec.spec import AbstractBufferedFile

_TRANSIENT = (
    "aiohttp.client_exceptions.ClientError",
    "botocore.exceptions.ConnectionError",
    "botocore.exceptions.HTTPClientError",
    "botocore.exceptions.ResponseStreamingError",
    "gcsfs.retry.ChecksumError",
    "google.auth.exceptions.TransportError",
    "requests.exceptions.ChunkedEncodingError",
    "requests.exceptions.ConnectionError",
    "requests.exceptions.ContentDecodingError",
    "requests.exceptions.Timeout",
)
_CREDENTIALS = (
    "botocore.exceptions.CredentialRetrievalError",
    "botocore.exceptions.NoAuthTokenError",
    "botocore.exceptions.NoCredentialsError",
    "botocore.exceptions.PartialCredentialsError",
    "botocore.exceptions.ProfileNotFound",
    "botocore.exceptions.SSOError",
    "botocore.exceptions.TokenRetrievalError",
    "google.auth.exceptions.GoogleAuthError",
)
_ANY = ("botocore.exceptions.BotoCoreError", "gcsfs.retry.HttpError")
_TRANSIENT_STATUS = {408, 409, 429, 500, 502, 503, 504}
_NO_LONGER_VALID = {
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_EXTRAS = {"gs": "gcp", "gcs": "gcp", "s3": "s3", "s3a": "s3"}
_READ_BYTES = 8 << 20
_REMEDIES = {
    "gcp": "let the account of GOOGLE_APPLICATION_CREDENTIALS, or of `gcloud auth application-default login`, list, read and write there",
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, of a user who may list, read and write there",
}


def remedy(uri: str) -> str:
    """What a person does about a refusal."""
    return _REMEDIES.get(
        _EXTRAS.get(uri.partition("://")[0], ""), "name a place that this user may list, read and write"
    )


def remedy_for_scheme(uri: str) -> str:
    """What a person does about a URI that no installed library opens."""
    extra = _EXTRAS.get(uri.partition("://")[0])
    if extra:
        return f"install its library: pip install 'corpus-embed[{extra}]'"
    return "allowed are local paths, file://, gs:// (the extra gcp) and s3:// (the extra s3)"


def store_errors(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """Everything that a file system raises, and `more`; a library that was never loaded can have raised nothing."""
    return (OSError, *more, *_loaded((*_TRANSIENT, *_CREDENTIALS, *_ANY)))


def is_transient(error: Exception) -> bool:
    """Whether a later attempt may succeed."""
    if isinstance(error, (TimeoutError, ConnectionError, *_loaded(_TRANSIENT))):
        return True
    return _status(error) in _TRANSIENT_STATUS


def is_lack_of_credentials(error: Exception) -> bool:
    """Whether the store could not be told who asks: nothing can be read until that is mended."""
    code = _response(error).get("Error", {}).get("Code")
    return _status(error) == 401 or code in _NO_LONGER_VALID or isinstance(error, _loaded(_CREDENTIALS))  # noqa: PLR2004


def is_refusal(error: Exception) -> bool:
    """Whether the store, or the absence of credentials, does not allow what was asked."""
    forbidden = isinstance(error, OSError) and str(error).startswith("Forbidden")
    return (
        isinstance(error, PermissionError) or forbidden or _status(error) in {401, 403} or is_lack_of_credentials(error)
    )


def is_failed_condition(error: Exception) -> bool:
    """Whether the store refused because the object is there already, or is no longer the one that was meant (412)."""
    return isinstance(error, FileExistsError) or _response_status(error) == 412  # noqa: PLR2004


def _status(error: Exception) -> int | None:
    """The HTTP status that gcsfs or botocore put into an error."""
    code = getattr(error, "code", None)
    return int(str(code)) if str(code).isdigit() else _response_status(error)


def _response_status(error: Exception) -> int | None:
    status: int | None = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _response(error: Exception) -> dict[str, Any]:
    """The response in botocore's error, of which s3fs made this one."""
    response = getattr(error.__cause__, "response", None)
    return response if isinstance(response, dict) else {}


def _loaded(names: Iterable[str]) -> tuple[type[Exception], ...]:
    found = []
    for name in names:
        module, _, kind = name.rpartition(".")
        one = getattr(sys.modules.get(module), kind, None)
        if isinstance(one, type) and issubclass(one, Exception):
            found.append(one)
    return tuple(found)


def opener_by_etag(filesystem: Any) -> Callable[[str, str], Any] | None:
    """Opens a path of this store so that every request asks for the listed content; None if the store cannot be asked so."""
    if "gs" in filesystem.protocol:
        return partial(_GenerationFile, filesystem)
    return partial(_open_entity, filesystem) if "s3" in filesystem.protocol else None


class _GenerationFile(AbstractBufferedFile):  # type: ignore[misc]
    """An object of GCS as it was at one generation. gcsfs's own file asks for details first, and reads whatever is there then."""

    def __init__(self, filesystem: Any, path: str, etag: str) -> None:
        self._generation, _, size_bytes = etag.rpartition("/")
        super().__init__(filesystem, path, "rb", _READ_BYTES, size=int(size_bytes))

    def _fetch_range(self, start: int, end: int) -> bytes:
        return cast("bytes", self.fs.cat_file(self.path, start=start, end=end, generation=self._generation))


def _open_entity(filesystem: Any, path: str, etag: str) -> Any:
    """An object of S3 of one entity tag. Given its size and details, s3fs asks for nothing before it reads."""
    tag, _, size_bytes = etag.rpartition("/")
    stream = filesystem.open(path, "rb", block_size=_READ_BYTES, size=int(size_bytes))
    stream.details = {"name": path, "ETag": tag, "size": int(size_bytes)}
    stream.read_kw = {**stream.read_kw, "IfMatch": tag}
    return stream
