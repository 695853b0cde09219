"""Every link of every page leads somewhere, and every page is reached."""

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, README, anchors, blocks, links, name_of


def _target(page: Path, link: str) -> tuple[Path, str]:
    path, _, anchor = link.partition("#")
    return (page.parent / path).resolve() if path else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in links(page):
        target, anchor = _target(page, link)
        if not target.exists() or (anchor and (target.suffix != ".md" or anchor not in anchors(target))):
            wrong.append(link)
    assert wrong == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached = {README}
    while (
        new := {target for page in reached for link in links(page) if (target := _target(page, link)[0]) in PAGES}
        - reached
    ):
        reached |= new
    assert sorted(map(name_of, set(PAGES) - reached)) == []


def test_links_anchors_and_blocks_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '# One `two`, three!\n## Same\n## Same\n[a](b.md#c) ![d](e.png) <img src="f.svg"> [out](https://example.org) `[no](link)`\n'
        "1. Item\n\n   ```console\n   $ [no](link)\n   # No heading\n   ```\n",
        encoding="utf-8",
    )
    assert list(links(page)) == ["b.md#c", "e.png", "f.svg"]
    assert anchors(page) == {"one-two-three", "same", "same-1"}
    assert [(block.language, block.line, block.text) for block in blocks(page)] == [
        ("console", 8, "$ [no](link)\n# No heading\n")
    ]
