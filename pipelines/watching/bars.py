"""Progress as bars on a terminal, by rich."""

from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from transforms.logic.progress import Phase, State
from transforms.logic.progress_text import amount_of, duration, figures_of, speed_of, workers_of

_MARKS = {"waiting": " ", "running": ">", "done": "+"}
_BAR_COLUMNS = 16
# Of mark, name, bar and share; the rest is as wide as it has to be.
_COLUMN_WIDTHS = (1, 9, _BAR_COLUMNS, 4)


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        # Rich would end the process.
        raise BrokenPipeError


class Bars:
    """A bar for each phase, below them what was done so far; all of it goes away at the end, where the summary stands.

    Every text is laid out as it is: nothing in it means a colour or a style.
    """

    def __init__(self, stream: TextIO) -> None:
        """Takes the terminal."""
        self._console = _Terminal(file=stream, force_terminal=True, highlight=False, markup=False, emoji=False)
        self._live: Live | None = None

    def show(self, state: State) -> None:
        """Shows a state in place of the one before."""
        if self._live is not None:
            self._live.update(render(state), refresh=True)
            return
        # What is written to stderr meanwhile, by the log above all, comes to stand above the bars.
        live = Live(render(state), console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        live.start(refresh=True)
        self._live = live

    def hide(self) -> None:
        """Takes the bars away until the next state is shown."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def end(self, record: Mapping[str, Any] | None) -> None:
        """Takes the bars away."""
        del record
        self.hide()


def render(state: State) -> RenderableType:
    """A state as rich draws it."""
    table = Table.grid(padding=(0, 1))
    for width in _COLUMN_WIDTHS:
        table.add_column(width=width)
    for phase in state.phases:
        table.add_row(*_row(phase))
    figures = [part for part in (speed_of(state), figures_of(state)) if part]
    # All figures are shown, in several lines on a narrow terminal; of many workers each has one.
    said = Padding(Text(f"{duration(state.seconds)}  {', '.join(figures)}"), (0, 0, 0, 2))
    return Group(table, said, *(Text(f"  {line}", no_wrap=True, overflow="ellipsis") for line in workers_of(state)))


def _row(phase: Phase) -> tuple[RenderableType, ...]:
    style = {"waiting": "dim", "running": "bold", "done": ""}[phase.state]
    fraction = phase.fraction
    bar: RenderableType = Text("")
    if phase.state == "running" and fraction is not None:
        bar = ProgressBar(total=1.0, completed=fraction, width=_BAR_COLUMNS)
    left = "" if phase.seconds_left is None else f"{duration(phase.seconds_left)} left"
    share = f"{fraction:>4.0%}" if phase.state == "running" and fraction is not None else ""
    words = (_MARKS[phase.state], phase.name)
    return (
        *(Text(word, style=style) for word in words),
        bar,
        Text(share),
        Text(amount_of(phase), no_wrap=True),
        Text(left),
    )
