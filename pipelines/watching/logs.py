"""Logs of every command, on stderr: lines for people, or with `--log-format json` one JSON object for each event.

The names of severities and special fields are those that Cloud Logging understands
(https://cloud.google.com/logging/docs/structured-logging); any other collector takes the lines as they are. Workers of this machine that
are processes of their own send their log to the launching process, where it becomes such lines too; on Dataflow the service does that.
"""

import argparse
import datetime as dt
import io
import json
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, Literal, TextIO

from pipelines.command_line.arguments import take
from transforms.adapters.events import EVENT, FIELDS
from transforms.logic.redaction import redacted

Format = Literal["text", "json"]
FORMATS: tuple[Format, ...] = ("text", "json")
LEVELS: Mapping[str, int] = MappingProxyType(
    {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
)
_DEFAULT_LEVEL: Mapping[Format, str] = MappingProxyType({"text": "error", "json": "info"})
# What of a worker's path is the name of a module; other libraries there say too little to be told apart.
_PACKAGES = ("apache_beam", "pipelines", "transforms")
_JOB_SERVICE = "apache_beam.runners.portability.local_job_service"
_FROM_WORKER = "Worker: "
_OWN = ("pipelines", "transforms", "corpus-embed")
# Imports of files take minutes to hours, so that whoever waits hears of them.
_ALWAYS = "transforms.adapters.milvus.imports"
_SEVERITIES = (
    (logging.CRITICAL, "CRITICAL"),
    (logging.ERROR, "ERROR"),
    (logging.WARNING, "WARNING"),
    (logging.INFO + 1, "NOTICE"),
    (logging.INFO, "INFO"),
)
_bound: dict[str, str] = {}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags that every command has."""
    parser.add_argument("--log-format", choices=FORMATS, default=FORMATS[0], help="text, or one JSON object a line")
    parser.add_argument(
        "--log-level", choices=tuple(LEVELS), help="least severity that is logged (default error; with json: info)"
    )


def take_arguments(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags of `add_arguments`, wherever they stand, and what is left of the arguments without them."""
    return take(argv, add_arguments)


def configure(
    form: Format, level: str | None = None, stream: TextIO | None = None, redact: Callable[[str], str] = str
) -> None:
    """Sets up the log of this process anew.

    Args:
        form: lines for people, or JSON.
        level: the least severity of this program's own events; other libraries must at least warn, but for `debug`, which lets all pass.
        stream: where to; stderr by default.
        redact: applied to every message, field and stack trace before it is written.
    """
    _bound.clear()
    _undo_json()
    root = logging.getLogger()
    least = LEVELS[level or _DEFAULT_LEVEL[form]]
    logging.getLogger(_ALWAYS).setLevel(min(least, logging.INFO))
    if form == "text":
        logging.basicConfig(level=least, stream=stream or _Stderr(), format="%(levelname)s %(name)s: %(message)s")
        return
    root.setLevel(least)
    root.addHandler(_JsonHandler(least, stream or sys.stderr, redact))
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_defect


def _undo_json() -> None:
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _JsonHandler)]:
        root.removeHandler(handler)
        root.setLevel(logging.WARNING)
        logging.captureWarnings(capture=False)
        sys.excepthook = sys.__excepthook__


class _Stderr(io.TextIOBase):
    """Whatever `sys.stderr` is at the moment: while bars are shown, what is written goes above them."""

    def write(self, text: str, /) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def json_logger(name: str, stream: TextIO, redact: Callable[[str], str] = str) -> logging.Logger:
    """A logger beside the log, whose events become lines of JSON whatever the log is; nobody else hears of them."""
    logger = logging.Logger(name, logging.INFO)  # noqa: LOG001  known by its name it would be a part of the log
    logger.addHandler(_JsonHandler(logging.INFO, stream, redact))
    return logger


def bind(**values: str) -> None:
    """Puts values, the run id above all, into every JSON line of this process from here on."""
    _bound.update(values)


