"""Progress of a run, on stderr while it goes on: bars on a terminal, else a line now and then, or JSON.

What is shown comes from the workers of this machine (`transforms.adapters.progress`); of a job that a runner elsewhere has, that
runner's own page tells. It is for who watches: the figures that count are those of the run record.
"""

import argparse
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO, get_args

from pipelines.watching import logs
from transforms.adapters.events import report
from transforms.adapters.progress import Board, open_board
from transforms.adapters.secrets import redact
from transforms.logic.errors import ConfigurationError
from transforms.logic.progress import Expected, PhaseName, State, Tracker
from transforms.logic.progress_text import line_of, values_of

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

Mode = Literal["auto", "bar", "lines", "json", "none"]
Say = Callable[[str], object]

LINE_SECONDS = 30.0
_LOOK_SECONDS = 0.5
_LOG = logging.getLogger(__name__)


class View(Protocol):
    """A way to show states."""

    def show(self, state: State) -> None:
        """Shows a state; asked twice a second."""

    def hide(self) -> None:
        """Makes room for somebody else who writes to the terminal, until the next state is shown."""

    def end(self, record: Mapping[str, Any] | None) -> None:
        """Shows no more; the record is that of a run that came to its end."""


class Lines:
    """A line when a phase begins and every `LINE_SECONDS`, by whatever writes it."""

    def __init__(
        self, write: Callable[[State], object], end: Callable[[Mapping[str, Any]], object], patience: float
    ) -> None:
        """Takes how many seconds a run must take before it is worth a line."""
        self._write = write
        self._end = end
        self._next_seconds = patience
        self._patience_seconds = patience
        self._phase = ""
        self._wrote = False

    def show(self, state: State) -> None:
        """Writes the state if it is time."""
        if state.seconds < self._patience_seconds:
            return
        if state.now.name != self._phase or state.seconds >= self._next_seconds:
            self._phase, self._next_seconds, self._wrote = state.now.name, state.seconds + LINE_SECONDS, True
            self._write(state)

    def hide(self) -> None:
        """Lines may stand between other lines."""

    def end(self, record: Mapping[str, Any] | None) -> None:
        """The last line, of a run that had others."""
        if record is not None and self._wrote:
            self._end(record)


@dataclass(frozen=True)
class _Asked:
    mode: Mode = "none"
    stream: TextIO | None = None


_asked = _Asked()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags that every command has."""
    parser.add_argument(
        "--progress",
        choices=get_args(Mode),
        default="auto",
        help="how far a run is, on stderr: bars, lines, JSON objects; auto: bars on a terminal, else lines (default auto)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, as --progress none")


def configure(mode: Mode, *, quiet: bool = False, stream: TextIO | None = None) -> None:
    """Says how runs of this process are shown from here on; without it they are not.

    Args:
        mode: how; `auto` goes by the stream and by the format of the log.
        quiet: not at all.
        stream: where to; stderr by default.

    Raises:
        ConfigurationError: bars or lines were asked for between log lines of JSON.
    """
    global _asked  # noqa: PLW0603  of the process, as its log is
    if mode in {"bar", "lines"} and not quiet and logs.is_json():
        raise ConfigurationError(
            f"--progress {mode}: with --log-format json every line of stderr is an object; choose json or none"
        )
    _asked = _Asked("none" if quiet else mode, stream)


class Shown:
    """A run that is shown, as those see it who run it."""

    def __init__(self, say: Say, view: View | None, board: Board | None, phases: Sequence[PhaseName]) -> None:
        self._say = say
        self._view = view
        self._board = board
        self._tracker = Tracker(phases)
        self._start_seconds = monotonic()
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._record: Mapping[str, Any] | None = None

    def say(self, text: str) -> None:
        """Says something beside what is shown."""
        with self._lock:
            self._try(lambda view: view.hide())
            self._say(text)

    def expect(self, expected: Expected) -> None:
        """The plan is made."""
        with self._lock:
            self._tracker.expect(expected)

    def end(self, record: Mapping[str, Any]) -> None:
        """The run came to its end."""
        self._record = record

    @contextmanager
    def following(self) -> Iterator[None]:
        """Shows the run for the length of a block, from a thread."""
        thread = threading.Thread(target=self._follow, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            with self._lock:
                self._try(lambda view: view.end(self._record))

    def _follow(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            with self._lock:
                self._try(self._look)

    def _look(self, view: View) -> None:
        if self._board is not None:
            view.show(self._tracker.look(monotonic() - self._start_seconds, self._board.read()))

    def _try(self, act: Callable[[View], object]) -> None:
        """Whatever becomes of the terminal, the run goes on."""
        if self._view is not None:
            try:
                act(self._view)
            except (OSError, ValueError):
                self._view = None


@contextmanager
def shown(phases: Sequence[PhaseName], beam_options: "PipelineOptions", say: Say = lambda _: None) -> Iterator[Shown]:
    """Shows the run in a block as `configure` said, if its workers are on this machine."""
    # Beam takes a second to import, and this module is imported by every command.
    from pipelines.configuration.options import workers_are_here, workers_are_processes  # noqa: PLC0415

    view = _view() if workers_are_here(beam_options) else None
    if view is None:
        yield Shown(say, None, None, phases)
        return
    with open_board(shared=workers_are_processes(beam_options)) as board:
        one = Shown(say, view, board, phases)
        with one.following():
            yield one


def _view() -> View | None:
    stream = _asked.stream or sys.stderr
    if _asked.mode == "none":
        return None
    if _asked.mode == "json" or (_asked.mode == "auto" and logs.is_json()):
        return _json_view(stream)
    if _asked.mode == "bar" or (_asked.mode == "auto" and stream.isatty() and os.environ.get("TERM") != "dumb"):
        # Takes a tenth of a second to import.
        from pipelines.watching.bars import Bars  # noqa: PLC0415

        return Bars(stream)
    return Lines(
        lambda state: _write(stream, line_of(state)),
        lambda record: _write(stream, f"ended: {record['status']} (exit code {record['exit_code']})"),
        patience=LINE_SECONDS if _asked.mode == "auto" else 0,
    )


def _write(stream: TextIO, line: str) -> None:
    stream.write(redact(f"{line}\n"))
    stream.flush()


def _json_view(stream: TextIO) -> View:
    """Progress as events: of a log that is JSON, as its level lets them pass, or beside the log if that was asked for."""
    logger = _LOG if _asked.mode == "auto" else logs.json_logger(_LOG.name, stream, redact)
    return Lines(
        lambda state: report(logger, logging.INFO, "run progress", **values_of(state)),
        # The run itself says how it ended.
        lambda _: None,
        patience=LINE_SECONDS if _asked.mode == "auto" else 0,
    )
