"""Logs as lines of JSON: one event a line, in Cloud Logging's words, from this process and from its workers."""

import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from pipelines import cli
from pipelines.watching import logs
from tests.conftest import ROOT
from tests.pipelines.jobs import Job, document
from transforms.adapters.events import report
from transforms.logic.errors import TransientError

OWN = logging.getLogger("transforms.of_a_test")
SEVERITIES = {"DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY"}
"""https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#LogSeverity"""


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged from here on."""
    written = io.StringIO()
    logs.configure("json", "info", written)
    yield written
    logs.configure("text")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_has_what_cloud_logging_reads(stream: io.StringIO) -> None:
    logs.bind(run_id="run-1")
    report(OWN, logging.INFO, "run finished", rows=12)
    (line,) = lines(stream.getvalue())
    place = line.pop("logging.googleapis.com/sourceLocation")
    assert place["file"] == __file__
    assert place["line"].isdigit()
    assert line.pop("time").endswith("Z")
    assert line == {
        "severity": "INFO",
        "message": "run finished rows=12",
        "logger": OWN.name,
        "run_id": "run-1",
        "event": "run finished",
        "fields": {"rows": 12},
    }


LEVELS = {
    logging.DEBUG: "DEBUG",
    logging.INFO: "INFO",
    logging.INFO + 1: "NOTICE",
    logging.WARNING: "WARNING",
    logging.ERROR: "ERROR",
    logging.CRITICAL: "CRITICAL",
}
"""By number: libraries name levels of their own (uvicorn has TRACE), so names of `logging` depend on what is imported."""


def test_every_level_is_the_severity_of_cloud_logging_that_is_next_below() -> None:
    assert {level: logs.severity(level) for level in LEVELS} == LEVELS
    severities = [logs.severity(level) for level in range(101)]
    assert set(severities) == set(LEVELS.values()) < SEVERITIES
    assert severities == sorted(severities, key=list(LEVELS.values()).index)


@given(st.text())
def test_a_message_of_any_text_is_one_line_of_ascii(message: str) -> None:
    written = io.StringIO()
    logs.configure("json", "info", written)
    try:
        OWN.info(message)
    finally:
        logs.configure("text")
    assert written.getvalue().isascii()
    (line,) = written.getvalue().splitlines()
    assert json.loads(line)["message"] == message


def test_other_libraries_are_heard_from_their_warnings_on(stream: io.StringIO) -> None:
    logging.getLogger("apache_beam.x").info("chatter")
    logging.getLogger("apache_beam.x").warning("trouble")
    OWN.debug("detail")
    OWN.info("event")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old name", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    found = [(line["severity"], line["message"]) for line in lines(stream.getvalue())]
    assert found[:2] == [("WARNING", "trouble"), ("INFO", "event")]
    assert found[2][0] == "WARNING"
    assert "DeprecationWarning: old name" in found[2][1]
    assert len(found) == 3
    assert logs.is_json()


def test_debug_lets_all_pass_and_error_little() -> None:
    for level, wanted in (("debug", ["chatter", "event", "lost"]), ("error", ["lost"])):
        written = io.StringIO()
        logs.configure("json", level, written)
        logging.getLogger("apache_beam.x").debug("chatter")
        OWN.info("event")
        OWN.error("lost")
        logs.configure("text")
        assert [line["message"] for line in lines(written.getvalue())] == wanted
    assert not logs.is_json()


def test_an_error_brings_its_stack_trace_as_a_field(stream: io.StringIO) -> None:
    try:
        int("no number")
    except ValueError:
        OWN.exception("it failed")
    (line,) = lines(stream.getvalue())
    assert line["message"] == "it failed"
    assert line["stack_trace"].startswith("Traceback (most recent call last):\n")
    assert line["stack_trace"].endswith("ValueError: invalid literal for int() with base 10: 'no number'\n")


def test_whatever_is_to_be_redacted_is_nowhere_in_a_line() -> None:
    written = io.StringIO()
    logs.configure("json", "info", written, lambda text: text.replace("hunter2", "***"))
    logs.bind(run_id="run-hunter2")
    OWN.error("with hunter2", exc_info=TransientError("token hunter2"))
    report(OWN, logging.INFO, "connected", server="hunter2.internal")
    logs.configure("text")
    assert written.getvalue().count("***") == 6
    assert "hunter2" not in written.getvalue()


@pytest.mark.parametrize(
    "service",
    [worker_handlers.BasicLoggingService, local_job_service.BeamFnLoggingServicer],
    ids=lambda one: one.__name__,
)
def test_what_worker_processes_log_becomes_a_line_too(service: Callable[[], Any], stream: io.StringIO) -> None:
    logs.bind(run_id="run-1")
    entries = [
        beam_fn_api_pb2.LogEntry(
            severity=beam_fn_api_pb2.LogEntry.Severity.INFO,
            timestamp=Timestamp(seconds=1_000_000_000, nanos=500_000_000),
            message='run finished rows=12 status="ü\n"',
            transform_id="Commit run",
            log_location=f"/home/{module}.py:65",
        )
        for module in ("lib/transforms/commit", "lib/apache_beam/worker")
    ]
    message = beam_fn_api_pb2.LogEntry.List(log_entries=entries)
    list(service().Logging([message]))
    (line,) = lines(stream.getvalue())
    assert line == {
        "time": "2001-09-09T01:46:40.500000Z",
        "severity": "INFO",
        "message": 'run finished rows=12 status="ü\n"',
        "logger": "transforms.commit",
        "step": "Commit run",
        "run_id": "run-1",
        "logging.googleapis.com/sourceLocation": {"file": "/home/lib/transforms/commit.py", "line": "65"},
    }


@given(st.lists(st.text(alphabet="-=alogfrmt/ ", max_size=12).filter(lambda word: not word.startswith("--log-"))))
def test_other_arguments_stay_as_they_are_and_in_order(words: list[str]) -> None:
    given_flags = ["--log-format", "json", "--log-level=debug"]
    taken, rest = logs.take_arguments([*given_flags, *words])
    assert (rest, taken.log_format, taken.log_level) == (words, "json", "debug")
    taken, rest = logs.take_arguments([*words, "--", *given_flags])
    assert (rest, taken.log_format, taken.log_level) == ([*words, "--", *given_flags], "text", None)


@pytest.mark.parametrize("flags", [["--log-format", "xml"], ["--log-level=loud"], ["--log-format"]])
def test_a_format_or_level_that_is_none_ends_the_command(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["runs", "ls", "anywhere", *flags])
    assert caught.value.code == 2
    assert flags[0].split("=")[0] in capsys.readouterr().err


def test_a_run_tells_its_plan_and_its_end(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.write("a.jsonl", [document("d0"), b"no json"])
    assert job.main("--log-format=json") == 3
    captured = capsys.readouterr()
    logs.configure("text")
    assert "complete with rejects" in captured.out
    told = {line["event"]: line for line in lines(captured.err) if "event" in line}
    assert set(told) == {"run planned", "run recorded", "run finished"}
    assert told["run recorded"]["fields"] == told["run finished"]["fields"]
    (run_id,) = {line["run_id"] for line in told.values()}
    assert (job.workspace / "runs" / run_id).is_dir()
    assert told["run planned"]["fields"]["files"] == 1
    assert (
        told["run finished"]["fields"].items()
        >= {
            "run_id": run_id,
            "exit_code": 3,
            "documents_read": 2,
            "documents_rejected": 1,
            "rows_written": 1,
            "rejects": 1,
            "differences": 0,
        }.items()
    )
    assert told["run recorded"]["step"].startswith("Commit run")
    assert "step" not in told["run finished"]


def test_a_command_that_fails_says_so_in_json(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", "ls", str(job.home / "nowhere"), "--log-format", "json"]) == 2
    (line,) = lines(capsys.readouterr().err)
    logs.configure("text")
    assert (line["severity"], line["event"]) == ("ERROR", "command failed")
    assert line["fields"]["command"] == "runs"
    assert line["fields"]["exit_code"] == 2
    assert "there is no workspace" in line["fields"]["error"]


def test_a_defect_is_one_line_too() -> None:
    program = "from pipelines.watching import logs; logs.configure('json'); logs.bind(run_id='r'); 1 / 0"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = lines(done.stderr)
    assert (line["severity"], line["message"], line["run_id"]) == (
        "CRITICAL",
        "ZeroDivisionError: division by zero",
        "r",
    )
    assert "ZeroDivisionError" in line["stack_trace"]
