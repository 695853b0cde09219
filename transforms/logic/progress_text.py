"""A state of a run in words and figures."""

from transforms.logic.progress import Phase, State

_MEGABYTE = 1_000_000
_FIGURES = {
    "documents.read": "documents",
    "documents.recognised": "unchanged",
    "vectors.encoded": "vectors",
    "vectors.reused": "reused",
    "rows.written": "rows written",
    "rejects.total": "rejects",
}


def line_of(state: State) -> str:
    """A state as one line of ASCII."""
    phase = state.now
    parts = [
        f"{duration(state.seconds)} {phase.name}{_share(phase)}",
        figures_of(state),
        speed_of(state),
        *workers_of(state),
    ]
    return "; ".join(part for part in parts if part)


def _share(phase: Phase) -> str:
    fraction = phase.fraction
    share = "" if fraction is None else f" {fraction:.0%}"
    return share if phase.seconds_left is None else f"{share}, {duration(phase.seconds_left)} left"


def amount_of(phase: Phase) -> str:
    """How much of a phase is done, of how much."""
    if phase.state == "waiting" or not (phase.total or phase.done):
        return ""
    scale, unit = (_MEGABYTE, "MB") if phase.unit == "bytes" else (1, phase.unit)
    decimals = 1 if scale > 1 else 0
    of_all = f" of {phase.total / scale:,.{decimals}f}" if phase.total else ""
    return f"{phase.done / scale:,.{decimals}f}{of_all} {unit}"


def figures_of(state: State) -> str:
    """What the run did so far, but for what it did not do at all."""
    return ", ".join(f"{int(state.counts[name]):,} {noun}" for name, noun in _FIGURES.items() if state.counts.get(name))


def speed_of(state: State) -> str:
    """How fast the phase goes that is under way."""
    if state.now.name == "encode":
        return "" if state.tokens_per_second is None else f"{state.tokens_per_second:,.0f} tokens/s"
    phase = state.now
    if phase.per_second is None or not phase.unit:
        return ""
    if phase.unit == "bytes":
        return f"{phase.per_second / _MEGABYTE:,.1f} MB/s"
    return f"{phase.per_second:,.0f} {phase.unit}/s"


def workers_of(state: State) -> list[str]:
    """A few words on each worker, if there are several."""
    if len(state.workers) < 2:  # noqa: PLR2004  one is the run itself
        return []
    return [
        f"process {worker.process_id}: {worker.documents:,} documents, {worker.vectors:,} vectors"
        + ("" if worker.tokens_per_second is None else f", {worker.tokens_per_second:,.0f} tokens/s")
        for worker in state.workers
    ]


def values_of(state: State) -> dict[str, str | int | float | None]:
    """A state as the fields of an event, with units in the names; None for what is not known yet."""
    phase = state.now
    counts = {name: int(state.counts.get(name, 0)) for name in _FIGURES}
    return {
        "phase": phase.name,
        "fraction": None if phase.fraction is None else round(phase.fraction, 4),
        "seconds": round(state.seconds, 1),
        "seconds_left_of_phase": None if phase.seconds_left is None else round(phase.seconds_left, 1),
        "tokens_per_second": None if state.tokens_per_second is None else round(state.tokens_per_second, 1),
        **{name.replace(".", "_"): count for name, count in counts.items()},
        "workers": "; ".join(workers_of(state)) or None,
    }


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
