"""Charts as SVG: axes start at zero and name their units, and what is drawn also stands in a table beside the chart.

Colours are classes of the style sheet (`s0` to `s7`), so that light, dark and print have their own. Lengths are in units of the view box.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from xml.etree import ElementTree as ET

from transforms.logic.report.markup import Node, append, tag
from transforms.logic.report.numbers import compact, ticks

WIDTH, HEIGHT = 520, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 46
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
_MOST_LABELS = 7
_BAR_GAP = 0.12


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram: where it begins and ends on the axis, its height, and what it says when it is pointed at."""

    start: float
    stop: float
    value: float
    says: str


@dataclass(frozen=True)
class Point:
    """A point of a curve, and what it says when it is pointed at."""

    across: float
    up: float
    says: str
    is_chosen: bool = False


@dataclass(frozen=True)
class Line:
    """Points joined in order, named at the last one."""

    name: str
    points: Sequence[Point]


def svg(
    name: str, title: str, description: str, *children: Node, width: float = WIDTH, height: float = HEIGHT
) -> ET.Element:
    """A drawing that says what it is; `name` is unique in the document."""
    labels = {"role": "img", "aria-labelledby": f"{name}-title", "aria-describedby": f"{name}-description"}
    return tag(
        "svg",
        {"viewBox": f"0 0 {width:g} {height:g}", "class": "chart", **labels},
        tag("title", {"id": f"{name}-title"}, title),
        tag("desc", {"id": f"{name}-description"}, description),
        *children,
    )


def histogram(
    name: str,
    title: str,
    description: str,
    bars: Sequence[Bar],
    across: str,
    up: str,
    most: float | None = None,
) -> ET.Element:
    """Bars over an axis of equal steps from zero to the last bar, or to `most` if that is more; as wide as what they count."""
    high = max(most or 0.0, bars[-1].stop)
    scale = _PLOT_WIDTH / high
    marks = [(_LEFT + one * scale, compact(one)) for one in ticks(high, 5) if one <= high * (1 + 1e-9)]
    spans = [(_LEFT + bar.start * scale, (bar.stop - bar.start) * scale) for bar in bars]
    return _bar_chart(name, title, description, bars, spans, marks, (across, up))


