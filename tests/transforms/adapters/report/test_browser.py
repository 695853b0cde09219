"""The page in a real browser: nothing hostile runs, nothing is fetched, and it can be read on any screen, in print, and without a mouse."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Page, browser
from tests.hostile_markup import MARK
from tests.reports import TEXTS, hostile, material
from transforms.adapters.report import render_report

pytestmark = pytest.mark.browser

_CONTRAST = """
(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map((one, index) => Number(one) * (text.startsWith("color") && index < 3 ? 255 : 1));
  const lightness = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) { return colour; }
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest("script, title, desc") || !element.getClientRects().length) { continue; }
    const style = getComputedStyle(element);
    const ink = parse(element.closest("svg") ? style.fill : style.color);
    const pair = [lightness(ink), lightness(behind(element))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < 4.5) { found.push([ratio, walker.currentNode.data.slice(0, 40), element.className.baseVal ?? element.className]); }
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(material()), encoding="utf-8")
    return path


@pytest.mark.parametrize("guarded", [True, False], ids=["as it is", "without its policy"])
def test_of_hostile_strings_no_script_runs_and_no_request_leaves(page: Page, tmp_path: Path, *, guarded: bool) -> None:
    """Escaping alone must hold, and the policy would, had escaping failed."""
    html = render_report(hostile())
    path = tmp_path / "hostile.html"
    path.write_text(html if guarded else html.replace("Content-Security-Policy", "X-Nothing", 1), encoding="utf-8")
    page.open(path)
    page.settle()
    # As a reader would: everything is opened, pointed at and reached.
    page.evaluate(
        "document.querySelectorAll('details').forEach((one) => { one.open = true; });"
        "document.querySelectorAll('*').forEach((one) => {"
        " one.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})); one.dispatchEvent(new FocusEvent('focus')); })"
    )
    page.settle()
    assert page.evaluate(f"document.documentElement.dataset.{MARK}") is None
    assert page.requests == [path.resolve().as_uri()]
    assert page.dialogs == []
    assert page.complaints == []
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("document.querySelectorAll('img, iframe, object, embed, form, base, link').length") == 0


def test_the_browser_sees_what_a_careless_page_would_do(page: Page, tmp_path: Path) -> None:
    """Else the test above could not fail."""
    path = tmp_path / "careless.html"
    path.write_text(
        f"<p><script>document.documentElement.dataset.{MARK}=1;alert(7)</script><img src='http://127.0.0.1:9/x'>"
    )
    page.open(path)
    page.settle()
    assert page.evaluate(f"document.documentElement.dataset.{MARK}") == "1"
    assert "http://127.0.0.1:9/x" in page.requests
    assert page.dialogs == ["7"]


def test_a_policy_of_the_page_stops_what_escaping_would_have_let_through(
    page: Page, report: Path, tmp_path: Path
) -> None:
    path = tmp_path / "broken.html"
    run = f"document.documentElement.dataset.{MARK}=1"
    broken = f"<script>{run}</script><img src=x onerror={run}><img src='http://127.0.0.1:9/x'><style>body{{color:red}}</style>"
    path.write_text(report.read_text(encoding="utf-8").replace("<main", f"{broken}<main", 1), encoding="utf-8")
    page.open(path)
    page.settle()
    assert page.evaluate(f"document.documentElement.dataset.{MARK}") is None
    assert page.evaluate("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
    assert len([one for one in page.complaints if "Content Security Policy" in one]) >= 3


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_itself_never_scrolls_sideways(page: Page, report: Path, width: int) -> None:
    page.open(report, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(page: Page, report: Path, scheme: str) -> None:
    page.open(report, prefers_color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    assert page.evaluate(_CONTRAST) == []


def test_points_are_walked_by_keyboard_and_read_out(page: Page, report: Path) -> None:
    page.open(report)
    page.evaluate("document.querySelector('.point[tabindex=\"0\"]').focus()")
    assert page.evaluate("document.querySelectorAll('.point[tabindex=\"0\"]').length") == 1
    heard = [page.evaluate("document.getElementById('map-panel').textContent")]
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown"):
        page.press(key)
        heard.append(page.evaluate("document.getElementById('map-panel').textContent"))
    assert len(set(heard)) > 2
    assert all(any(text[:9] in one for text in TEXTS.values()) for one in heard)


def test_without_scripts_the_page_is_whole(page: Page, report: Path) -> None:
    page._call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(report)
        shown = page.text()
    finally:
        page._call("Emulation.setScriptExecutionDisabled", value=False)
    assert "Map of the vectors" in shown
    # What would stay empty is not shown.
    assert re.search(r'<p[^>]*hidden="hidden"[^>]*id="map-panel"></p>', shown)
    assert all(text in shown for text in TEXTS.values())


def test_one_language_can_be_shown_alone(page: Page, report: Path) -> None:
    page.open(report)
    page.evaluate("document.querySelector('.legend button').click()")
    language = page.evaluate("document.querySelector('.legend button[aria-pressed=\"true\"] bdi').textContent")
    shown = page.evaluate("Array.from(document.querySelectorAll('.point:not(.faded)'), (one) => one.dataset.language)")
    assert set(shown) == {language}
    page.evaluate("document.querySelector('.legend button').click()")
    assert page.evaluate("document.querySelectorAll('.faded').length") == 0


def test_motion_is_reduced_where_that_is_preferred(page: Page, report: Path) -> None:
    page.open(report, prefers_reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_the_page_prints(page: Page, report: Path, tmp_path: Path) -> None:
    page.open(report)
    page.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
