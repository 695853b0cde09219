"""Ctrl-C and SIGTERM of real processes: how they end, and that nothing of them stays."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from pipelines.command_line import interruption
from pipelines.preflight.collection import open_collection
from tests.conftest import ROOT
from tests.fakes import FakeEncoder
from tests.pipelines.jobs import Job, document, story
from transforms.adapters.encoders import Computation, Encoded, TokenIds
from transforms.adapters.models import ModelDescription
from transforms.adapters.progress import Board

MESSAGE = "corpus-embed run: interrupted; what was done is kept, and the same command goes on from there\n"
_LIMIT_SECONDS = 90.0
PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
RUN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from pipelines.watching import logs; logs.configure('text'); "
    "from pipelines import cli; from pipelines.preflight import run_plan; "
    "from tests.pipelines.command_line.test_interruption import open_slow_encoder; "
    "run_plan.__dict__['open_encoder'] = open_slow_encoder; cli.script()"
)


class SlowEncoder(FakeEncoder):
    """Takes its time, as a model does."""

    def encode(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Encoded:
        time.sleep(0.5)
        return super().encode(texts, token_ids)


def open_slow_encoder(model: ModelDescription, prompt: str, computation: Computation) -> SlowEncoder:
    """Its vectors are those of `tests.fakes.open_fake_encoder`."""
    return SlowEncoder(model.dimensions, prefix=f"{prompt}|{computation.dtype}|", outputs=computation.outputs)


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Who runs the tests may ignore Ctrl-C, or the end of the terminal as nohup does."""
    usual = dict.fromkeys(interruption.SIGNALS, signal.SIG_DFL) | {signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def filled(job: Job) -> Job:
    job.write("a.jsonl", [document(f"d{number}", story(f"d{number}", 4)) for number in range(40)])
    return job


@contextmanager
def started(job: Job, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a session of its own, with its temporary files in one place."""
    temporary = job.home / "temporary"
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "run", *job.flags(), "--runner=FnApiRunner", *flags],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for process_id in of_session(process.pid):
            os.kill(process_id, signal.SIGKILL)
        process.communicate()


def of_session(session: int) -> list[int]:
    """Ids of the living processes of a session (proc(5): the state is the third field, the session the sixth)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in {b"Z", b"X"}:
            found.append(int(path.parent.name))
    return found


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def told(job: Job, count: str) -> bool:
    """Whether a worker process of the run has counted something."""
    (*boards,) = (job.home / "temporary").glob("corpus-embed-*")
    return any(counts.get(count) for board in boards for counts in Board(board).read().values())


def check_end(job: Job, process: subprocess.Popen[str], code: int) -> None:
    """That the process ended so, and nothing is left of it but what it stored; then the run is brought to its end."""
    output, errors = process.communicate(timeout=_LIMIT_SECONDS)
    assert process.returncode == code, errors
    assert (output, errors) == ("", MESSAGE)
    assert of_session(process.pid) == []
    assert list((job.home / "temporary").iterdir()) == []
    (lease,) = (json.loads(path.read_bytes()) for path in job.workspace.glob("ledger/*/lease/*.json"))
    assert lease["released"]
    record = job.run()
    assert (record["status"], record["documents"]["read"], record["rows"]["held"]) == ("complete", 40, 80)
    assert len(job.rows()) == 80


@pytest.mark.slow
@pytest.mark.parametrize("count", ["documents.read", "vectors.encoded"])
def test_ctrl_c_at_a_terminal_ends_all_worker_processes(filled: Job, count: str) -> None:
    with started(filled, *PROCESSES) as process:
        wait_for(lambda: told(filled, count), process)
        assert len(of_session(process.pid)) >= 3
        # A terminal sends it to all that run in the foreground.
        os.killpg(process.pid, signal.SIGINT)
        check_end(filled, process, 130)


@pytest.mark.slow
def test_sigterm_of_the_launching_process_ends_its_workers(filled: Job) -> None:
    with started(filled, *PROCESSES) as process:
        wait_for(lambda: told(filled, "vectors.encoded"), process)
        process.terminate()
        check_end(filled, process, 143)


@pytest.mark.slow
def test_a_run_in_one_process_ends_while_it_encodes(filled: Job) -> None:
    with started(filled) as process:
        # The first shard is stored while the other seven buckets wait.
        wait_for(lambda: any(filled.workspace.glob("dataset/*/[!.]*.parquet")), process)
        process.send_signal(signal.SIGINT)
        check_end(filled, process, 130)


def test_an_interrupt_while_the_run_is_planned(
    filled: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.preflight.run_plan.open_collection", interrupted)
        assert filled.main() == 130
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", MESSAGE)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert filled.main() == 0


def test_who_does_not_hear_of_ctrl_c_goes_on(filled: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = open_collection

    def interrupted(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return plan(*arguments)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setattr("pipelines.preflight.run_plan.open_collection", interrupted)
    assert filled.main() == 0


def test_an_interrupt_is_an_event_of_a_json_log(
    filled: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipelines.preflight.run_plan.open_collection", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert filled.main("--log-format", "json") == 143
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (line["event"], line["severity"]) == ("command interrupted", "ERROR")
    assert line["fields"]["exit_code"] == 143


@pytest.mark.parametrize("number", interruption.SIGNALS)
def test_other_commands_say_no_more_than_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, number: int
) -> None:
    monkeypatch.setattr("pipelines.verify.verify_collection", lambda *_: os.kill(os.getpid(), number))
    flags = ["--workspace", str(tmp_path), "--milvus", str(tmp_path / "m.db"), "--collection", "c"]
    assert cli.main(["verify", *flags]) == 128 + number
    assert capsys.readouterr().err == "corpus-embed verify: interrupted\n"


def test_what_runs_apart_gives_and_raises_what_it_would() -> None:
    assert interruption.apart(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        interruption.apart(lambda: 1 // 0)


def test_processes_that_a_command_did_not_start_are_left_alone() -> None:
    program = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pipelines.command_line.interruption import InterruptedCommand, interruptible\n"
        "start = lambda: subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "before = start()\n"
        "try:\n"
        "    with interruptible():\n"
        "        within = start()\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(60)\n"
        "except InterruptedCommand:\n"
        "    print(before.poll(), within.wait(60))\n"
        "finally:\n"
        "    before.kill()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", str(-signal.SIGKILL)]