def binned(
    name: str, title: str, description: str, bars: Sequence[Bar], across: str, up: str, edges: Sequence[str]
) -> ET.Element:
    """Bars of equal width side by side, for bins that are not equally wide; `edges` says where each begins, and the last one ends."""
    width = _PLOT_WIDTH / len(bars)
    every = -(-len(edges) // _MOST_LABELS)
    marks = [(_LEFT + index * width, edge) for index, edge in enumerate(edges) if index % every == 0]
    spans = [(_LEFT + index * width, width) for index in range(len(bars))]
    return _bar_chart(name, title, description, bars, spans, marks, (across, up))


def _bar_chart(
    name: str,
    title: str,
    description: str,
    bars: Sequence[Bar],
    spans: Sequence[tuple[float, float]],
    marks: Sequence[tuple[float, str]],
    units: tuple[str, str],
) -> ET.Element:
    steps = ticks(max(bar.value for bar in bars))
    scale = _PLOT_HEIGHT / steps[-1]
    drawn = [
        tag(
            "rect",
            {
                "class": "bar s0",
                "x": left + width * _BAR_GAP / 2,
                "y": _TOP + _PLOT_HEIGHT - bar.value * scale,
                "width": max(0.5, width * (1 - _BAR_GAP)),
                "height": bar.value * scale,
            },
            tag("title", {}, bar.says),
        )
        for bar, (left, width) in zip(bars, spans, strict=True)
        if bar.value
    ]
    return svg(name, title, description, *_axes(steps, marks, units), tag("g", {}, *drawn))


def _axes(steps: Sequence[float], marks: Sequence[tuple[float, str]], units: tuple[str, str]) -> list[ET.Element]:
    """Lines and labels of both axes; the screen reader is told the figures elsewhere."""
    base = _TOP + _PLOT_HEIGHT
    parts: list[Node] = []
    for step in steps:
        height = base - step * _PLOT_HEIGHT / steps[-1]
        line = "axis" if step == 0 else "grid"
        parts.append(tag("line", {"class": line, "x1": _LEFT, "x2": WIDTH - _RIGHT, "y1": height, "y2": height}))
        parts.append(tag("text", {"class": "tick", "x": _LEFT - 6, "y": height + 4, "text-anchor": "end"}, _tick(step)))
    for left, label in marks:
        parts.append(tag("line", {"class": "axis", "x1": left, "x2": left, "y1": base, "y2": base + 4}))
        parts.append(tag("text", {"class": "tick", "x": left, "y": base + 17, "text-anchor": "middle"}, label))
    across, up = units
    middle = _LEFT + _PLOT_WIDTH / 2
    parts.append(tag("text", {"class": "unit", "x": middle, "y": HEIGHT - 6, "text-anchor": "middle"}, across))
    turned = f"translate(13 {_TOP + _PLOT_HEIGHT / 2:g}) rotate(-90)"
    parts.append(tag("text", {"class": "unit", "transform": turned, "text-anchor": "middle"}, up))
    return [tag("g", {"aria-hidden": "true"}, *parts)]


def _tick(value: float) -> str:
    return compact(value) if value >= 1 or value == 0 else f"{value:g}"


def curve(
    name: str, title: str, description: str, lines: Sequence[Line], across: str, up: str, floor: float | None
) -> ET.Element:
    """Lines over an axis on which every step doubles; `floor` is drawn across and named."""
    every = [point for line in lines for point in line.points]
    low, high = log2(min(point.across for point in every)), log2(max(point.across for point in every))
    reach = max(1.0, high - low)

    def left(point: Point) -> float:
        return _LEFT + 10 + (log2(point.across) - low) * (_PLOT_WIDTH - 20) / reach

    def height(value: float) -> float:
        return _TOP + _PLOT_HEIGHT * (1 - value)

    powers = range(round(low), round(high) + 1)
    skipped = -(-len(powers) // _MOST_LABELS)
    marks = [
        (_LEFT + 10 + (power - low) * (_PLOT_WIDTH - 20) / reach, compact_bytes(2**power))
        for power in powers
        if (power - powers[0]) % skipped == 0 and low - 0.01 <= power <= high + 0.01
    ]
    root = svg(name, title, description, *_axes([0, 0.2, 0.4, 0.6, 0.8, 1.0], marks, (across, up)))
    if floor is not None:
        at = height(floor)
        append(root, [tag("line", {"class": "floor", "x1": _LEFT, "x2": WIDTH - _RIGHT, "y1": at, "y2": at})])
    for index, line in enumerate(lines):
        path = " ".join(f"{left(point):.1f},{height(point.up):.1f}" for point in line.points)
        marked = [
            tag(
                "g",
                {"class": f"s{index % 8}"},
                tag("circle", {"class": "chosen", "cx": left(point), "cy": height(point.up), "r": 10})
                if point.is_chosen
                else None,
                tag("path", {"class": "mark", "d": symbol(index, left(point), height(point.up), 4.5)}),
                tag("title", {}, point.says),
            )
            for point in line.points
        ]
        append(root, [tag("polyline", {"class": f"line s{index % 8}", "points": path}), *marked])
    return root


def compact_bytes(value: float) -> str:
    """Bytes of one vector, in powers of 1024 from there on."""
    return f"{value:g}" if value < 1024 else f"{value / 1024:g}Ki"  # noqa: PLR2004


def stacked(name: str, title: str, parts: Sequence[tuple[str, float]]) -> ET.Element:
    """A bar that parts of a whole fill; each is named in the legend, which the caller sets beside it."""
    whole = sum(value for _, value in parts)
    drawn: list[Node] = []
    start = 0.0
    for index, (label, value) in enumerate(parts):
        if value:
            width = value / whole * 1000
            block = tag(
                "rect",
                {"class": f"bar s{index % 8}", "x": start, "y": 0, "width": width, "height": 28},
                tag("title", {}, f"{label}: {value:,.0f}"),
            )
            drawn.append(block)
            start += width
    described = "; ".join(f"{label} {value:,.0f}" for label, value in parts)
    drawing = svg(name, title, described, *drawn, width=1000, height=28)
    drawing.set("class", "stack")
    drawing.set("preserveAspectRatio", "none")
    return drawing


SHAPES = 4


def symbol(index: int, across: float, down: float, size: float) -> str:
    """The path of a mark: circle, square, triangle, diamond in turn, of about the same area."""
    x, y = f"{across:.1f}", f"{down:.1f}"
    kind = index % SHAPES
    if kind == 0:
        return (
            f"M{across - size:.1f} {y}a{size:g} {size:g} 0 1 0 {2 * size:g} 0a{size:g} {size:g} 0 1 0 {-2 * size:g} 0z"
        )
    if kind == 1:
        half = size * 0.89
        return f"M{across - half:.1f} {down - half:.1f}h{2 * half:.1f}v{2 * half:.1f}h{-2 * half:.1f}z"
    if kind == 2:  # noqa: PLR2004
        wide, tall = size * 1.25, size * 1.1
        return f"M{x} {down - tall:.1f}L{across + wide:.1f} {down + tall:.1f}H{across - wide:.1f}z"
    reach = size * 1.25
    return f"M{x} {down - reach:.1f}L{across + reach:.1f} {y}L{x} {down + reach:.1f}L{across - reach:.1f} {y}z"
