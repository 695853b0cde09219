"""Where a reader would cut: headings stay with their text, code and tables stay whole."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.boundaries import boundaries_of, sentence_ends

MARKDOWN = """Intro line.

# Title

First paragraph. It has two sentences.

```python
def f():

    return "# no heading"
```

Under
-----

| a | b |
|---|---|
| 1 | 2 |

~~~
left open"""


def after(text: str, places: list[int]) -> list[str]:
    """The first line after each place."""
    return [text[place:].partition("\n")[0] for place in places]


def test_markdown_headings_fences_and_tables_are_found() -> None:
    found = boundaries_of(MARKDOWN, markdown=True)

    assert after(MARKDOWN, list(found.headings)) == ["# Title", "Under"]
    assert [MARKDOWN[start:end].partition("\n")[0] for start, end in found.blocks] == ["```python", "| a | b |", "~~~"]
    assert [MARKDOWN[start:end].rpartition("\n")[2] for start, end in found.blocks] == ["```", "| 1 | 2 |", "left open"]
    assert after(MARKDOWN, list(found.within)) == [
        "def f():",
        'return "# no heading"',
        "```",
        "|---|---|",
        "| 1 | 2 |",
        "left open",
    ]


def test_nothing_parts_a_heading_from_its_text_or_a_block() -> None:
    found = boundaries_of(MARKDOWN, markdown=True)

    assert after(MARKDOWN, list(found.paragraphs)) == ["# Title", "```python", "Under", "~~~"]
    begun = [line for line in after(MARKDOWN, list(found.sentences)) if line]
    assert begun == ["# Title", "It has two sentences.", "```python", "Under", "~~~"]


def test_a_plain_heading_is_a_short_line_of_its_own_that_ends_like_no_sentence() -> None:
    text = (
        "Article 1\n\nAll are born free.\n\nA short sentence.\n\nAn item, \n\nSecond part\n\n"
        + "word " * 30
        + "\n\nend"
    )

    found = boundaries_of(text, markdown=False)

    assert after(text, list(found.headings)) == ["Article 1", "Second part"]
    assert after(text, list(found.paragraphs)) == ["A short sentence.", "An item, ", "Second part", "end"]


def test_plain_text_has_no_blocks() -> None:
    assert boundaries_of(MARKDOWN, markdown=False).blocks == []


@pytest.mark.parametrize(
    "text",
    [
        "Eins. Zwei.",
        "一。二。",
        "एक। दो।",
        "واحد؟ اثنان",
        "ມື້ນີ້។ ສອງ",
        "အ။ဗ",
        "አንድ። ሁለት",
        "մեկ։ երկու",
        "একটি। দুই",
        "どう？はい",
    ],
)
def test_sentences_end_where_their_script_ends_them(text: str) -> None:
    middle = next(place for place, sign in enumerate(text) if sign in ".。।؟។။።։？")

    assert len(text[: middle + 1]) + (text[middle + 1] == " ") in sentence_ends(text)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(text=st.text(st.sampled_from("ab. \n#|`-=~。"), max_size=120), markdown=st.booleans())
def test_boundaries_are_ordered_places_of_the_text_outside_blocks(text: str, markdown: bool) -> None:
    found = boundaries_of(text, markdown=markdown)

    for places in (found.headings, found.paragraphs, found.lines, found.sentences, found.within, found.starts):
        assert list(places) == sorted({*places})
        assert all(0 <= place <= len(text) for place in places)
    for start, end in found.blocks:
        assert not any(
            start < place < end for place in (*found.headings, *found.paragraphs, *found.lines, *found.sentences)
        )
