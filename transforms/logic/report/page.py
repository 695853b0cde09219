"""The report as one HTML page that needs nothing from anywhere.

The browser is told so by a Content-Security-Policy (w3.org/TR/CSP3): nothing may be fetched, no form sent, and of styles and scripts only
the page's own, named by their digests, are taken. What slipped through escaping would still not run.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transforms.logic.errors import ConfigurationError
from transforms.logic.record import EXIT_COMPLETE, EXIT_REJECTS
from transforms.logic.report import chart_sections, end_sections, evaluation_section, run_sections, vector_sections
from transforms.logic.report.markup import tag, write
from transforms.logic.report.numbers import duration, moment
from transforms.logic.report.parts import Section, code, section
from transforms.logic.report.sample import ReportSample


@dataclass(frozen=True)
class Assets:
    """What a page is dressed with; neither may hold `</`, which would end its element."""

    style: str
    script: str

    def __post_init__(self) -> None:
        if "</" in self.style or "</" in self.script:
            raise ConfigurationError("the report's style sheet and script must not hold '</'")


@dataclass(frozen=True)
class Material:
    """What a report is made of.

    Attributes:
        record: the run record.
        sample: chunks of the dataset; None if it could not be read, or was not wanted.
        evaluations: results of `evaluate` on the collection, if there are any.
        with_texts: whether chunks may be quoted.
        remarks: what the report lacks, and why.
    """

    record: Mapping[str, Any]
    sample: ReportSample | None = None
    evaluations: Sequence[Mapping[str, Any]] = ()
    with_texts: bool = True
    remarks: Sequence[str] = field(default=())


def collection_of(record: Mapping[str, Any]) -> str:
    """The collection that a run wrote to."""
    return str(record["configuration"].get("storage", {}).get("collection", "collection"))


def render(material: Material, assets: Assets) -> str:
    """The page; the same material gives the same bytes."""
    record = material.record
    collection = collection_of(record)
    sections = [one for one in _sections(material) if one is not None]
    head = tag(
        "head",
        {},
        tag("meta", {"charset": "utf-8"}),
        tag("meta", {"http-equiv": "Content-Security-Policy", "content": _policy(assets)}),
        tag("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("meta", {"name": "referrer", "content": "no-referrer"}),
        tag("meta", {"name": "color-scheme", "content": "light dark"}),
        tag("title", {}, f"{collection}: {record['run_id']}"),
        tag("style", {}, assets.style),
    )
    links = [tag("li", {}, tag("a", {"href": f"#{one.name}"}, one.heading)) for one in sections]
    good = record["exit_code"] in {EXIT_COMPLETE, EXIT_REJECTS}
    banner = tag(
        "header",
        {},
        tag("p", {"class": "product"}, "corpus-embed run report"),
        tag("h1", {}, tag("bdi", {}, collection)),
        tag(
            "p",
            {"class": "status good" if good else "status bad"},
            tag("span", {"class": "badge"}, "✓" if good else "✗"),
            f" {record['status']} (exit code {record['exit_code']})",
        ),
        tag(
            "p",
            {"class": "when"},
            code(str(record["run_id"])),
            f" · started {moment(str(record['started_at']))} · took {duration(record['seconds'])} · model ",
            code(str(record["model"].get("name"))),
        ),
    )
    body = tag(
        "body",
        {},
        tag("a", {"class": "skip", "href": "#main"}, "Skip to the report"),
        banner,
        tag("nav", {"aria-label": "Sections"}, tag("ul", {}, *links)),
        tag("main", {"id": "main"}, *map(section, sections)),
        tag("footer", {}, tag("p", {}, "Made by corpus-embed. This page loads nothing and sends nothing.")),
        tag("script", {}, assets.script),
    )
    return write(tag("html", {"lang": "en"}, head, body))


def _sections(material: Material) -> list[Section | None]:
    record, sample = material.record, material.sample
    first: list[Section | None] = [
        run_sections.overview(record),
        run_sections.balance(record),
        run_sections.languages(record),
    ]
    of_vectors: list[Section | None] = []
    measured = record["representation"].get("measured", [])
    sampled = None
    if sample is not None:
        if not measured:
            measured, sampled = vector_sections.tradeoff(sample, record["embedding_space"]), len(sample.chunks)
        of_vectors = [
            vector_sections.vector_map(record, sample, with_texts=material.with_texts),
            vector_sections.neighbours(sample, with_texts=material.with_texts),
        ]
    return [
        *first,
        *of_vectors,
        vector_sections.representation(record, measured, sampled),
        evaluation_section.evaluation(material.evaluations, record["ledger"]),
        chart_sections.lengths(record),
        chart_sections.throughput(record),
        run_sections.reuse(record),
        chart_sections.slowest(record),
        run_sections.rejects(record),
        end_sections.verification(record),
        end_sections.provenance(record),
        _remarks(material.remarks),
    ]


def _remarks(remarks: Sequence[str]) -> Section | None:
    if not remarks:
        return None
    return Section("remarks", "What this report lacks", [tag("ul", {}, *(tag("li", {}, one) for one in remarks))])


def _policy(assets: Assets) -> str:
    style, script = (_digest(text) for text in (assets.style, assets.script))
    return (
        f"default-src 'none'; style-src '{style}'; script-src '{script}'; base-uri 'none'; form-action 'none'; connect-src 'none'; "
        "img-src 'none'; frame-src 'none'; object-src 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
