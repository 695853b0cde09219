"""Scrubbed NFC text: nothing that a later stage refuses, nothing that a reader would miss."""

import unicodedata

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.normalise import is_blank, normalise_text

REFUSED = regex.compile(
    "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ufeff\\ud800-\\udfff]|\\p{Noncharacter_Code_Point}"
)
TEXTS = st.one_of(
    st.text(st.characters()),
    st.text(
        st.sampled_from("ae\u0301\u0327\u1100\u1161\u11a8\u212b\ufeff\x85\r\n\x00\ud83d\ude00\ufdd0\U0001ffff\x0b\x0c ")
    ),
)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(TEXTS)
def test_normalised_text_is_clean_composed_encodable_and_final(text: str) -> None:
    normalised = normalise_text(text)

    assert REFUSED.search(normalised) is None
    assert unicodedata.is_normalized("NFC", normalised)
    assert normalised.encode().decode() == normalised
    assert normalise_text(normalised) == normalised


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"], exclude_characters="\ufeff")))
def test_text_without_controls_is_only_composed(text: str) -> None:
    assert normalise_text(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tb\nc\r\nd", "a\tb\nc\r\nd"),
        ("a\x0bb\x0cc\x85d", "a\nb\nc\nd"),
        ("\ufeffa\x00b\x1b[0m\x7f\x9f", "ab[0m"),
        ("\ud800x\udfff", "\ufffdx\ufffd"),
        ("\ufdd0a\U0010ffff", "a"),
        ("\u1112\u1161\u11ab", "한"),
        ("e\x00\u0301", "é"),
        ("ﬁ ㎏ \u00a0\u200d", "ﬁ ㎏ \u00a0\u200d"),
    ],
)
def test_what_becomes_of_it(text: str, expected: str) -> None:
    assert normalise_text(text) == expected


@pytest.mark.parametrize("text", ["", " \t\n", "\u00a0\u3000", "\u200b\u200e\u2060", "\u0301", " \u00ad\ufe0f "])
def test_what_cannot_be_seen_is_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", [".", "a", "\u200b字", "🇩🇪", "\ufffd"])
def test_what_can_be_seen_is_not_blank(text: str) -> None:
    assert not is_blank(text)
