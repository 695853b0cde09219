"""Sections of a run in charts: how long chunks and documents are, what was done when, and where it took longest."""

from collections.abc import Mapping, Sequence
from typing import Any

from transforms.logic.report.charts import Bar, binned, histogram
from transforms.logic.report.markup import Node
from transforms.logic.report.numbers import count, decimal
from transforms.logic.report.parts import (
    FIGURES,
    Column,
    Section,
    code,
    figure,
    folded,
    meter,
    note,
    side_by_side,
    table,
)

Record = Mapping[str, Any]


def lengths(record: Record) -> Section | None:
    """Histograms of tokens; records of earlier versions have none."""
    found = record.get("lengths") or {}
    chunks, documents = found.get("chunks") or [], found.get("documents") or []
    if not chunks or not documents:
        return None
    drawn = []
    of_chunks = [Bar(one["from"] - 1, one["to"], one["count"], _says(one, "chunks")) for one in chunks]
    limit = record["configuration"].get("chunking", {}).get("max_tokens")
    most = limit if isinstance(limit, int) else None
    drawing = histogram(
        *("chunk-lengths", "Tokens per chunk", _described(chunks, "chunks"), of_chunks, "tokens per chunk", "chunks"),
        most,
    )
    caption = "Tokens of a chunk" + ("" if most is None else f"; at most {most:,} are allowed")
    drawn.append(figure(drawing, caption, _figures("Chunks by tokens", chunks)))
    of_documents = [Bar(one["from"], one["to"], one["count"], _says(one, "documents")) for one in documents]
    edges = [count(one["from"]) for one in documents]
    drawing = binned(
        *("document-lengths", "Tokens per document", _described(documents, "documents"), of_documents),
        *("tokens per document; bins double every second step", "documents", edges),
    )
    drawn.append(figure(drawing, "Tokens of the chunks of a document", _figures("Documents by tokens", documents)))
    return Section("lengths", "Lengths", [side_by_side(*drawn)])


def _says(one: Mapping[str, int], what: str) -> str:
    return f"{one['from']:,} to {one['to']:,} tokens: {one['count']:,} {what}"


def _described(bins: Sequence[Mapping[str, int]], what: str) -> str:
    whole = sum(one["count"] for one in bins)
    fullest = max(bins, key=lambda one: one["count"])
    return f"{whole:,} {what}; the most, {fullest['count']:,}, have {fullest['from']:,} to {fullest['to']:,} tokens."


def _figures(caption: str, bins: Sequence[Mapping[str, int]]) -> Any:
    rows = [[f"{one['from']:,} to {one['to']:,}", count(one["count"])] for one in bins]
    return folded(FIGURES, table(caption, [Column("Tokens", is_number=False), Column("Count")], rows), is_printed=False)


_SERIES = {
    "tokens": ("Tokens encoded", "tokens/s"),
    "documents": ("Documents read", "documents/s"),
}


_TIMES = ((1, "seconds"), (60, "minutes"), (3600, "hours"))
_MOST_OF_A_UNIT = 600


def throughput(record: Record) -> Section:
    """What was done when, and how long each stage was at work."""
    content = []
    timeline = record.get("timeline") or []
    drawn = []
    for name, (title, unit) in _SERIES.items():
        if any(one.get(name) for one in timeline):
            drawn.append(_over_time(name, title, unit, timeline, name, record["seconds"]))
    if drawn:
        content.append(side_by_side(*drawn))
        content.append(
            note(
                "What was encoded in one call is spread evenly over the time that it took; documents count when they have been read."
            )
        )
    stages = [(name, one) for name, one in record["stages"].items() if one["seconds"]]
    if stages:
        most = max(one["seconds"] for _, one in stages)
        rows = [
            [
                name,
                decimal(one["seconds"], 1),
                meter(one["seconds"], most),
                count(one["tokens"] or None),
                count(one["tokens_per_second"]),
            ]
            for name, one in stages
        ]
        columns = [
            Column("Stage", is_number=False),
            Column("Seconds at work"),
            Column("", is_number=False),
            Column("Tokens"),
            Column("Tokens/s"),
        ]
        content.append(table("Time of each stage, summed over all workers", columns, rows))
    return Section("throughput", "Throughput", content or [note("No stage had anything to do.")])


def _over_time(
    name: str, title: str, unit: str, timeline: Sequence[Mapping[str, int]], what: str, seconds: float
) -> Any:
    width = timeline[0]["width"]
    filled = {one["start"]: one.get(what, 0) for one in timeline}
    last = max(int(seconds), *filled)
    starts = range(0, last + 1, width)
    scale, of_time = next(one for one in _TIMES if last < one[0] * _MOST_OF_A_UNIT or one is _TIMES[-1])
    bars = [
        Bar(
            start / scale,
            (start + width) / scale,
            filled.get(start, 0) / width,
            f"{start:,} to {start + width:,} s: {filled.get(start, 0) / width:,.1f} {unit}",
        )
        for start in starts
    ]
    best = max(bar.value for bar in bars)
    drawing = histogram(
        f"{name}-over-time",
        f"{title} over time",
        f"At most {best:,.1f} {unit}.",
        bars,
        f"{of_time} since the start",
        unit,
    )
    return figure(drawing, f"{title} over time, in steps of {width:,} s")


def slowest(record: Record) -> Section | None:
    """Where reading took longest; records of earlier versions have none."""
    found = record.get("slowest") or []
    if not found:
        return None
    most = found[0]["seconds"]
    rows: list[list[Node]] = [
        [
            code(one["source"]),
            f"{one['start']:,}–{one['stop']:,}",
            decimal(one["seconds"], 3),
            meter(one["seconds"], most),
        ]
        for one in found
    ]
    columns = [Column("File", is_number=False), Column("Bytes or rows"), Column("Seconds"), Column("", is_number=False)]
    return Section("slowest", "Slowest files", [table("Splits that took longest to read and decode", columns, rows)])
