"""Markup: whatever is put in as text comes out as that text, and as nothing else."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile_markup import HOSTILE
from transforms.logic.report.markup import clean, language_attribute, tag, write


class _Reader(HTMLParser):
    """Elements, attributes and text, as a parser finds them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html.removeprefix("<!DOCTYPE html>\n").removesuffix("\n"))
    reader.close()
    return reader


@given(st.one_of(st.text(), st.sampled_from(HOSTILE)))
def test_text_stays_text_in_elements_and_attributes(text: str) -> None:
    found = read(write(tag("p", {"title": text}, text, tag("b", {}), text)))
    assert [name for name, _ in found.elements] == ["p", "b"]
    assert found.elements[0][1] == {"title": clean(text)}
    assert found.text == clean(text) * 2


def test_what_html_cannot_hold_is_replaced() -> None:
    assert clean("a\x00b\ud800c\ufffed\te\n") == "a�b�c�d\te\n"


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("de", "de"),
        ("zh-Hant", "zh-Hant"),
        ("und", "und"),
        ('x" onload="', None),
        ("", None),
        ("d e", None),
        (None, None),
    ],
)
def test_only_a_well_formed_tag_becomes_a_language(language: str | None, said: str | None) -> None:
    assert language_attribute(language) == said


def test_numbers_in_attributes_are_short() -> None:
    assert '<a x="1.5" y="2" z="3">' in write(tag("a", {"x": 1.5, "y": 2.0, "z": 3, "left_out": None}))
