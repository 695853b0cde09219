"""Secrets, resolved where they are used, and kept out of all that is written.

What was resolved in a process is known to its redaction: messages that go through a handler of the root logger, errors of Milvus and of the
command line, and traces of errors that nobody caught show `[secret]` in its place.
"""

import base64
import binascii
import logging
import os
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from transforms.logic import redaction
from transforms.logic.errors import ConfigurationError, TransientError
from transforms.logic.references import Reference, parse_reference

SECRET_MANAGER = "https://secretmanager.googleapis.com/v1/"  # noqa: S105  an address
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 8.0
_NOT_FOUND = 404
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
# Libraries take these from the environment by themselves.
_OF_LIBRARIES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
# Read where it is used, so that no pipeline graph holds it.
_ENVIRONMENT = os.environ  # noqa: TID251

_known: set[str] = set()
_known_lock = threading.Lock()


class Secret:
    """A secret in memory: it says itself only when it is asked to, and cannot be pickled."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({redaction.MASK})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled; pickle its reference, and resolve that where it is used")


def resolve(reference: str, flag: str) -> Secret:
    """Reads the secret that a reference names. From then on this process's redaction knows it.

    Raises:
        ConfigurationError: there is no such secret, it is empty, or this process may not read it.
        TransientError: Secret Manager does not answer.
    """
    value = read(reference, flag)
    with _known_lock:
        _known.add(value)
    guard_output()
    return Secret(value)


def read(reference: str, flag: str) -> str:
    """What a reference names, for what is no secret, such as a certificate. Line ends around it are no part of it.

    Args:
        reference: `env:NAME`, `file:/PATH` or `secret:projects/PROJECT/secrets/NAME/versions/VERSION`.
        flag: that gave it, for messages.

    Raises:
        ConfigurationError: there is no such secret, it is empty, or this process may not read it.
        TransientError: Secret Manager does not answer.
    """
    parsed = parse_reference(reference, flag)
    value = _READERS[parsed.kind](parsed, flag).strip("\r\n")
    if not value:
        raise ConfigurationError(f"{flag} {parsed}: there is nothing in it")
    return value


def redact(text: str) -> str:
    """The text without the secrets that this process resolved, those that libraries take from its environment, and what looks like one."""
    with _known_lock:
        known = set(_known)
    return redaction.redact(text, known.union(filter(None, map(_ENVIRONMENT.get, _OF_LIBRARIES))))


def cause_of(error: BaseException) -> BaseException | None:
    """The error, to raise another one from, unless it, or what caused it, tells a secret: runners send whole traces on."""
    trace = _trace(error)
    return error if redact(trace) == trace else None


class RedactingFilter(logging.Filter):
    """Takes secrets out of all that a handler is about to write: message, trace and additional fields that are text."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            # What does not fit together would be printed by `logging` itself, past every filter.
            message = f"{record.msg} {record.args}"
        record.msg, record.args = redact(message), None
        if record.exc_info:
            trace = _trace(record.exc_info[1]) if record.exc_info[1] else ""
            if redact(trace) != trace:
                record.msg, record.exc_info, record.exc_text = f"{record.msg}\n{redact(trace).rstrip()}", None, None
        for name, value in vars(record).items():
            if isinstance(value, str) and value:
                setattr(record, name, redact(value))
        return True


_FILTER = RedactingFilter()


def guard_output() -> None:
    """Keeps secrets out of what every handler that the root logger has now writes, and out of traces of errors that nobody catches."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_FILTER)
    # A hook that somebody else has put there is theirs.
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _show_uncaught
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _show_uncaught_of_thread


def _show_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _show_uncaught_of_thread(uncaught: threading.ExceptHookArgs) -> None:
    if uncaught.exc_value is not None and not issubclass(uncaught.exc_type, SystemExit):
        _show_uncaught(uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback)


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _from_environment(reference: Reference, flag: str) -> str:
    value = _ENVIRONMENT.get(reference.name)
    if value is None:
        raise ConfigurationError(f"{flag} {reference}: the environment variable {reference.name!r} is not set")
    return value


def _from_file(reference: Reference, flag: str) -> str:
    try:
        return Path(reference.name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        # A decoding error would show the bytes.
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{flag} {reference} cannot be read: {why}") from None


def _from_secret_manager(reference: Reference, flag: str) -> str:
    retrying = Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=_PAUSE_SECONDS, max=_MAX_PAUSE_SECONDS),
        reraise=True,
    )
    return retrying(_access_version, reference, flag)


def _access_version(reference: Reference, flag: str) -> str:
    """By REST (`projects.secrets.versions.access`), which needs only what `gs://` needs too."""
    try:
        import google.auth  # noqa: PLC0415  an extra
        import requests  # noqa: PLC0415
        from google.auth.exceptions import GoogleAuthError, TransportError  # noqa: PLC0415
        from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"{flag} {reference}: install the libraries for it: pip install 'corpus-embed[gcp]'"
        ) from error
    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
        with AuthorizedSession(credentials) as session:  # type: ignore[no-untyped-call]
            answer = session.get(f"{SECRET_MANAGER}{reference.name}:access", timeout=_TIMEOUT_SECONDS)
    except (TransportError, requests.RequestException) as error:
        raise TransientError(f"{flag} {reference}: Secret Manager does not answer ({type(error).__name__})") from error
    except GoogleAuthError as error:
        raise ConfigurationError(
            f"{flag} {reference}: no credentials for Google Cloud ({error}); run as a service account, or set "
            "GOOGLE_APPLICATION_CREDENTIALS"
        ) from error
    if answer.status_code in _BUSY:
        raise TransientError(f"{flag} {reference}: Secret Manager answers {answer.status_code}")
    if not answer.ok:
        remedy = (
            "check project, name and version"
            if answer.status_code == _NOT_FOUND
            else "grant roles/secretmanager.secretAccessor on this secret to the account that this process runs as"
        )
        raise ConfigurationError(f"{flag} {reference}: Secret Manager answers {answer.status_code}; {remedy}")
    try:
        return base64.b64decode(answer.json()["payload"]["data"], validate=True).decode("utf-8")
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise TransientError(f"{flag} {reference}: what Secret Manager answers is no secret of UTF-8 text") from None


_READERS = {"env": _from_environment, "file": _from_file, "secret": _from_secret_manager}
