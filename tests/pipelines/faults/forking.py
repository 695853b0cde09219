"""Runs of the main job in processes of their own that can be killed: forked, so that a hundred of them import Beam once.

As a program it reads a JSON object a line from standard input, forks, and answers with how the process ended.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.conftest import ROOT
from tests.pipelines.faults.stub import LOG_VARIABLE
from tests.pipelines.jobs import Job, document, make_model
from transforms.adapters.crashpoints import VARIABLE

KILLED = -signal.SIGKILL
_LIMIT_SECONDS = 100.0
_POLL_SECONDS = 0.005
_BROKEN = 99


class Ended(NamedTuple):
    """The exit code of a process, negative for the signal that ended it, how long it ran, and what it wrote."""

    status: int
    seconds: float
    output: str


@dataclass
class Forker:
    """A process that has imported everything and forks one for each run."""

    process: subprocess.Popen[str]
    home: Path
    requests: int = 0

    @property
    def log(self) -> Path:
        """Texts that were encoded, a JSON string a line."""
        return self.home / "encoded.jsonl"

    def run(
        self,
        flags: Sequence[str],
        crash_at: str = "",
        kill_after_seconds: float | None = None,
        *,
        kill_by: int = signal.SIGKILL,
        kill_at_count: str = "",
    ) -> Ended:
        """Runs `corpus-embed` in a process of its own, which may be killed at a crash point, after a time, or when it counts something."""
        output = self.home / "output.txt"
        environment = {LOG_VARIABLE: str(self.log), VARIABLE: crash_at}
        self.requests += 1
        request = {
            "number": self.requests,
            "flags": [*flags],
            "environment": environment,
            "output": str(output),
            "kill_after_seconds": kill_after_seconds,
            "kill_by": kill_by,
            "kill_at_count": kill_at_count,
        }
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{json.dumps(request)}\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = {"number": 0}
        # A test that ran out of time leaves an answer that is not the next one's.
        while answer["number"] != self.requests:
            answer = json.loads(self.process.stdout.readline())
        ended = Ended(answer["status"], answer["seconds"], output.read_text(encoding="utf-8"))
        assert ended.status != _BROKEN, ended.output
        return ended

    def encoded(self) -> list[str]:
        """Texts that were encoded since the last call."""
        if not self.log.exists():
            return []
        lines = self.log.read_text(encoding="utf-8").splitlines()
        self.log.unlink()
        return [json.loads(line) for line in lines]


@contextmanager
def forker(home: Path) -> Iterator[Forker]:
    """Starts such a process; its files lie in `home`."""
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.pipelines.faults.forking"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Forker(process, home)
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait(timeout=60)
        assert process.stdout
        process.stdout.close()


def _serve() -> None:
    from pipelines import cli
    from pipelines.preflight import run_plan
    from tests.pipelines.faults.stub import open_logging_encoder

    run_plan.__dict__["open_encoder"] = open_logging_encoder
    _import_what_a_run_imports(cli.main)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _be_a_run(request, cli.main)
        answer = {"number": request["number"], **_wait(child, request["kill_after_seconds"], request["kill_by"])}
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


def _import_what_a_run_imports(main: Any) -> None:
    """Much is imported where it is needed; a first run tells what, and is thrown away."""
    with TemporaryDirectory() as home:
        job = Job(Path(home), make_model(Path(home, "model")))
        job.write("a.jsonl", [document("d0")])
        names = Path(home, "modules")

        def run(flags: Sequence[str]) -> int:
            status = main(flags)
            names.write_text("\n".join(sys.modules), encoding="utf-8")
            return int(status)

        child = os.fork()
        if child == 0:
            environment = {LOG_VARIABLE: str(Path(home, "encoded"))}
            flags = ["run", *job.flags(), "--runner=FnApiRunner"]
            _be_a_run({"output": str(Path(home, "output")), "environment": environment, "flags": flags}, run)
        os.waitpid(child, 0)
        for name in names.read_text(encoding="utf-8").split():
            with suppress(ImportError):
                import_module(name)


def _be_a_run(request: Mapping[str, Any], main: Any) -> None:
    status = _BROKEN
    try:
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(request["environment"])
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if request.get("kill_at_count"):
            _kill_at_count(request["kill_at_count"], request["kill_by"])
        status = main(request["flags"])
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001  a forked process must not go on in its parent's code
        traceback.print_exc()
    finally:
        os._exit(status)


def _kill_at_count(name: str, number: int) -> None:
    """Sends this process a signal when it has counted something of a name for the first time."""
    from transforms import metrics
    from transforms.adapters import progress

    tell = progress.tell
    sent: list[str] = []

    def told(counts: Mapping[str, float]) -> None:
        tell(counts)
        if name in counts and not sent:
            sent.append(name)
            os.kill(os.getpid(), number)

    metrics.__dict__["tell"] = progress.__dict__["tell"] = told


def _wait(child: int, kill_after_seconds: float | None, kill_by: int) -> dict[str, Any]:
    start = time.monotonic()
    deadline = start + (_LIMIT_SECONDS if kill_after_seconds is None else kill_after_seconds)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if not ended and time.monotonic() > deadline:
            os.kill(child, kill_by)
            ended, status = os.waitpid(child, 0)
        if ended:
            return {"status": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - start}
        time.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    _serve()
