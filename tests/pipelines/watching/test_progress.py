"""What a run shows while it goes on."""

import io
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from pipelines import cli, load_vectors
from pipelines.preflight.load_plan import Loading
from pipelines.watching import bars, logs, progress
from pipelines.watching.progress import Lines
from tests.pipelines.jobs import COLLECTION, Job, document, story
from transforms.adapters.milvus import Target
from transforms.logic.progress import PHASES_OF_LOAD, PHASES_OF_RUN, Expected, State, Tracker

FAST_SECONDS = 0.002


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(progress, "_LOOK_SECONDS", FAST_SECONDS)
    yield
    progress.configure("none")


@pytest.fixture
def filled(job: Job) -> Job:
    job.write("a.jsonl", [document(f"d{number}", story(f"d{number}", 4)) for number in range(30)] + [b"not JSON"])
    return job


def phases_of(lines: list[str]) -> list[str]:
    """Phases that lines name, without repetitions."""
    found = [re.split("[ ;]", line)[1] for line in lines]
    return [name for place, name in enumerate(found) if place == 0 or found[place - 1] != name]


def is_subsequence(part: list[str], whole: tuple[str, ...]) -> bool:
    rest = iter(whole)
    return all(one in rest for one in part)


def without_figures(text: str) -> str:
    return re.sub(r"[\d.,]+ (?:s|tokens/s)\b", "", text)


