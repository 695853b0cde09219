"""Secrets are read where they are used, from where references say, and stay out of all that is written."""

import base64
import io
import json
import logging
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import google.auth
import pytest
from apache_beam.internal.cloudpickle import cloudpickle
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError

from tests.conftest import ROOT
from transforms.adapters import secrets
from transforms.adapters.secrets import RedactingFilter, cause_of, guard_output, read, redact, resolve
from transforms.adapters.workspace import Workspace
from transforms.logic.errors import ConfigurationError, TransientError
from transforms.logic.redaction import MASK

FLAG = "--milvus-token"
CANARY = "canary-8c1d4f-sings"
VERSION = "projects/my-project/secrets/milvus/versions/3"


@pytest.fixture(autouse=True)
def only_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test resolves, the next does not know."""
    monkeypatch.setattr(secrets, "_known", set())
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SECRET_OF_TEST", f"root:{CANARY}")
    assert resolve("env:SECRET_OF_TEST", FLAG).reveal() == f"root:{CANARY}"
    return CANARY


# --- where they are read ---


def test_a_variable_that_is_not_set_or_empty_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_OF_TEST", raising=False)
    with pytest.raises(ConfigurationError, match=r"--milvus-token env:SECRET_OF_TEST: .*'SECRET_OF_TEST' is not set"):
        resolve("env:SECRET_OF_TEST", FLAG)
    monkeypatch.setenv("SECRET_OF_TEST", "\n")
    with pytest.raises(ConfigurationError, match=r"--milvus-token env:SECRET_OF_TEST: there is nothing in it"):
        resolve("env:SECRET_OF_TEST", FLAG)


@pytest.mark.parametrize("content", [CANARY, f"{CANARY}\n", f"{CANARY}\r\n"])
def test_a_file_is_read_without_its_last_line_end(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_bytes(content.encode())
    assert resolve(f"file:{tmp_path}/token", FLAG).reveal() == CANARY


def test_spaces_are_part_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f" {CANARY} \n")
    assert resolve(f"file:{tmp_path}/token", FLAG).reveal() == f" {CANARY} "


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), (b"\xff\xfecanary", "it is not UTF-8"), (b"", "nothing in it")]
)
def test_a_file_without_a_secret_is_named_and_not_shown(tmp_path: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"--milvus-token file:{tmp_path}/token.*{why}") as caught:
        resolve(f"file:{tmp_path}/token", FLAG)
    assert "canary" not in repr(caught.value)
    assert caught.value.__cause__ is None


@dataclass
class SecretManager:
    """A server that answers as Secret Manager does, in order, and remembers what it was asked."""

    answers: list[tuple[int, bytes]]
    asked: list[str] = field(default_factory=list)


def version_of(value: bytes) -> bytes:
    """The answer for a version with this content."""
    return json.dumps({"name": VERSION, "payload": {"data": base64.b64encode(value).decode()}}).encode()


@contextmanager
def secret_manager(*answers: tuple[int, bytes]) -> Iterator[SecretManager]:
    state = SecretManager(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            status, body = state.answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "SECRET_MANAGER", f"http://127.0.0.1:{server.server_port}/v1/")
        patch.setattr(secrets, "_PAUSE_SECONDS", 0.001)
        patch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "my-project"))  # type: ignore[no-untyped-call]
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def test_a_version_of_secret_manager_is_read() -> None:
    with secret_manager((200, version_of(f"root:{CANARY}\n".encode()))) as state:
        assert resolve(f"secret:{VERSION}", FLAG).reveal() == f"root:{CANARY}"
    assert state.asked == [f"/v1/{VERSION}:access"]
    assert redact(f"wrong: {CANARY}") == f"wrong: {MASK}"


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_secret_manager_is_asked_again(status: int) -> None:
    with secret_manager((status, b""), (status, b""), (200, version_of(CANARY.encode()))) as state:
        assert read(f"secret:{VERSION}", FLAG) == CANARY
    assert len(state.asked) == 3
    with (
        secret_manager(*[(status, b"")] * 4),
        pytest.raises(TransientError, match=rf"secret:{VERSION}: Secret Manager answers {status}"),
    ):
        read(f"secret:{VERSION}", FLAG)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (403, r"grant roles/secretmanager\.secretAccessor on this secret"),
        (404, "check project, name and version"),
        (400, "grant"),
    ],
)
def test_a_secret_that_may_not_be_read_is_named(status: int, remedy: str) -> None:
    with (
        secret_manager((status, CANARY.encode())) as state,
        pytest.raises(
            ConfigurationError, match=rf"secret:{VERSION}: Secret Manager answers {status}; {remedy}"
        ) as caught,
    ):
        read(f"secret:{VERSION}", FLAG)
    assert len(state.asked) == 1
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b"[]", b'{"payload": {"data": "***"}}', b'{"payload": null}', version_of(b"\xff\xff")]
)
def test_an_answer_that_is_no_secret_is_no_secret(answer: bytes) -> None:
    with secret_manager(*[(200, answer)] * 4), pytest.raises(TransientError, match="no secret of UTF-8 text") as caught:
        read(f"secret:{VERSION}", FLAG)
    assert caught.value.__cause__ is None


def test_a_secret_manager_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with secret_manager():
        monkeypatch.setattr(secrets, "SECRET_MANAGER", "http://127.0.0.1:9/v1/")
        with pytest.raises(TransientError, match="Secret Manager does not answer"):
            read(f"secret:{VERSION}", FLAG)


def test_a_process_without_credentials_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise DefaultCredentialsError("none found")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", fail)
    with pytest.raises(ConfigurationError, match=r"no credentials for Google Cloud \(none found\)"):
        read(f"secret:{VERSION}", FLAG)


def test_without_the_libraries_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'corpus-embed\[gcp\]'"):
        read(f"secret:{VERSION}", FLAG)


# --- where they do not go ---


def test_a_secret_says_itself_only_when_asked(canary: str) -> None:
    secret = resolve("env:SECRET_OF_TEST", FLAG)
    assert canary not in f"{secret!r} {secret} {[secret]} %s" % secret
    for dump in (pickle.dumps, cloudpickle.dumps):
        with pytest.raises(TypeError, match="a secret is not pickled"):
            dump(secret)
        with pytest.raises(TypeError, match="a secret is not pickled"):
            dump({"deep": [secret]})


def test_what_libraries_take_from_the_environment_goes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert redact(f"key {CANARY}") == f"key {CANARY}"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    assert redact(f"key {CANARY}") == f"key {MASK}"


def test_a_certificate_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(CANARY)
    assert read(f"file:{tmp_path}/ca.pem", "--milvus-ca") == CANARY
    assert redact(CANARY) == CANARY


def test_a_cause_that_tells_a_secret_is_left_out(canary: str) -> None:
    plain, telling = ValueError("plain"), ValueError(f"password {canary} is wrong")
    assert cause_of(plain) is plain
    assert cause_of(telling) is None
    outer = RuntimeError("refused")
    outer.__cause__ = telling
    assert cause_of(outer) is None


def test_a_run_record_holds_no_secret(canary: str, tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path), "space", "corpus-1")
    record = {"run_id": "r", "differences": [f'the server said "{canary}"', f"see https://me:{canary}@h"], "rows": 3}
    workspace.write_record("r", record)
    assert json.loads(Path(workspace.record_uri("r")).read_bytes()) == {
        "run_id": "r",
        "differences": [f'the server said "{MASK}"', f"see https://{MASK}@h"],
        "rows": 3,
    }


@contextmanager
def handler(level: int = logging.DEBUG) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger with a handler of its own, with the filter."""
    stream = io.StringIO()
    made = logging.StreamHandler(stream)
    made.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s %(extra)s", defaults={"extra": ""}))
    made.addFilter(RedactingFilter())
    logger = logging.getLogger("of.test")
    logger.addHandler(made)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield logger, stream
    finally:
        logger.removeHandler(made)
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


