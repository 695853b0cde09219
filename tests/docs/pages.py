"""The Markdown pages of the project, their fenced blocks, their links and their anchors."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

README = ROOT / "README.md"
CORPUS = ROOT / "deploy" / "local"
"""Markdown there is text to embed."""
PAGES = sorted(
    page
    for page in [README, ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.md")]
    if not page.is_relative_to(CORPUS)
)
SHELL = ("console", "bash")
"""Languages of blocks that hold commands: with prompts and what came out, or without either."""

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```[ \t]*$", re.DOTALL | re.MULTILINE
)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
_ANCHOR = re.compile(r"<a id=\"([^\"]+)\"></a>")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block, without its indentation; `line` is that of its first line within the page, from 1."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """The page and the line, as an editor opens them."""
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """A page's path within the project."""
    return page.relative_to(ROOT).as_posix()


def read(page: Path) -> str:
    """The page as it stands."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[Block]:
    """The page's fenced blocks of some languages, in order; of all if none is named."""
    text = read(page)
    found = []
    for match in _FENCE.finditer(text):
        if not languages or match["language"] in languages:
            line = text.count("\n", 0, match.start("text")) + 1
            body = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
            found.append(Block(page, line, match["language"], body))
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", read(page))


def spans(page: Path) -> list[str]:
    """What stands in backticks in the page's prose; `\\|` of a table is `|`."""
    return [span.replace("\\|", "|") for span in _SPAN.findall(prose(page))]


def links(page: Path) -> Iterator[str]:
    """Targets of the page's links and pictures that lead to this project."""
    for target, source in _LINK.findall(_SPAN.sub("", prose(page))):
        link = target or source
        if "://" not in link and not link.startswith("mailto:"):
            yield link


def anchors(page: Path) -> set[str]:
    """Anchors of a page: its own, and GitHub's of headings: lower case, spaces to hyphens, no punctuation, repeats numbered."""
    found = set(_ANCHOR.findall(prose(page)))
    for heading in _HEADING.findall(prose(page)):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        repeat = 0
        while (one := f"{slug}-{repeat}" if repeat else slug) in found:
            repeat += 1
        found.add(one)
    return found
