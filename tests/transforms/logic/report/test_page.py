"""The page: whole in itself, safe, readable without seeing it, and the same for the same material."""

import base64
import hashlib
import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.reports import TEXTS, hostile, material, record, sample
from transforms.logic.errors import ConfigurationError
from transforms.logic.report.page import Assets, render
from transforms.logic.report.sample import ReportSample

ASSETS = Assets("body{color:#000}", "'use strict';")
_VOID = {"meta", "br"}


class _Reader(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text: dict[str, str] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data

    def all(self, name: str) -> list[dict[str, str]]:
        return [attributes for one, attributes in self.elements if one == name]


@pytest.fixture(scope="module")
def html() -> str:
    return render(material(), ASSETS)


@pytest.fixture(scope="module")
def page(html: str) -> _Reader:
    reader = _Reader(html)
    assert reader.open == []
    return reader


def test_the_same_material_gives_the_same_page(html: str) -> None:
    assert render(material(), ASSETS) == html


def test_the_policy_allows_nothing_but_what_the_page_brings(page: _Reader) -> None:
    (policy,) = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert {value for name, value in directives.items() if name not in {"style-src", "script-src"}} == {"'none'"}
    for name, text in (("style-src", ASSETS.style), ("script-src", ASSETS.script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert directives[name] == f"'sha256-{digest}'"
    assert "unsafe" not in policy
    assert (page.text["style"], page.text["script"]) == (ASSETS.style, ASSETS.script)


def test_nothing_is_fetched_or_run_by_an_attribute(page: _Reader) -> None:
    attributes = [(name, value) for _, given in page.elements for name, value in given.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name in {"style", "src", "srcset", "action"}]
    assert all(re.fullmatch("#[a-z]+", value) for name, value in attributes if name == "href")
    assert not {"iframe", "object", "embed", "img", "link", "base", "form"} & {name for name, _ in page.elements}
    names = [value for name, value in attributes if name == "id"]
    assert len(names) == len(set(names))


def test_a_style_sheet_cannot_end_its_element() -> None:
    with pytest.raises(ConfigurationError, match="must not hold"):
        Assets("a{content:'</style>'}", "")


def test_headings_and_landmarks_are_in_order(page: _Reader) -> None:
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    names = {given.get("id") for _, given in page.elements}
    assert [name for name, _ in page.elements if name in {"header", "nav", "main", "footer"}] == [
        "header",
        "nav",
        "main",
        "footer",
    ]
    for section in page.all("section"):
        assert section["aria-labelledby"] in names
    assert {one["href"][1:] for one in page.all("a")} <= names
    assert page.all("html") == [{"lang": "en"}]


def test_tables_have_captions_and_their_headings_scopes(page: _Reader) -> None:
    assert len(page.all("table")) == len(page.all("caption")) > 8
    assert {one.get("scope") for one in page.all("th")} == {"col", "row"}
    for drawing in page.all("svg"):
        named = {"aria-labelledby", "aria-describedby"} <= set(drawing)
        assert named != (drawing.get("aria-hidden") == "true")


def test_every_section_is_there(page: _Reader) -> None:
    assert [one["id"] for one in page.all("section")] == [
        *("overview", "balance", "languages", "map", "neighbours", "representation", "evaluation", "lengths"),
        *("throughput", "reuse", "slowest", "rejects", "verification", "provenance"),
    ]


@pytest.mark.parametrize(
    "said",
    [
        "The run balances",
        "complete with rejects under the limit (exit code 3)",
        "empty text",
        "0.95",
        "+0.000 (-0.002 to +0.002)",
        "Top-1 of questions in one language, answers in another, float32",
        '<span class="shade h9">0.90</span>',
        "corpus/a.jsonl",
        "lang_ja",
        "recall@10",
        "compared by COSINE",
        "Japanese",
        "bfloat16",
        "Chunks that repeat the content of another",
        "3.11.9",
        "max_tokens",
    ],
)
def test_the_page_says(html: str, said: str) -> None:
    assert said in html


def test_texts_are_left_out_where_that_is_asked_for() -> None:
    html = render(material(with_texts=False), ASSETS)
    assert not [text for text in TEXTS.values() if text in html]
    assert all(text in render(material(), ASSETS) for text in TEXTS.values())
    assert 'class="point' in html


def test_texts_have_their_language_and_direction(html: str) -> None:
    assert re.search(r'<p class="text" dir="auto" lang="ar">', html)
    assert re.search(r'<p class="text" dir="auto" lang="th">', html)


def test_a_run_that_does_not_balance_says_so_first() -> None:
    html = render(material(record=record(**{"documents.read": 102})), ASSETS)
    assert "This run does not balance" in html
    assert "documents read 102 != embedded + reused + unchanged + rejected + left out 101" in html
    assert 'class="status bad"' in html


@pytest.mark.parametrize("lacking", ["lengths", "timeline", "slowest"])
def test_a_record_of_an_earlier_version_makes_a_report(lacking: str) -> None:
    older = {name: value for name, value in record().items() if name != lacking}
    for language in older["languages"].values():
        for name in ("unknown_tokens", "unknown_chunks", "rejects"):
            del language[name]
    assert "The run balances" in render(material(record=older), ASSETS)


@pytest.mark.parametrize(
    "changed",
    [
        {"sample": None, "evaluations": (), "remarks": ("Map: a shard is gone",)},
        {"sample": ReportSample([], sample().vectors[:0])},
        {"sample": sample(topics=1)},
        {"sample": replace(sample(), vectors=sample().vectors[:0, :0])},
        {"evaluations": [{"name": None, "results": [{"a": [1, {"b": 2}]}, {"c": True}], "other": "x", "rows": [1, 2]}]},
        {"evaluations": [{}]},
        {
            "record": {
                **record(),
                "languages": {},
                "partitions": {},
                "configuration": {},
                "versions": {},
                "model": {},
                "representation": {},
            }
        },
        {
            "record": {
                **record(),
                "verification": {"form": "full", "findings": [{"kind": "count", "detail": "x"}], "recall": {"p": 0.9}},
            }
        },
    ],
    ids=[
        "no sample",
        "empty",
        "few",
        "no dense vectors",
        "odd evaluation",
        "empty evaluation",
        "sparse record",
        "findings",
    ],
)
def test_whatever_is_lacking_a_page_is_made(changed: dict[str, Any]) -> None:
    page = _Reader(render(material(**changed), ASSETS))
    assert page.open == []
    assert page.all("section")


def _of_languages(count: int) -> dict[str, Any]:
    names = [f"{first}{second}" for first in "abcdef" for second in "klmnopqrst"][:count]
    pairs = [
        {
            "query_language": one,
            "answer_language": other,
            "queries": 1 + names.index(one) + names.index(other),
            "top_1": 0.5,
        }
        for one in names
        for other in names
    ]
    return {"name": "many", "results": pairs}


def test_of_many_languages_a_matrix_shows_those_that_are_asked_most_and_says_so() -> None:
    reader = _Reader(render(material(evaluations=[_of_languages(60)]), ASSETS))
    assert "the 24 languages with most queries" in reader.text["caption"]
    # The first in the alphabet have the fewest queries here.
    assert "et" in reader.text["th"]
    assert "the 24 languages" not in render(material(evaluations=[_of_languages(24)]), ASSETS)


@pytest.mark.parametrize(("ledger", "is_said"), [(3, False), (4, True), (None, False), ([], True)])
def test_an_evaluation_of_other_rows_says_so(ledger: Any, *, is_said: bool) -> None:
    html = render(material(evaluations=[{"name": "parallel", "ledger": ledger}]), ASSETS)
    assert ("this run left those of ledger 3" in html) == is_said


def test_what_compression_costs_and_which_languages_prefer_their_own_stands_open() -> None:
    names = [f"x{letter}" for letter in "abcdefghijklmn"]
    differences: list[dict[str, Any]] = [
        {
            "query_language": one,
            "answer_language": one,
            "ndcg_at_10": {"difference": -0.5, "low": -0.625, "high": -0.25},
        }
        for one in (None, *names)
    ]
    differences[0]["ndcg_at_10"] = {"difference": -0.125, "low": -0.25, "high": 0.0}
    bias = [
        {"query_language": one, "queries": 3, "bias": 0.5 if kind == "int8" else 0.25, "representation": kind}
        for kind in ("full precision", "int8")
        for one in names
    ]
    made = {"name": "parallel", "differences": differences, "language_bias": bias}
    html = render(material(evaluations=[made]), ASSETS)
    section = html[html.index('<section id="evaluation"') :].partition("</section>")[0]
    unfolded = re.sub("<details.*?</details>", "", section, flags=re.DOTALL)
    assert ">-0.125 (-0.250 to +0.000)<" in unfolded
    assert "-0.500 (" not in unfolded
    assert unfolded.count(">0.500<") == len(names)
    assert ">0.250<" not in unfolded
    assert ">nDCG@10<" in unfolded


def test_a_difference_without_an_interval_is_no_list_of_fields() -> None:
    difference = {"difference": -0.25, "low": None, "high": None}
    html = render(material(evaluations=[{"name": "one", "differences": [{"top_1": difference}]}]), ASSETS)
    assert ">-0.250</td>" in html or ">-0.250</th>" in html


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(599, "seconds since"), (600, "minutes since"), (35_999, "minutes since"), (172_800, "hours since")],
)
def test_an_axis_of_time_has_the_unit_of_its_length(seconds: int, said: str) -> None:
    width = max(1, seconds // 40)
    timeline = [{"start": 0, "width": width, "tokens": 100}]
    assert said in render(material(record={**record(), "seconds": float(seconds), "timeline": timeline}), ASSETS)


def test_of_many_languages_those_with_most_rows_have_marks_of_their_own() -> None:
    """A balanced sample has equally many chunks of each, so it cannot tell."""
    found = sample()
    names = [f"{first}{second}" for first in "abc" for second in "klmnopqrst"]
    chunks = [replace(chunk, language=names[index % 30]) for index, chunk in enumerate(found.chunks)]
    made = record()
    made["partitions"] = {f"lang_{name}": {"expected": 10 + names.index(name), "milvus": 0} for name in names[6:]}
    reader = _Reader(render(material(record=made, sample=replace(found, chunks=chunks)), ASSETS))
    marks = {
        one["data-language"] for one in reader.all("g") if "sx" not in one.get("class", "") and "data-language" in one
    }
    assert marks == set(names[6:])


def test_hostile_strings_stay_text_wherever_they_stand() -> None:
    page = _Reader(render(hostile(), ASSETS))
    plain = _Reader(render(material(), ASSETS))
    assert {name for name, _ in page.elements} <= {name for name, _ in plain.elements} | {"div", "details", "summary"}
    assert len(page.all("script")) == len(page.all("style")) == 1
    for _, given in page.elements:
        assert not [name for name in given if name.startswith("on") or name in {"style", "src"}]