def raised(error: Exception) -> Exception:
    """The error with a trace."""
    with pytest.raises(type(error)):
        raise error
    return error


def test_a_log_shows_no_secret_wherever_it_stands(canary: str) -> None:
    with handler() as (logger, stream):
        logger.debug("message %s", canary)
        logger.debug("%(x)s", {"x": [canary]})
        logger.warning("%s", {"Authorization": base64.b64encode(f"root:{canary}".encode())})
        logger.info("field", extra={"extra": canary})
        logger.error("formatted " + canary, stack_info=True)  # noqa: G003
        # Written by `logging` itself otherwise, past every filter.
        logger.error("%d", canary)
        inner, outer = ValueError(canary), RuntimeError("outer")
        outer.__cause__ = inner
        for error in (inner, outer):
            logger.error("failed", exc_info=raised(error))
    text = stream.getvalue()
    assert canary not in text
    assert base64.b64encode(f"root:{canary}".encode()).decode() not in text
    assert text.count(MASK) >= 8
    assert "ValueError" in text
    assert "Traceback" in text
    assert "RuntimeError: outer" in text


def test_a_log_without_secrets_stays_as_it_is() -> None:
    with handler() as (logger, stream):
        logger.info("%d of %s", 3, "rows")
        logger.error("failed", exc_info=raised(ValueError("plain")))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "INFO of.test 3 of rows "
    assert lines[-1] == "ValueError: plain"


def test_what_resolves_guards_the_handlers_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    made = logging.StreamHandler(stream)
    monkeypatch.setattr(logging.getLogger(), "handlers", [made])
    monkeypatch.setenv("SECRET_OF_TEST", CANARY)
    resolve("env:SECRET_OF_TEST", FLAG)
    guard_output()
    guard_output()
    logging.getLogger("elsewhere").error("oh %s", CANARY)
    assert stream.getvalue() == f"oh {MASK}\n"
    assert len(made.filters) == 1


@pytest.mark.parametrize("thread", [False, True])
def test_a_trace_that_nobody_catches_shows_no_secret(thread: bool) -> None:
    code = f"""
import threading
from transforms.adapters.secrets import resolve

def fail():
    raise ValueError("wrong: " + resolve("env:SECRET_OF_TEST", "--milvus-token").reveal())

{"threading.Thread(target=fail).start()" if thread else "fail()"}
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"SECRET_OF_TEST": CANARY, "PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert CANARY not in done.stdout + done.stderr
    assert f"ValueError: wrong: {MASK}" in done.stderr
    assert "in fail" in done.stderr
