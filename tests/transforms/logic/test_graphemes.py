"""Words between loose white space, and clusters: told apart as Unicode Standard Annex 29 does."""

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.graphemes import cluster_end, grapheme_boundary_before, words_of

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
TEXTS = st.lists(
    st.sampled_from(
        [
            *"a b\n字ก\t",
            " ",
            "\r\n",
            "\u0301",
            "\u0600",
            "\u200d",
            FAMILY,
            "\U0001f1e9\U0001f1ea",
            "\u00a0",
            "각",
            "\u2028",
        ]
    ),
    max_size=30,
).map("".join)
SETTINGS = settings(deadline=None, derandomize=True, max_examples=300)


def words(text: str) -> list[str]:
    starts, ends = words_of(text)
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


@SETTINGS
@given(text=TEXTS)
def test_words_cover_all_but_white_space_and_cut_no_cluster(text: str) -> None:
    starts, ends = words_of(text)
    boundaries = {0, *(match.end() for match in regex.finditer(r"\X", text))}

    covered = {place for start, end in zip(starts, ends, strict=True) for place in range(start, end)}
    assert all(text[place].isspace() for place in range(len(text)) if place not in covered)
    assert boundaries.issuperset([*starts.tolist(), *ends.tolist()])


@SETTINGS
@given(
    text=st.text(
        st.characters(exclude_categories=["Cs", "M", "Cf"], exclude_characters="\x1c\x1d\x1e\x1f"), max_size=60
    )
)
def test_without_marks_words_are_those_of_python(text: str) -> None:
    assert words(text) == text.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n ", []),
        ("a  b", ["a", "b"]),
        ("a \u0308b", ["a \u0308b"]),
        ("a  \u0308b", ["a", " \u0308b"]),
        ("a\n\u0308b", ["a", "\u0308b"]),
        ("\u0600 b", ["\u0600 b"]),
        ("\u0600\nb", ["\u0600", "b"]),
    ],
)
def test_a_space_that_carries_a_mark_belongs_to_the_word(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@SETTINGS
@given(text=TEXTS.filter(bool), data=st.data())
def test_boundaries_before_a_place_and_ends_of_clusters_are_those_of_the_annex(text: str, data: st.DataObject) -> None:
    clusters = [match.span() for match in regex.finditer(r"\X", text)]
    place = data.draw(st.integers(0, len(text)))

    assert grapheme_boundary_before(text, place, 0) == max(
        boundary for boundary in (0, *(end for _, end in clusters)) if boundary <= place
    )
    start, end = data.draw(st.sampled_from(clusters))
    assert cluster_end(text, start) == end
