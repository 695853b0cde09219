"""Secrets stay where they are: no command shows one, with every library talking, whether it succeeds or fails.

The secret is the canary. It is given to every command by reference; then all that the command wrote is searched for it,
in every form that it may take: output, log lines of every level, traces, and files, compressed or not.
"""

import base64
import gzip
import json
import logging
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
import uvicorn
from apache_beam.internal.cloudpickle import cloudpickle
from pymilvus import MilvusException
from starlette.testclient import TestClient

from pipelines import cli
from pipelines.configuration import options
from pipelines.embed_corpus import build
from pipelines.preflight.run_plan import plan_run
from tests import fakes
from tests.conftest import ROOT
from tests.guarded_server import Authority, guarded_server
from tests.pipelines.jobs import COLLECTION, Job, document, story
from transforms.adapters import secrets
from transforms.adapters.milvus import RowList, release
from transforms.logic.redaction import MASK

CANARY = "canary-5f2b9c-sings"
TOKEN = f"root:{CANARY}"
AWS = "canary/of+the/library/7d1e"
VARIABLE = "TOKEN_OF_TEST"
FORMS = [
    form
    for one in (TOKEN, CANARY, AWS)
    for form in (
        one,
        quote(one, safe=""),
        base64.b64encode(one.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(one.encode()).decode().rstrip("="),
    )
]

Arguments = Callable[[Job, str], list[str]]
"""What a command is told of a job, and of the Milvus that is meant."""


def _flags(job: Job, milvus: str, **changes: Any) -> list[str]:
    return job.flags(milvus=milvus, **changes)


def _question_file(job: Job) -> str:
    path = job.home / "questions.jsonl"
    path.write_text(json.dumps({"query": "rivers", "query_language": "en", "answer": "d7"}))
    return str(path)


COMMANDS: dict[str, Arguments] = {
    "run": _flags,
    "run --publish": lambda job, milvus: _flags(job, milvus, collection=None, publish="live"),
    "plan": _flags,
    "launch": _flags,
    "calibrate": _flags,
    "search": lambda _, milvus: ["rivers", "--milvus", milvus, "--collection", COLLECTION],
    "explore": lambda _, milvus: ["--milvus", milvus, "--collection", COLLECTION, "--port", "0"],
    "capabilities": lambda _, milvus: ["--milvus", milvus],
    "verify": lambda job, milvus: [
        *("--workspace", str(job.workspace), "--milvus", milvus, "--collection", COLLECTION)
    ],
    "evaluate": lambda job, milvus: [
        *("--workspace", str(job.workspace), "--milvus", milvus, "--collection", COLLECTION),
        *("--pairs", _question_file(job)),
    ],
    "load": lambda job, milvus: [
        *("--workspace", str(job.workspace), "--from", COLLECTION, "--milvus", milvus, "--collection", "copy")
    ],
    "rollback": lambda job, milvus: ["live", "--workspace", str(job.workspace), "--milvus", milvus],
    "drop": lambda job, milvus: [*("copy", "--yes", "copy", "--workspace", str(job.workspace), "--milvus", milvus)],
    "workspace": lambda job, _: ["ls", str(job.workspace)],
    "runs": lambda job, _: ["ls", str(job.workspace)],
    "report": lambda job, _: [str(job.workspace)],
    "rejects": lambda job, _: ["ls", str(job.workspace)],
    "config": lambda job, milvus: ["check", *_flags(job, milvus)],
    "completion": lambda *_: ["bash"],
}
"""In an order in which each finds what it needs."""
WITHOUT_MILVUS = {"workspace", "runs", "report", "rejects", "completion"}
RUNNING = {
    "run",
    "run --publish",
    "load",
    "search",
    "evaluate",
    "explore",
    "verify",
    "rollback",
    "drop",
    "capabilities",
}
"""Those that open Milvus where they run."""


def test_every_command_has_its_case() -> None:
    assert set(cli.COMMANDS) <= {name.split()[0] for name in COMMANDS}


@dataclass
class Heard:
    """All that a command wrote."""

    code: int
    text: str


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_known", set())
    monkeypatch.setenv(VARIABLE, TOKEN)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", AWS)
    monkeypatch.setattr("transforms.adapters.milvus.collection.CONNECT_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(
        "pipelines.queries.open_encoder",
        lambda model, prompt, computation, _: fakes.open_fake_encoder(model, prompt, computation),
    )
    monkeypatch.setattr("uvicorn.Server.run", _look_at_the_page)


def _look_at_the_page(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
    """In place of serving: what a browser would be told."""
    page: Any = server.config.app
    client = TestClient(page, "http://127.0.0.1")
    answers = [
        *(client.get(path) for path in ("/", "/api/collection", "/api/document")),
        client.post("/api/search", json={"query": "rivers", "compare": True}),
    ]
    for answer in answers:
        sys.stdout.write(f"{answer.headers} {answer.text}\n")


@pytest.fixture
def filled(job: Job) -> Job:
    job.write("a.jsonl", [document(f"d{number}", story(f"d{number}", 4)) for number in range(60)] + [b"not JSON"])
    return job


@contextmanager
def listening() -> Iterator[list[str]]:
    """Every line that the handlers of the root logger write, all loggers at their most talkative."""
    root = logging.getLogger()
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))
            lines.append(repr({name: value for name, value in vars(record).items() if name != "exc_info"}))

    handler = Handler()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def _run(name: str, job: Job, milvus: str, capfd: pytest.CaptureFixture[str], *more: str) -> Heard:
    """Runs a command in this process, with the secret named by reference."""
    command, *flags = name.split()[:1]
    named = [] if command in WITHOUT_MILVUS else ["--milvus-token", f"env:{VARIABLE}"]
    capfd.readouterr()
    with listening() as lines:
        try:
            code = cli.main([command, *flags, *COMMANDS[name](job, milvus), *named, *more])
        except SystemExit as error:
            code = int(str(error.code))
    captured = capfd.readouterr()
    return Heard(code, captured.out + captured.err + "\n".join(lines))


