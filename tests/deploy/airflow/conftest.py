"""A real Airflow in an environment and a home of its own, and the command that its tasks run."""

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.conftest import ROOT

PROGRAMS = ROOT / ".venv-airflow" / "bin"
DAGS = ROOT / "deploy" / "airflow" / "dags"
CANARY = "correct-horse-battery-staple"
COMMAND = Path(__file__).with_name("command.py")


@dataclass
class Airflow:
    """Airflow on sqlite, which reads a copy of the DAGs that has nothing of this project beside it."""

    home: Path
    settings: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.port = _free_port()
        self.home.mkdir()
        shutil.copytree(DAGS, self.home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
        self.run("db", "migrate")

    def variables(self, settings: Any = None) -> dict[str, str]:
        """The environment of Airflow's processes."""
        database = f"sqlite:///{self.home}/airflow.db"
        return {
            "PATH": f"{PROGRAMS}:/usr/bin:/bin",
            "HOME": str(self.home),
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": "of-this-test-alone-0123456789abcdef",
            "AIRFLOW__API_AUTH__JWT_SECRET": "of-this-test-alone-0123456789abcdef-0123456789abcdef-0123456789abcdef",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "SCARF_ANALYTICS": "false",
            "NO_GCE_CHECK": "true",
            "AIRFLOW_VAR_CORPUS_EMBED": json.dumps(self.settings if settings is None else settings),
            "CANARY_IN_THE_ENVIRONMENT": CANARY,
            **self.environment,
        }

    def run(self, *arguments: str, settings: Any = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs `airflow` to its end; its output is both streams."""
        done = subprocess.run(
            [PROGRAMS / "airflow", *arguments],
            env=self.variables(settings),
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout[-4000:]
        return done

    def python(self, code: str, environment: Mapping[str, str] | None = None) -> Any:
        """Runs Python among the DAGs and reads its last line as JSON."""
        done = subprocess.run(
            [PROGRAMS / "python", "-c", code],
            env={**self.variables(), **(environment or {})},
            cwd=self.home / "dags",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Asks Airflow's database."""
        with contextlib.closing(sqlite3.connect(self.home / "airflow.db", timeout=30)) as database:
            return database.execute(statement, values).fetchall()

    def states(self, dag: str) -> dict[str, str]:
        """State of each run of a DAG, by the day its interval begins."""
        rows = self.query("SELECT data_interval_start, state FROM dag_run WHERE dag_id = ? ORDER BY 1", dag)
        return {str(start)[:10]: state for start, state in rows}

    def files_with(self, text: str) -> list[str]:
        """Names of files below Airflow's home, its database among them, that hold a text."""
        found = (path for path in sorted(self.home.rglob("*")) if path.is_file())
        return [str(path) for path in found if text.encode() in path.read_bytes()]

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """The scheduler and what it needs, both reachable from this machine alone."""
        self.run("dags", "reserialize")
        with contextlib.ExitStack() as running:
            for arguments in (["api-server"], ["scheduler", "--skip-serve-logs"]):
                running.enter_context(self._process(arguments))
                if arguments == ["api-server"]:
                    wait_until(lambda: _listens(self.port), 120, "the API server")
            yield

    @contextlib.contextmanager
    def _process(self, arguments: Sequence[str]) -> Iterator[None]:
        with (self.home / f"{arguments[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [PROGRAMS / "airflow", *arguments],
                env=self.variables(),
                cwd=self.home,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield
            finally:
                _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and those it started, which share its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 15)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def wait_until(done: Callable[[], bool], seconds: float, what: str) -> None:
    """Waits for something, or fails."""
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, f"{what}: not within {seconds:g} s"
        time.sleep(0.5)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Webhook:
    """What alerts are sent to."""

    port: int
    received: list[tuple[str | None, Mapping[str, Any]]] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """The alerts, without the addresses of logs."""
        return [str(body["text"]).rsplit("; ", 1)[0] for _, body in self.received]


@pytest.fixture(scope="session")
def webhook() -> Iterator[Webhook]:
    """A server that keeps what it is sent."""
    kept: list[tuple[str | None, Mapping[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.append((self.headers["Authorization"], json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Webhook(server.server_port, kept)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `command.py` keeps how it was called, and is told what to fail."""
    return tmp_path_factory.mktemp("calls")


@pytest.fixture(scope="session")
def airflow(
    tmp_path_factory: pytest.TempPathFactory,
    webhook: Webhook,
    calls: Path,
    sample_corpus: Path,
    offline_model: Path,
) -> Airflow:
    """Airflow, set up to embed the sample corpus with this checkout."""
    if not (PROGRAMS / "airflow").is_file():
        pytest.fail(f"{PROGRAMS} has no Airflow: run these tests by `make test-airflow`")
    home = tmp_path_factory.mktemp("airflow")
    settings = {
        "runner": "local",
        "command": [sys.executable, str(COMMAND), str(calls)],
        "options": {
            "input": f"{sample_corpus}/*.jsonl*",
            "workspace": str(home / "workspace"),
            "milvus": str(home / "milvus.db"),
            "collection": "corpus",
            "model": str(offline_model),
            "max_reject_fraction": 0.1,
        },
    }
    alerts = {"conn_type": "http", "host": "http://127.0.0.1", "port": webhook.port, "password": CANARY}
    return Airflow(home / "home", settings, {"AIRFLOW_CONN_CORPUS_EMBED_ALERTS": json.dumps(alerts)})
