"""What sections of the report are made of: headings, tables, figures and notes."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from transforms.logic.labels import UNDETERMINED, english_name
from transforms.logic.report.markup import Node, append, tag

_FEW_COLUMNS = 3
"""Tables of so few columns are as wide as their content: the eye finds the figure that belongs to a name."""

_MANY_COLUMNS = 12


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, whether it holds numbers, and what the heading stands for, if that needs words."""

    heading: str
    is_number: bool = True
    meaning: str | None = None


@dataclass(frozen=True)
class Section:
    """A part of the report under a heading of its own; `name` is what links name it by."""

    name: str
    heading: str
    content: Sequence[ET.Element]


def section(one: Section) -> ET.Element:
    """A section as a landmark that its heading names."""
    heading = tag("h2", {"id": f"{one.name}-heading"}, one.heading)
    return tag("section", {"id": one.name, "aria-labelledby": f"{one.name}-heading"}, heading, *one.content)


def table(
    caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Node]], foot: Sequence[Node] = ()
) -> ET.Element:
    """A table whose first column heads its rows; wide ones scroll within themselves."""
    head = [
        tag("th", {"scope": "col", "class": _kind(column), "title": column.meaning}, column.heading)
        for column in columns
    ]
    body = [_row(columns, row) for row in rows]
    made = tag(
        "table",
        {"class": "narrow" if len(columns) <= _FEW_COLUMNS else "dense" if len(columns) > _MANY_COLUMNS else None},
        tag("caption", {}, caption),
        tag("thead", {}, tag("tr", {}, *head)),
        tag("tbody", {}, *body),
        tag("tfoot", {}, _row(columns, foot)) if foot else None,
    )
    # A region that scrolls must be reachable by keyboard, and so have a name.
    return tag("div", {"class": "scroll", "role": "region", "tabindex": 0, "aria-label": caption}, made)


def _row(columns: Sequence[Column], cells: Sequence[Node]) -> ET.Element:
    first, *rest = zip(columns, cells, strict=True)
    heads = tag("th", {"scope": "row", "class": _kind(first[0])}, first[1])
    return tag("tr", {}, heads, *(tag("td", {"class": _kind(column)}, cell) for column, cell in rest))


def _kind(column: Column) -> str | None:
    return "number" if column.is_number else None


def figure(drawing: ET.Element, caption: str, *more: Node) -> ET.Element:
    """A drawing under its name."""
    return tag("figure", {}, tag("figcaption", {}, caption), drawing, *more)


FIGURES = "Figures"


def folded(summary: str, *children: Node, is_printed: bool = True) -> ET.Element:
    """What opens when it is asked for, and on paper if it is to be printed: the table of a chart is not, as the chart is."""
    return tag("details", {"class": None if is_printed else "unprinted"}, tag("summary", {}, summary), *children)


def note(*children: Node) -> ET.Element:
    """A sentence beside the figures."""
    return tag("p", {"class": "note"}, *children)


def side_by_side(*children: Node) -> ET.Element:
    """Two columns where there is room."""
    return tag("div", {"class": "pair"}, *children)


def tile(label: str, value: str, remark: str = "") -> ET.Element:
    """A key figure."""
    return tag(
        "div",
        {"class": "tile"},
        tag("dt", {}, label),
        tag("dd", {}, tag("strong", {}, value), tag("span", {}, remark) if remark else None),
    )


def legend(entries: Sequence[tuple[int, str]]) -> ET.Element:
    """What the colours of a stacked bar stand for, by their numbers."""
    items = [
        tag("li", {}, tag("span", {"class": f"swatch b{kind}", "aria-hidden": "true"}), name) for kind, name in entries
    ]
    return tag("ul", {"class": "legend"}, *items)


def language_name(language: str) -> ET.Element:
    """A language with its English name, if it has a well-known one."""
    name = "undetermined" if language == UNDETERMINED else english_name(language)
    label = tag("span", {"class": "language"}, tag("bdi", {}, language))
    return append(label, [tag("span", {"class": "name"}, f" {name}")]) if name else label


def code(text: str) -> ET.Element:
    """A name of a machine's: it breaks anywhere, and stands as it is between words of any direction."""
    return tag("code", {}, tag("bdi", {}, text))


def meter(value: float, most: float, kind: int = 0) -> ET.Element:
    """A bar behind a figure, from zero; the figure itself stands beside it."""
    width = 100 * value / most if most else 0.0
    bar = tag("rect", {"class": f"bar s{kind}", "x": 0, "y": 0, "width": width, "height": 8})
    attributes = {"viewBox": "0 0 100 8", "class": "meter", "aria-hidden": "true", "preserveAspectRatio": "none"}
    return tag("svg", attributes, tag("rect", {"class": "track", "x": 0, "y": 0, "width": 100, "height": 8}), bar)