def is_json() -> bool:
    """Whether the log of this process is JSON."""
    return any(isinstance(one, _JsonHandler) for one in logging.getLogger().handlers)


class _JsonHandler(logging.StreamHandler[TextIO]):
    """Writes those records that are wanted."""

    def __init__(self, least: int, stream: TextIO, redact: Callable[[str], str]) -> None:
        super().__init__(stream)
        self._least = least
        self._redact = redact
        self.addFilter(self._is_wanted)

    def _is_wanted(self, record: logging.LogRecord) -> bool:
        if self._least <= logging.DEBUG:
            return True
        entry = _worker_entry(record)
        own = record.name if entry is None else str(entry.get("logger", ""))
        return record.levelno >= (self._least if own.split(".")[0] in _OWN else max(self._least, logging.WARNING))

    def format(self, record: logging.LogRecord) -> str:
        # ASCII, so that no character of a message ends the line for anyone.
        return json.dumps(redacted(as_values(record), self._redact), default=str)


def as_values(record: logging.LogRecord) -> dict[str, Any]:
    """A log record as the values of a JSON line."""
    entry = _worker_entry(record)
    if entry is not None:
        return {**entry, **_bound}
    values: dict[str, Any] = {
        "time": _time(record.created),
        "severity": severity(record.levelno),
        "message": record.getMessage(),
        "logger": record.name,
        **_bound,
        "step": _step(),
        "event": getattr(record, EVENT, None),
        "fields": getattr(record, FIELDS, None),
        "logging.googleapis.com/sourceLocation": {"file": record.pathname, "line": str(record.lineno)},
    }
    if record.exc_info and record.exc_info[1] is not None:
        values["stack_trace"] = "".join(traceback.format_exception(record.exc_info[1]))
    return {name: value for name, value in values.items() if value is not None}


def severity(level: int) -> str:
    """The severity of Cloud Logging for a level of `logging`: the highest that is not above it."""
    return next((name for least, name in _SEVERITIES if level >= least), "DEBUG")


def _time(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _step() -> str | None:
    """The step of the pipeline that this thread works on, if any."""
    sampler = sys.modules.get("apache_beam.runners.worker.statesampler")
    tracker = None if sampler is None else sampler.get_current_tracker()
    state = None if tracker is None else tracker.current_state()
    context = None if state is None else state.name_context
    return None if context is None else context.step_name or None


def _worker_entry(record: logging.LogRecord) -> dict[str, Any] | None:
    """The values of a line that a worker process sent, which Beam's runners on this machine log as the text of its `LogEntry`."""
    text = record.getMessage()
    if record.name == _JOB_SERVICE and text.startswith(_FROM_WORKER):
        text = text.removeprefix(_FROM_WORKER)
    elif record.module != "worker_handlers" or record.name != "root":
        return None
    from apache_beam.portability.api import beam_fn_api_pb2  # noqa: PLC0415  whoever logs so has it imported
    from google.protobuf import text_format  # noqa: PLC0415

    entry = beam_fn_api_pb2.LogEntry()
    try:
        text_format.Parse(text, entry)
    except text_format.ParseError:
        return None
    file, _, line = entry.log_location.rpartition(":")
    values = {
        "time": _time(entry.timestamp.seconds + entry.timestamp.nanos / 1e9),
        "severity": severity(record.levelno),
        "message": entry.message,
        "logger": _logger_of(file),
        "step": entry.transform_id,
        "stack_trace": entry.trace,
    }
    told = {name: value for name, value in values.items() if value}
    return {**told, "logging.googleapis.com/sourceLocation": {"file": file, "line": line}}


def _logger_of(file: str) -> str:
    """The module at a path below the place where packages are, whose name loggers have."""
    parts = file.removesuffix(".py").split("/")
    start = next((place for place, part in enumerate(parts) if part in _PACKAGES), len(parts))
    return ".".join(parts[start:])


def _log_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Logs what nobody caught, in place of Python's own lines."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("corpus-embed").critical("%s: %s", kind.__name__, error, exc_info=(kind, error, trace))
