"""Scrubbing and Unicode normalisation, before ids and offsets are taken.

NFC, not NFKC: the stored text stays the author's, while decomposed Korean or Vietnamese no longer costs up to four times the
tokens (Unicode Standard Annex 15).
"""

import unicodedata

import regex

_LINE_BREAKS = regex.compile("[\\x0b\\x0c\\x85]")
_SURROGATES = regex.compile("[\\ud800-\\udfff]")
_REMOVED = regex.compile("[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x84\\x86-\\x9f\\ufeff]|\\p{Noncharacter_Code_Point}")
_VISIBLE = regex.compile("[^\\s\\p{Cf}\\p{M}]")


def normalise_text(text: str) -> str:
    """Returns scrubbed NFC text.

    Lone surrogates become U+FFFD; vertical tab, form feed and next line become newlines; NUL, the other C0 and C1 controls,
    U+FEFF and noncharacters are removed; tab, newline and carriage return stay.
    """
    if not text.isascii() or not text.isprintable():
        text = _REMOVED.sub("", _LINE_BREAKS.sub("\n", _SURROGATES.sub("\ufffd", text)))
    return unicodedata.normalize("NFC", text)


def is_blank(text: str) -> bool:
    """Whether nothing in the text can be seen: only space, format characters and marks without a base."""
    return _VISIBLE.search(text) is None
