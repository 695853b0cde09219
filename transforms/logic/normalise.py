"""Scrubbing and Unicode normalisation, before ids and offsets are taken.

NFC, not NFKC: the stored text stays the author's, while decomposed Korean or Vietnamese no longer costs up to four times the
tokens (Unicode Standard Annex 15).
"""

import re
import unicodedata

import regex

# One class of the standard library's `re` finds these ten times as fast as `regex` or as classes with ranges beyond the BMP.
_SUSPECT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
# Noncharacters beyond the BMP end in xFFFE or xFFFF, in UTF-8 in these bytes; so do a few characters, which are then looked at twice.
_SUSPECT_ENDS = (b"\xbf\xbe", b"\xbf\xbf")
_LINE_BREAKS = regex.compile("[\\x0b\\x0c\\x85]")
_SURROGATES = regex.compile("[\\ud800-\\udfff]")
_REMOVED = regex.compile("[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x84\\x86-\\x9f\\ufeff]|\\p{Noncharacter_Code_Point}")
_VISIBLE = regex.compile("[^\\s\\p{Cf}\\p{M}]")


def normalise_text(text: str) -> str:
    """Returns scrubbed NFC text.

    Lone surrogates become U+FFFD; vertical tab, form feed and next line become newlines; NUL, the other C0 and C1 controls,
    U+FEFF and noncharacters are removed; tab, newline and carriage return stay.
    """
    ascii_only = text.isascii()
    if ascii_only and text.isprintable():
        return text
    if _SUSPECT.search(text) is not None or not (ascii_only or _has_no_distant_noncharacter(text)):
        text = _REMOVED.sub("", _LINE_BREAKS.sub("\n", _SURROGATES.sub("\ufffd", text)))
    return text if ascii_only else unicodedata.normalize("NFC", text)


def _has_no_distant_noncharacter(text: str) -> bool:
    """For text without surrogates; true is certain, false is not."""
    if len(text.encode("utf-16-le")) == 2 * len(text):
        return True
    raw = text.encode()
    return not (_SUSPECT_ENDS[0] in raw or _SUSPECT_ENDS[1] in raw)


def is_blank(text: str) -> bool:
    """Whether nothing in the text can be seen: only space, format characters and marks without a base."""
    return _VISIBLE.search(text) is None
