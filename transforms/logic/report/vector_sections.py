"""Sections that vectors fill: what smaller ones lose, a map of them, and who is near whom across languages."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from transforms.logic.calibration import calibrate
from transforms.logic.languages import partition_of
from transforms.logic.recall import MIN_SAMPLE, Sample, halvings, measure
from transforms.logic.report.charts import SHAPES, Line, Point, curve, svg, symbol
from transforms.logic.report.layout import apart, place
from transforms.logic.report.markup import Node, append, language_attribute, tag
from transforms.logic.report.numbers import count, decimal
from transforms.logic.report.parts import (
    FIGURES,
    Column,
    Section,
    code,
    figure,
    folded,
    language_name,
    note,
    side_by_side,
    table,
)
from transforms.logic.report.sample import ReportSample, SampledChunk, crossing_share, examples
from transforms.logic.representations import VECTOR_TYPES, Representation
from transforms.logic.vectors import Float32

Record = Mapping[str, Any]
_COLOURS = 8
_MOST_LANGUAGES = _COLOURS * 3
"""With marks of their own; the eye tells no more apart."""
_MOST_CHARACTERS = 160
_MAP_WIDTH, _MAP_HEIGHT, _MAP_EDGE = 680, 480, 16
_MARK = 4.6
_MIDDLE = np.array([_MAP_WIDTH, _MAP_HEIGHT], np.float32) / 2
_MOST_LARGE_MARKS = 500
"""More marks are drawn smaller, so that they cover as much of the map together."""


def tradeoff(sample: ReportSample, space: str) -> list[dict[str, Any]]:
    """What every representation keeps of recall on a sample, as `recall.Measured.describe` says it; nothing for a small sample."""
    if len(sample.chunks) < MIN_SAMPLE or not sample.vectors.size:
        return []
    calibration = calibrate(sample.vectors, space, "the sample of a report")
    candidates = [
        Representation(vector_type, dimensions, calibration if vector_type == "binary" else None)
        for dimensions in halvings(sample.vectors.shape[1])
        for vector_type in VECTOR_TYPES
        if vector_type != "binary" or dimensions % 8 == 0
    ]
    of_sample = Sample(sample.vectors, [chunk.language for chunk in sample.chunks])
    return [one.describe() for one in measure(of_sample, candidates)]


def representation(record: Record, measured: Sequence[Mapping[str, Any]], sampled: int | None) -> Section:
    """Recall against bytes, and what the collection holds.

    Args:
        record: of the run.
        measured: what is known of each representation.
        sampled: of how many chunks of the report's own sample that is; None if the run measured it.
    """
    held = record["representation"]
    if "vector_type" not in held:
        lacking = f"The collection holds {', '.join(held.get('outputs', [])) or 'no'} vectors, and no dense ones."
        return Section("representation", "Representation", [note(lacking)])
    said: list[Node] = [
        "The collection holds ",
        tag("strong", {}, f"{held['vector_type']} vectors of {held['dimensions']} dimensions"),
        f", compared by {held['metric']}.",
    ]
    if not measured:
        why = note(f"Smaller representations were not measured: that takes at least {MIN_SAMPLE} chunks.")
        return Section("representation", "Representation", [tag("p", {}, *said), why])
    floor = record["configuration"].get("representation", {}).get("recall_floor")
    drawing, figures = _curve(measured, held, floor if isinstance(floor, float) else None)
    source = (
        "on the run's calibration sample"
        if sampled is None
        else f"on the {sampled:,} chunks that this report has sampled"
    )
    dashed = f", the dashed line is the floor of the configuration, {floor:g}" if isinstance(floor, float) else ""
    words = [
        note(f"The ring marks what the collection holds{dashed}."),
        note(
            f"Recall@10 against exact search in full precision, measured {source}: of ten nearest chunks, how many are still found."
        ),
        note("A sample is easier than a corpus: the figures compare representations, they promise no recall to users."),
        note("Rescored: four times as many are fetched, and ranked again in full precision."),
        figures,
    ]
    content = [tag("p", {}, *said), side_by_side(drawing, tag("div", {}, *words))]
    return Section("representation", "Representation", content)


def _curve(
    measured: Sequence[Mapping[str, Any]], held: Mapping[str, Any], floor: float | None
) -> tuple[ET.Element, ET.Element]:
    def is_held(one: Mapping[str, Any]) -> bool:
        return (one["vector_type"], one["dimensions"]) == (held["vector_type"], held["dimensions"])

    order = {kind: index for index, kind in enumerate(VECTOR_TYPES)}
    kinds = sorted({one["vector_type"] for one in measured}, key=lambda kind: (order.get(kind, len(order)), kind))
    lines = []
    for kind in kinds:
        own = sorted((one for one in measured if one["vector_type"] == kind), key=lambda one: one["bytes_per_vector"])
        points = [
            Point(
                one["bytes_per_vector"],
                one["recall"],
                f"{kind}, {one['dimensions']} dimensions, {one['bytes_per_vector']:,} bytes: recall {one['recall']:.3f}",
                is_chosen=is_held(one),
            )
            for one in own
        ]
        lines.append(Line(kind, points))
    sizes = [one["bytes_per_vector"] for one in measured]
    described = f"From {min(sizes):,} to {max(sizes):,} bytes a vector."
    drawing = curve("recall", "Recall against size", described, lines, "bytes per vector", "recall@10", floor)
    rows = [
        [
            one["vector_type"] + (" (held)" if is_held(one) else ""),
            count(one["dimensions"]),
            count(one["bytes_per_vector"]),
            decimal(one["recall"], 3),
            decimal(one["worst_recall"], 3),
            language_name(one["worst_language"]),
            decimal(one["rescored_recall"], 3),
        ]
        for one in sorted(measured, key=lambda one: (-one["bytes_per_vector"], -one["recall"]))
    ]
    columns = [
        Column("Type", is_number=False),
        Column("Dimensions"),
        Column("Bytes"),
        Column("Recall@10"),
        Column("Worst language"),
        Column("Which", is_number=False),
        Column("Rescored"),
    ]
    entries: list[tuple[str, Node]] = [
        (f"{index % _COLOURS} m{index % SHAPES}", line.name) for index, line in enumerate(lines)
    ]
    figures = folded(FIGURES, table("Recall of each representation", columns, rows), is_printed=False)
    return figure(drawing, "Recall against size", _marks(entries)), figures


def _marks(entries: Sequence[tuple[str, Node]]) -> ET.Element:
    """A legend with the marks themselves."""
    items = []
    for kind, name in entries:
        colour, _, shape = kind.partition(" m")
        drawn = tag("path", {"class": "mark", "d": symbol(int(shape), 8, 8, 5)})
        attributes = {"viewBox": "0 0 16 16", "class": f"key s{colour}", "aria-hidden": "true"}
        items.append(tag("li", {}, tag("svg", attributes, drawn), name))
    return tag("ul", {"class": "legend"}, *items)


def vector_map(record: Record, sample: ReportSample, *, with_texts: bool) -> Section:
    """The sample on a plane, near where the vectors are near."""
    if len(sample.chunks) < 3 or not sample.vectors.size:  # noqa: PLR2004
        return Section("map", "Map of the vectors", [note("A map takes at least three chunks with dense vectors.")])
    size = _MARK * min(1.0, (_MOST_LARGE_MARKS / len(sample.chunks)) ** 0.5)
    places = _on_paper(place(sample.vectors), size)
    order = _by_importance(record, sample)
    named = order[:_MOST_LANGUAGES]
    root = svg(
        *("map-drawing", "Map of a sample of chunks by their vectors"),
        f"{len(sample.chunks):,} chunks of {len(order)} languages; points that lie close together are close in meaning.",
        width=_MAP_WIDTH,
        height=_MAP_HEIGHT,
    )
    root.set("class", "chart map")
    # Its points can be reached, which those of a single picture could not.
    root.set("role", "group")
    append(
        root,
        [
            _point(chunk, (*at, size), named, with_texts=with_texts)
            for chunk, at in zip(sample.chunks, places.tolist(), strict=True)
        ],
    )
    entries: list[tuple[str, Node]] = [(_kind(index), language_name(language)) for index, language in enumerate(named)]
    if len(order) > len(named):
        entries.append((f"x m{SHAPES - 1}", f"{len(order) - len(named)} more languages"))
    crossing = crossing_share(sample)
    crossed = (
        ""
        if crossing is None
        else f" For {100 * crossing:.0f} % of them the nearest of all is a chunk of another language, by the vectors and not by the map."
    )
    extent = "all" if sample.is_whole else "a sample of"
    panel = tag("p", {"class": "panel", "aria-live": "polite", "hidden": "hidden", "id": "map-panel"})
    caption = f"{len(sample.chunks):,} chunks of the dataset by what they mean"
    words = note(
        f"t-SNE of {extent} {len(sample.chunks):,} chunks, of every language equally many as far as it has them. Who stands beside "
        f"whom means something; how far groups lie apart does not. Marks that would cover each other are moved apart.{crossed}"
    )
    drawing = figure(root, caption, _marks(entries), panel)
    return Section("map", "Map of the vectors", [drawing, words])


def _on_paper(places: Float32, size: float) -> Float32:
    """Places within the drawing, down is positive, so far apart that marks of a size cover no other."""
    return np.asarray(_MIDDLE + _fitted(apart(_fitted(places * np.array([1, -1], np.float32)), 2 * size)), np.float32)


def _fitted(places: Float32) -> Float32:
    """Places about the middle of the drawing, as wide as it allows, with equal units on both axes."""
    reach = np.maximum(np.abs(places).max(axis=0), 1e-9)
    return np.asarray(places * ((_MIDDLE - _MAP_EDGE) / reach).min(), np.float32)


def _by_importance(record: Record, sample: ReportSample) -> list[str]:
    """Languages, those with most rows in the collection first: the sample has about equally many chunks of each."""
    partitions, documents = record["partitions"], record["languages"]

    def rank(language: str) -> tuple[int, int]:
        held = partitions.get(partition_of(language, "language", None), {}).get("expected", 0)
        return -held, -documents.get(language, {}).get("documents", 0)

    return sorted(sample.languages(), key=rank)


def _kind(index: int) -> str:
    return f"{index % _COLOURS} m{(index + index // _COLOURS) % SHAPES}"


def _point(
    chunk: SampledChunk, at: tuple[float, float, float], named: Sequence[str], *, with_texts: bool
) -> ET.Element:
    across, down, size = at
    if chunk.language in named:
        kind, _, shape = _kind(named.index(chunk.language)).partition(" m")
    else:
        kind, shape = "x", str(SHAPES - 1)
    words = f"{chunk.language}, {chunk.document_id}"
    if with_texts:
        words += f": {_begin(chunk.text)}"
    return tag(
        "g",
        {"class": f"point s{kind}", "role": "img", "aria-label": words, "data-language": chunk.language},
        tag("path", {"class": "mark", "d": symbol(int(shape), across, down, size)}),
        tag("title", {"lang": language_attribute(chunk.language)}, words),
    )


def _begin(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 1]}…"


def neighbours(sample: ReportSample, *, with_texts: bool) -> Section:
    """Chunks whose nearest chunks of other languages are nearest."""
    found = examples(sample) if sample.vectors.size else []
    heading = "Nearest across languages"
    if not found:
        return Section(
            "neighbours", heading, [note("The sample holds no chunks of two languages that can be compared.")]
        )
    content: list[ET.Element] = []
    for example in found:
        near = [
            tag(
                "li",
                {},
                tag("span", {"class": "score"}, f"{one.similarity:.3f}"),
                *_shown(one.chunk, with_texts=with_texts),
            )
            for one in example.neighbours
        ]
        asked = tag("div", {"class": "asked"}, *_shown(example.chunk, with_texts=with_texts))
        content.append(tag("article", {"class": "example"}, asked, tag("ol", {}, *near)))
    said = note(
        "A chunk, and its nearest chunks in other languages with the cosine of their vectors: the closest groups of the sample, one "
        "for each language, so the best that it has to show and not typical ones."
    )
    return Section("neighbours", heading, [said, tag("div", {"class": "examples"}, *content)])


def _shown(chunk: SampledChunk, *, with_texts: bool) -> list[ET.Element]:
    name = tag(
        "p", {"class": "source"}, language_name(chunk.language), " ", code(f"{chunk.document_id} #{chunk.ordinal}")
    )
    if not with_texts:
        return [name]
    # A paragraph has a direction as a whole, so that its punctuation stands at the right end.
    text = tag("p", {"class": "text", "dir": "auto", "lang": language_attribute(chunk.language)}, _begin(chunk.text))
    return [name, text]
