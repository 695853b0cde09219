"""The page in a real browser: texts stay texts, everything works by keyboard, on a phone and in the dark."""

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import pytest

from tests.browser import Page, browser
from tests.pipelines.explore.scene import Served, serving
from tests.pipelines.jobs import COLLECTION, Job

pytestmark = pytest.mark.browser
QUESTION = {"query": "rivers", "top": 50, "compare": True}
_PATIENCE_SECONDS = 30
# Relative luminance and contrast as WCAG 2.2 defines them, over what is behind an element.
CONTRAST = """
(selector) => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => parts(color).slice(0, 3)
    .map((one) => one / 255).map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    return parts(color)[3] === 0 && element.parentElement ? ground(element.parentElement) : color;
  };
  return Math.min(...[...document.querySelectorAll(selector)].filter((one) => one.checkVisibility()).map((one) => {
    const [high, low] = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  }));
}
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture(scope="module")
def server(page: Page, hostile_job: Job) -> Iterator[Served]:
    with serving("--milvus", str(hostile_job.milvus), "--collection", COLLECTION, "--compare", "half") as served:
        yield served


def _until(page: Page, condition: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < deadline, (condition, page.complaints, page.evaluate("document.body.innerText"))
        time.sleep(0.05)


def _visit(
    page: Page, server: Served, question: dict[str, Any] | None, width: int = 1280, scheme: str = "light"
) -> None:
    page._call("Page.navigate", url="about:blank")
    page.events.clear()
    page._call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
    page._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    place = "" if question is None else f"#{quote(json.dumps(question))}"
    page._call("Page.navigate", url=f"{server.url}{place}")
    _until(page, "document.title.endsWith('explore')")
    if question is not None:
        _until(page, "document.querySelectorAll('.hit').length")


def _press(page: Page, key: str, text: str = "") -> None:
    code = {"Enter": 13, "Escape": 27, "Tab": 9}[key]
    page._call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, text=text, windowsVirtualKeyCode=code)
    page._call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)


def _answer(server: Served) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"{server.url}api/search", json.dumps(QUESTION).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        found: list[dict[str, Any]] = json.load(answer)["rankings"]
        return found


def test_hostile_texts_are_shown_as_text_and_nothing_runs(page: Page, server: Served) -> None:
    _visit(page, server, QUESTION)
    shown = page.evaluate(
        "[...document.querySelectorAll('.ranking')].map((one) => [...one.querySelectorAll('.hit .text')].map((text) => text.textContent))"
    )
    assert shown == [[hit["text"] for hit in ranking["hits"]] for ranking in _answer(server)]
    assert len(shown) == 2
    assert page.evaluate("document.title") == f"{COLLECTION} – explore"
    made = "script, img, svg, iframe, style, base, meta, math, h1, i, a, form"
    assert page.evaluate(f"document.querySelectorAll('#rankings :is({made})').length") == 0
    for place in range(0, 50, 7):
        page.evaluate(f"document.querySelectorAll('.hit button')[{place}].click()")
        _until(page, "document.querySelector('#document').open")
        assert page.evaluate(f"document.querySelectorAll('#document :is({made}):not(.bar > form)').length") == 0
        page.evaluate("document.querySelector('#document').close()")
    assert page.dialogs == []
    assert page.complaints == []
    assert {url.split("/")[2] for url in page.requests if "://" in url} == {f"127.0.0.1:{server.port}"}


def test_every_text_has_its_language_and_direction(page: Page, server: Served) -> None:
    _visit(page, server, {**QUESTION, "languages": ["de"]})
    texts = page.evaluate("[...document.querySelectorAll('.hit .text')].map((one) => [one.lang, one.dir])")
    assert texts
    assert {tuple(one) for one in texts} == {("de", "auto")}


def test_all_of_it_works_by_keyboard(page: Page, server: Served) -> None:
    _visit(page, server, None)
    assert page.evaluate("document.activeElement.id") == "query"
    page._call("Input.insertText", text="How do rivers run?")
    _press(page, "Enter", "\r")
    _until(page, "document.querySelectorAll('.hit').length")
    assert page.evaluate("document.querySelector('#status').textContent").startswith("10 chunks in ")
    assert "How%20do%20rivers%20run" in page.evaluate("location.hash")
    for _ in range(30):
        _press(page, "Tab")
        if page.evaluate("document.activeElement.matches('.hit button')"):
            break
    assert page.evaluate("document.activeElement.matches('.hit button')")
    asked = page.evaluate("document.activeElement.ariaLabel")
    _press(page, "Enter", "\r")
    _until(page, "document.querySelector('#document').open && document.activeElement.closest('#document')")
    assert page.evaluate("document.querySelectorAll('.passage.chosen').length") == 1
    _press(page, "Escape")
    _until(page, "!document.querySelector('#document').open")
    assert page.evaluate("document.activeElement.ariaLabel") == asked


def test_conditions_and_languages_narrow_what_is_found(page: Page, server: Served) -> None:
    where = [{"field": ["metadata", "year"], "operator": ">=", "value": 2021}]
    _visit(page, server, {"query": "rivers", "where": where, "languages": ["de"]})
    assert page.evaluate(
        "new Set([...document.querySelectorAll('.hit .place')].map((one) => one.textContent)).has('long')"
    )
    assert page.evaluate("document.querySelector('#active').textContent") == "(2 in use)"
    page.evaluate("document.querySelector('#filters').open = true")
    page.evaluate("document.querySelector('.value').value = '2022'; document.querySelector('#form').requestSubmit()")
    _until(page, "document.querySelector('#status').textContent.startsWith('Nothing found')")
    page.evaluate("document.querySelector('.remove').click(); document.querySelector('#form').requestSubmit()")
    _until(page, "document.querySelectorAll('.hit').length")
    page.evaluate(
        "document.querySelector('#date-to').value = '1999-01-01'; document.querySelector('#form').requestSubmit()"
    )
    _until(page, "document.querySelector('#status').textContent.startsWith('Nothing found')")


@pytest.mark.parametrize(
    ("kind", "wrong", "right", "value"),
    [("number", "", "2021", 2021), ("truth", "yes", "true", True), ("truth", "", "false", False)],
)
def test_a_value_that_is_none_of_its_kind_is_not_asked(
    page: Page, server: Served, kind: str, wrong: str, right: str, *, value: float | bool
) -> None:
    """An empty number would be 0, and every truth value but `true` would be false."""
    where = [{"field": ["metadata", "year"], "operator": "==", "value": "?"}]
    _visit(page, server, None)
    page.evaluate("document.querySelector('#query').value = 'rivers'; document.querySelector('#add').click()")
    page.evaluate(
        f"document.querySelector('.keys').value = 'year'; document.querySelector('.type').value = '{kind}';"
        "document.querySelector('.type').dispatchEvent(new Event('change', {bubbles: true}))"
    )
    for given, asked in ((wrong, None), (right, [{**where[0], "value": value}])):
        page.evaluate(
            f"document.querySelector('.value').value = '{given}'; document.querySelector('#filters').open = false"
        )
        page.evaluate("document.querySelector('#form').requestSubmit()")
        page.settle()
        found = json.loads(unquote(page.evaluate("location.hash.slice(1)")) or "{}")
        assert found.get("where") == asked
        assert page.evaluate("document.querySelector('#filters').open") == (asked is None)


@pytest.mark.parametrize(
    "anything", ["5", "{", '{"query": {}, "where": 5}', '{"languages": 1}', '{"where": [{"field": null}]}']
)
def test_an_address_may_hold_anything(page: Page, server: Served, anything: str) -> None:
    page._call("Page.navigate", url="about:blank")
    page.events.clear()
    page._call("Page.navigate", url=f"{server.url}#{quote(anything)}")
    _until(page, "document.title.endsWith('explore')")
    page.settle()
    assert page.complaints == []
    assert page.evaluate("document.querySelectorAll('#conditions li').length") == 0


def test_a_document_is_read_on_to_both_ends(page: Page, server: Served) -> None:
    where = [
        {"field": ["ordinal"], "operator": "==", "value": 6},
        {"field": ["document_id"], "operator": "==", "value": "long"},
    ]
    _visit(page, server, {"query": "rivers", "where": where})
    page.evaluate("document.querySelector('.hit button').click()")
    _until(page, "document.querySelector('#document').open")
    assert page.evaluate("document.querySelectorAll('.passage').length") == 7
    for side in ("before", "after"):
        while page.evaluate(f"!document.querySelector('#{side}').hidden"):
            count = page.evaluate("document.querySelectorAll('.passage').length")
            page.evaluate(f"document.querySelector('#{side}').click()")
            _until(page, f"document.querySelectorAll('.passage').length > {count}")
    text = page.evaluate("[...document.querySelectorAll('.passage .text')].map((one) => one.textContent).join(' ')")
    numbers = [int(word) for word in text.split() if word.isdecimal()]
    assert numbers == list(range(24))


def test_every_control_has_a_name_for_screen_readers(page: Page, server: Served) -> None:
    _visit(page, server, QUESTION)
    page.evaluate("document.querySelector('#filters').open = true; document.querySelector('#add').click()")
    nodes = page._call("Accessibility.getFullAXTree")["nodes"]
    controls = [
        (node["role"]["value"], node["name"]["value"].strip())
        for node in nodes
        if not node["ignored"]
        and node["role"]["value"] in {"button", "checkbox", "combobox", "searchbox", "textbox", "dialog"}
    ]
    assert len(controls) > 100
    assert [role for role, name in controls if not name] == []
    assert ("searchbox", "Question, in any language") in controls


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(page: Page, server: Served, scheme: str) -> None:
    _visit(page, server, QUESTION, scheme=scheme)
    page.evaluate("document.querySelector('#filters').open = true")
    for selector in (
        "#about",
        "summary",
        ".first",
        ".tag",
        ".score",
        ".place",
        ".move",
        ".text",
        "legend",
        "label",
        "#status",
    ):
        assert page.evaluate(f"({CONTRAST})({json.dumps(selector)})") >= 4.5, selector


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_wider_than_a_phone(page: Page, server: Served, width: int) -> None:
    _visit(page, server, QUESTION, width=width)
    page.evaluate("document.querySelector('#filters').open = true; document.querySelector('#add').click()")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelector('.hit button').click()")
    _until(page, "document.querySelector('#document').open")
    assert page.evaluate("document.querySelector('#document').scrollWidth") <= width


def test_what_is_refused_and_a_server_that_is_gone_are_said(page: Page, server: Served) -> None:
    _visit(page, server, None)
    submit = "document.querySelector('#form').requestSubmit()"
    page.evaluate(f"document.querySelector('#query').value = '\\u200b'; {submit}")
    _until(page, "!document.querySelector('#error').hidden")
    assert "holds nothing to search for" in page.evaluate("document.querySelector('#error').textContent")
    gone = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page._call("Network.emulateNetworkConditions", offline=True, **gone)
    try:
        page.evaluate(f"document.querySelector('#query').value = 'rivers'; {submit}")
        _until(page, "document.querySelector('#error').textContent.includes('does not answer')")
    finally:
        page._call("Network.emulateNetworkConditions", offline=False, **gone)
    page.evaluate(submit)
    _until(page, "document.querySelectorAll('.hit').length")
    assert page.evaluate("document.querySelector('#error').hidden")


def test_a_document_that_cannot_be_read_is_said_where_the_reader_is(page: Page, server: Served) -> None:
    _visit(page, server, {"query": "rivers", "top": 50})
    gone = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.evaluate("document.querySelectorAll('.hit button')[40].scrollIntoView()")
    page._call("Network.emulateNetworkConditions", offline=True, **gone)
    try:
        page.evaluate("document.querySelectorAll('.hit button')[40].click()")
        _until(page, "!document.querySelector('#error').hidden")
        box = "document.querySelector('#error').getBoundingClientRect()"
        _until(page, f"{box}.top >= 0 && {box}.bottom <= innerHeight")
    finally:
        page._call("Network.emulateNetworkConditions", offline=False, **gone)
    page.evaluate("document.querySelectorAll('.hit button')[40].click()")
    _until(page, "document.querySelector('#document').open && document.querySelector('#error').hidden")
