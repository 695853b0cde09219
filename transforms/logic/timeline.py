"""What was done when, and what took longest: measured figures of a run that stay few, however long the run and however many its files.

Counts lie in buckets of time. A bucket is a second wide in the first two minutes, and twice as wide whenever the time since the start
doubles: at most 128 buckets and 64 more for each doubling, 1,000 in ten days. Narrow buckets lie within wide ones, so that a chart adds
them up exactly.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from heapq import nlargest
from typing import Any

_PREFIX = "timeline."
_SECONDS_OF_ONE = 128


def timeline_counts(end_seconds: float, took_seconds: float = 0.0, **counts: float) -> dict[str, float]:
    """Tallies of work that has just been done, spread evenly over the time that it took, in whole numbers that add up.

    Args:
        end_seconds: now, since the start; before the start, as the clock of another machine may have it, is the start.
        took_seconds: how long the work took.
        counts: what was done, by name without a dot; fractions are dropped.
    """
    last = max(0.0, end_seconds)
    first = min(last, max(0.0, end_seconds - took_seconds))
    shares = list(_shares(first, last))
    found: dict[str, float] = {}
    for name, value in counts.items():
        before = 0
        for start, reached in shares:
            done = int(value) if reached >= 1 else int(value * reached)
            if done > before:
                found[f"{_PREFIX}{start}.{name}"] = done - before
            before = done
    return found


def _shares(first: float, last: float) -> Iterator[tuple[int, float]]:
    """Where the buckets begin that a span of time touches, and which share of the span lies before the end of each, the last one's 1."""
    start = _bucket(first)
    while (stop := start + _width(start)) <= last:
        yield start, (stop - first) / (last - first)
        start = stop
    yield start, 1.0


def _bucket(moment: float) -> int:
    return int(moment) // _width(int(moment)) * _width(int(moment))


def describe_timeline(counts: Mapping[str, float], seconds: float) -> list[dict[str, Any]]:
    """The buckets as plain values, all as wide as the widest of a run of so many seconds, ordered; those without counts are left out."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    named = [(name.removeprefix(_PREFIX), int(value)) for name, value in counts.items() if name.startswith(_PREFIX)]
    starts = [int(name.partition(".")[0]) for name, _ in named]
    width = _width(int(max([seconds, *starts])))
    for start, (name, value) in zip(starts, named, strict=True):
        bucket, what = found[start // width * width], name.partition(".")[2]
        bucket[what] = bucket.get(what, 0) + value
    return [{"start": start, "width": width, **dict(sorted(found[start].items()))} for start in sorted(found)]


def _width(elapsed: int) -> int:
    """Seconds of the bucket that holds a moment: 1 below 128, 2 below 256, and so on."""
    return max(1, 1 << max(0, elapsed.bit_length() - _SECONDS_OF_ONE.bit_length() + 1))


_SLOWEST = "slowest."
MOST_SLOWEST = 10


def slowest_name(source: str, start: int, stop: int) -> str:
    """The tally of the seconds that a split took; a split has one, as it is read once."""
    return f"{_SLOWEST}{start}.{stop}.{source}"


def keep_slowest(counts: Mapping[str, float]) -> dict[str, float]:
    """The tallies without those of all but the slowest splits. Whatever order parts are added up in, the same are left."""
    named = [name for name in counts if name.startswith(_SLOWEST)]
    if len(named) <= MOST_SLOWEST:
        return dict(counts)
    kept = set(nlargest(MOST_SLOWEST, named, key=lambda name: (counts[name], name)))
    return {name: value for name, value in counts.items() if name in kept or not name.startswith(_SLOWEST)}


def describe_slowest(counts: Mapping[str, float]) -> list[dict[str, Any]]:
    """The slowest splits as plain values, the slowest first: source, start and stop as planned, and seconds."""
    found = []
    for name, seconds in keep_slowest(counts).items():
        if name.startswith(_SLOWEST):
            start, stop, source = name.removeprefix(_SLOWEST).split(".", 2)
            found.append({"source": source, "start": int(start), "stop": int(stop), "seconds": round(seconds, 3)})
    return sorted(found, key=lambda one: (-one["seconds"], one["source"], one["start"]))