def test_lines_name_the_phases_in_order_and_how_it_ended(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert filled.main("--progress", "lines") == 3
    *lines, last = capsys.readouterr().err.splitlines()
    assert last == "ended: complete with rejects under the limit (exit code 3)"
    phases = phases_of(lines)
    assert phases[0] == "plan"
    assert "read" in phases
    assert is_subsequence(phases, PHASES_OF_RUN)


def test_a_load_is_shown_too(filled: Job) -> None:
    filled.run()
    stream = io.StringIO()
    progress.configure("lines", stream=stream)
    target = Target(str(filled.milvus), "copy")
    loading = Loading(workspace=str(filled.workspace), source=COLLECTION, source_milvus=None, target=target)
    load_vectors.load(loading, PipelineOptions(["--runner=FnApiRunner"]))
    *lines, last = stream.getvalue().splitlines()
    assert last == "ended: complete (exit code 0)"
    assert is_subsequence(phases_of(lines), PHASES_OF_LOAD)


def test_the_summary_is_the_same_however_the_run_is_shown(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    filled.run()
    shown = {}
    for mode in ("none", "lines", "bar", "json"):
        assert filled.main("--progress", mode) == 3
        shown[mode] = capsys.readouterr()
    assert shown["none"].err == ""
    assert len({without_figures(one.out) for one in shown.values()}) == 1
    assert "\x1b" in shown["bar"].err
    assert "\x1b" not in shown["bar"].out + shown["lines"].err + shown["json"].err


def test_a_short_run_shows_nothing_where_nobody_watches(filled: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert filled.main() == 3
    assert capsys.readouterr().err == ""


def test_a_long_run_says_something_every_half_minute() -> None:
    written: list[tuple[float, str]] = []
    ends: list[Any] = []
    lines = Lines(lambda state: written.append((state.seconds, state.now.name)), ends.append, patience=30.0)
    tracker = Tracker()
    for second in range(200):
        if second == 100:
            tracker.expect(Expected(1, 1000))
        lines.show(tracker.look(float(second), {}))
    assert written == [
        (30, "plan"),
        (60, "plan"),
        (90, "plan"),
        (100, "read"),
        (130, "read"),
        (160, "read"),
        (190, "read"),
    ]
    lines.end(None)
    assert ends == []
    lines.end({"seconds": 1.0})
    assert ends == [{"seconds": 1.0}]


def test_a_run_that_had_no_line_has_no_last_one() -> None:
    ends: list[Any] = []
    lines = Lines(lambda _: None, ends.append, patience=30.0)
    lines.show(Tracker().look(1.0, {}))
    lines.end({"seconds": 2.0})
    assert ends == []


@pytest.mark.parametrize("flags", [["--progress=none"], ["--quiet"], ["--progress", "bar", "--quiet"]])
def test_quiet_is_quiet(filled: Job, capsys: pytest.CaptureFixture[str], flags: list[str]) -> None:
    assert filled.main(*flags) == 3
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "31 read" in captured.out


@pytest.mark.parametrize("flags", [["--log-format=json"], ["--log-format=text"]])
def test_json_lines_are_objects_with_the_runs_id(
    filled: Job, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    assert filled.main("--progress", "json", *flags) == 3
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    found = [line for line in lines if line["event"] == "run progress"]
    assert {line["severity"] for line in found} == {"INFO"}
    assert is_subsequence([line["fields"]["phase"] for line in found], PHASES_OF_RUN)
    assert all(line["run_id"].startswith("run-") for line in found if line["fields"]["phase"] != "plan")
    if flags == ["--log-format=text"]:
        assert found == lines


def test_in_a_json_log_progress_goes_by_its_level(
    filled: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    assert filled.main("--log-format", "json") == 3
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert "run progress" in events
    assert filled.main("--log-format", "json", "--log-level", "warning") == 3
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("mode", ["bar", "lines"])
def test_bars_have_no_place_between_objects(filled: Job, capsys: pytest.CaptureFixture[str], mode: str) -> None:
    assert filled.main("--progress", mode, "--log-format", "json") == 2
    assert "choose json or none" in capsys.readouterr().err
    logs.configure("text")


def test_an_unknown_mode_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["runs", "ls", "w", "--progress", "loud"])
    assert caught.value.code == 2
    assert "invalid choice: 'loud'" in capsys.readouterr().err


def test_a_narrow_terminal_shows_every_figure() -> None:
    tracker = Tracker()
    tracker.expect(Expected(24, 1000))
    counts = {
        "source_bytes.read": 1000.0,
        "documents.read": 300_000.0,
        "chunks.looked_up": 500_000.0,
        "tokens.split": 120_000_000.0,
        "vectors.encoded": 246_912.0,
        "vectors.reused": 9_134.0,
        "rejects.total": 24.0,
    }
    tracker.look(10, {1: {**counts, "tokens.encoded": 8e6}})
    state = tracker.look(50, {1: {**counts, "tokens.encoded": 16e6}})
    out = io.StringIO()
    Console(file=out, width=60).print(bars.render(state))
    shown = " ".join(out.getvalue().split())
    assert "0:50 200,000 tokens/s, 300,000 documents, 246,912 vectors, 9,134 reused, 24 rejects" in shown
    assert "13%" in shown
    assert "left" in shown


class Closed(io.StringIO):
    """A terminal that was closed."""

    def write(self, text: str, /) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("mode", ["lines", "bar", "json"])
def test_a_run_survives_its_terminal(filled: Job, mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # `logging` would print a traceback of its own for a stream that is closed.
    monkeypatch.setattr("logging.raiseExceptions", False)
    progress.configure(mode, stream=Closed())
    assert filled.run()["status"] == "complete with rejects under the limit"


def test_of_a_job_that_a_runner_elsewhere_has_nothing_is_shown() -> None:
    stream = io.StringIO()
    progress.configure("lines", stream=stream)
    said: list[str] = []
    options = PipelineOptions(["--runner=PortableRunner", "--job_endpoint=localhost:1"])
    with progress.shown(PHASES_OF_RUN, options, said.append) as view:
        view.expect(Expected(1))
        view.say("here\n")
        view.end({})
    assert (stream.getvalue(), said) == ("", ["here\n"])


class Seeing:
    """A view that keeps what it was asked for."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def show(self, state: State) -> None:
        self.seen.append(state.now.name)

    def hide(self) -> None:
        self.seen.append("hidden")

    def end(self, record: Any) -> None:
        self.seen.append(f"end {record}")


def test_what_is_said_meanwhile_is_said_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    view = Seeing()
    monkeypatch.setattr(progress, "_view", lambda: view)
    seen: list[list[str]] = []
    options = PipelineOptions(["--runner=FnApiRunner"])
    with progress.shown(PHASES_OF_RUN, options, lambda _: seen.append(view.seen[-1:])) as shown:
        shown.say("something\n")
    assert seen == [["hidden"]]
    assert view.seen[-1] == "end None"


def test_modes_are_chosen_by_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def view_on(stream: io.StringIO) -> str:
        progress.configure("auto", stream=stream)
        return type(progress._view()).__name__

    monkeypatch.setenv("TERM", "xterm")
    assert (view_on(Terminal()), view_on(io.StringIO())) == ("Bars", "Lines")
    monkeypatch.setenv("TERM", "dumb")
    assert view_on(Terminal()) == "Lines"


def test_every_command_takes_the_flags(capsys: pytest.CaptureFixture[str]) -> None:
    for name in cli.COMMANDS:
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
        shown = capsys.readouterr().out
        assert "--progress" in shown, name
        assert "--quiet" in shown, name


def test_bars_go_away_and_leave_the_terminal_as_it_was() -> None:
    from pipelines.watching.bars import Bars

    stream = io.StringIO()
    bars = Bars(stream)
    tracker = Tracker()
    tracker.expect(Expected(2, 2_000_000))
    before = sys.stderr
    for second in range(3):
        bars.show(tracker.look(float(second), {1: {"source_bytes.read": 500_000.0 * second, "documents.read": second}}))
    sys.stderr.write("[bold]not[/bold] markup\n")
    bars.hide()
    assert sys.stderr is before
    bars.show(tracker.look(4.0, {}))
    bars.end(None)
    assert sys.stderr is before
    written = stream.getvalue()
    plain = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", written)
    assert "0.5 of 2.0 MB" in plain
    assert "2 documents" in plain
    assert "[bold]not[/bold] markup" in plain
    assert all(f" {name}" in plain for name in PHASES_OF_RUN)
    # The cursor is hidden and shown again, for each time the bars stood there.
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 2