def _check_silent(text: str) -> None:
    for form in FORMS:
        assert form not in text, form


def _contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what is packed in them."""
    data = path.read_bytes()
    yield data
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        yield json.dumps(table.to_pylist(), default=str).encode()
        yield repr(table.schema.metadata).encode()
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    if data[:1] == b"\x78":
        yield zlib.decompress(data)


def _check_silent_below(*directories: Path) -> int:
    files = [path for directory in directories for path in directory.rglob("*") if path.is_file()]
    for path in files:
        for content in _contents(path):
            for form in FORMS:
                assert form.encode() not in content, path
    return len(files)


def test_the_search_for_the_canary_finds_it(tmp_path: Path) -> None:
    for form in FORMS:
        with pytest.raises(AssertionError):
            _check_silent(f"before{form}after")
        (tmp_path / "file").write_bytes(gzip.compress(form.encode()))
        with pytest.raises(AssertionError):
            _check_silent_below(tmp_path)


def test_no_command_that_succeeds_shows_the_secret(filled: Job, capfd: pytest.CaptureFixture[str]) -> None:
    for name in (one for one in COMMANDS if one.split()[0] in cli.COMMANDS and one != "launch"):
        if name == "rollback":
            # There is something to roll back to.
            filled.write("b.jsonl", [document("new")])
            assert _run("run --publish", filled, str(filled.milvus), capfd).code == 3
        heard = _run(name, filled, str(filled.milvus), capfd)
        assert heard.code in {0, 3}, heard.text
        _check_silent(heard.text)
    assert _check_silent_below(filled.home) > 20
    (first, *_) = sorted((filled.workspace / "runs").rglob("*.json"))
    assert f'"milvus_token": "env:{VARIABLE}"' in first.read_text()


@pytest.mark.parametrize("name", sorted(RUNNING - {"rollback", "drop"}))
def test_no_command_that_is_refused_shows_the_secret(
    filled: Job, capfd: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    """By a server that repeats the token that it does not take."""
    if name == "load":
        filled.run()
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    with guarded_server("root:another one", authority.issue(["127.0.0.1"])) as server:
        heard = _run(name, filled, server.uri, capfd, "--milvus-ca", f"file:{tmp_path}/ca.pem")
    assert heard.code == 2
    assert f"refuses the connection: auth check failure, please check username and password: {MASK}" in heard.text
    _check_silent(heard.text)
    _check_silent_below(filled.home)


@pytest.mark.parametrize("name", sorted(RUNNING))
def test_no_command_that_reaches_nobody_shows_the_secret(
    filled: Job, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        if name == "load":
            filled.run()
        heard = _run(name, filled, uri, capfd)
    assert heard.code == 2
    assert "does not answer within 1 seconds" in heard.text
    _check_silent(heard.text)
    _check_silent_below(filled.home)


@pytest.mark.parametrize("name", [one for one in COMMANDS if one not in WITHOUT_MILVUS])
def test_no_command_takes_a_literal_secret_or_repeats_it(
    filled: Job, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    given = COMMANDS[name](filled, str(filled.milvus))
    of_uri = COMMANDS[name](filled, f"https://{TOKEN}@milvus.example.org")
    for arguments in (
        [*given, "--milvus-token", TOKEN],
        [*given, f"--milvus-token={TOKEN}"],
        [*given, "--milvus-tokn", TOKEN],
        [*given, f"--milvus-tokn={TOKEN}"],
        [*given, "--milvus-token", f"env:{TOKEN}"],
        [*given, "--milvus-client-key", TOKEN],
        of_uri,
    ):
        capfd.readouterr()
        with listening() as lines:
            try:
                code = cli.main([name.split(maxsplit=1)[0], *arguments])
            except SystemExit as error:
                code = int(str(error.code))
        captured = capfd.readouterr()
        assert code == 2, arguments
        assert captured.err
        _check_silent(captured.out + captured.err + "\n".join(lines))
    assert not filled.workspace.exists()


def test_what_is_no_secret_option_of_beam_is_no_place_for_one(filled: Job, capfd: pytest.CaptureFixture[str]) -> None:
    for flag in ("--s3_secret_access_key", "--s3_session_token", "--azure_connection_string"):
        for arguments in ([flag, CANARY], [f"{flag}={CANARY}"]):
            heard = _run("run", filled, str(filled.milvus), capfd, *arguments)
            assert heard.code == 2
            assert flag in heard.text
            _check_silent(heard.text)
    for uri in (f"s3://AKIA:{CANARY}@bucket/corpus/*", f"gs://{CANARY}@bucket/x"):
        assert cli.main(["run", *filled.flags(input=uri)]) == 2
        assert cli.main(["workspace", "ls", uri]) == 2
        captured = capfd.readouterr()
        assert captured.err.count("holds a user or a password before its host") == 2
        _check_silent(captured.out + captured.err)


def test_a_configuration_file_holds_no_secret_either(
    filled: Job, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for line in (
        f'milvus_token = "{TOKEN}"',
        f'milvus_client_key = ["{TOKEN}"]',
        f'input = "s3://AKIA:{CANARY}@bucket/x"',
        f'milvus_tokn = "{TOKEN}"',
    ):
        path = tmp_path / "options.toml"
        path.write_text(line)
        assert cli.main(["run", "--config", str(path), *filled.flags(input=None)]) == 2
        captured = capfd.readouterr()
        assert captured.err
        _check_silent(captured.out + captured.err)


@pytest.mark.parametrize("refused", ["one row", "every row"])
def test_what_a_server_says_of_rows_is_kept_without_the_secret(
    filled: Job, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """It stands in a reject, or in the error that a worker hands to the launching process."""
    build = RowList.request

    def request(rows: RowList, described: Any, partition: str, start: int, stop: int) -> Any:
        if refused == "every row" or any(row["document_id"] == "d7" for row in rows._rows[start:stop]):
            raise MilvusException(
                code=1100, message=f"invalid parameter of {TOKEN}, {base64.b64encode(TOKEN.encode())!r}"
            )
        return build(rows, described, partition, start, stop)

    monkeypatch.setattr(RowList, "request", request)
    heard = _run("run", filled, str(filled.milvus), capfd)
    assert heard.code == (3 if refused == "one row" else 1)
    _check_silent(heard.text)
    _check_silent_below(filled.home)
    if refused == "every row":
        assert f"invalid parameter of {MASK}" in heard.text
    else:
        (rejects,) = [path for path in filled.workspace.rglob("*.parquet") if "rejects" in path.parts]
        assert any(f"invalid parameter of {MASK}" in str(row["detail"]) for row in pq.read_table(rejects).to_pylist())


def test_the_graph_that_is_sent_to_a_runner_holds_the_reference_alone(filled: Job) -> None:
    config = options.to_config(filled.options(milvus_token=f"env:{VARIABLE}"))
    built = beam.Pipeline("FnApiRunner")
    try:
        build(built, plan_run(config))
        # What Beam makes of a pickle is compressed; these are the plain bytes.
        functions: list[bytes] = []

        class Visitor(beam.pipeline.PipelineVisitor):
            def visit_transform(self, applied: beam.pipeline.AppliedPTransform) -> None:
                if isinstance(applied.transform, beam.ParDo):
                    functions.append(cloudpickle.dumps(applied.transform.fn))

        built.visit(Visitor())
        sent = [built.to_runner_api().SerializeToString(), *functions]
    finally:
        release(str(filled.milvus))
    assert any(f"env:{VARIABLE}".encode() in one for one in sent)
    for one in sent:
        for form in FORMS:
            assert form.encode() not in one


def test_a_worker_that_fails_hands_on_no_secret(tmp_path: Path) -> None:
    """A defect, which nobody catches, in a process of its own: what is printed is what a log collector sees."""
    code = f"""
import sys
from unittest import mock
from pymilvus import MilvusClient
from pipelines import cli

def fail(*arguments, **settings):
    raise ZeroDivisionError(f"a defect that shows {{settings['token']}}")

with mock.patch.object(MilvusClient, "__init__", fail):
    sys.exit(cli.main(["capabilities", "--milvus", "http://127.0.0.1:9", "--milvus-token", "env:{VARIABLE}"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={VARIABLE: TOKEN, "PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"ZeroDivisionError: a defect that shows {MASK}" in done.stderr
    _check_silent(done.stdout + done.stderr)
