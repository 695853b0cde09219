"""Scripts of letters: which writing systems a text is made of, counted for many texts in one pass.

Scripts are ISO 15924 codes. Every code point is looked up in one table of bytes, so counting costs a few nanoseconds a character.
Letters and marks count; digits, punctuation, and what several scripts share (`Zyyy`, `Zinh`) do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import regex

from transforms.logic.code_points import CODE_POINTS, runs_of

NO_SCRIPT = "Zyyy"

_LISTED = """
    Latn Cyrl Grek Arab Hebr Hani Hira Kana Hang Deva Thai Beng Taml Telu Knda Mlym Gujr Guru Orya Sinh Mymr Khmr Laoo Geor Armn Ethi
    Tibt Thaa Mong Cher Cans Syrc Tfng Nkoo Yiii Olck Copt Goth Vaii Adlm Java Bali Bopo Mtei Cakm Lana Tavt Tale Talu Limb Lepc Sund
    Bugi Batk Rjng Mand Samr Osge Rohg Wcho Nshu Plrd Lisu Saur Tglg Hano Buhd Tagb Cham Phag Sylo Newa Tirh Gong Gonm Sora Mroo Hmnp
    Hmng Bamu Bass Mend Medf Kali Dsrt Shaw Osma Gran Shrd Modi Sidd Takr Khoj Sind Mahj Dogr Nand Bhks Marc Soyo Zanb Ahom Mult Diak
    Kits Tang Nagm Tnsa Toto Kawi Vith Yezi Aghb Armi Avst Brah Cari Chrs Cpmn Cprt Dupl Egyp Elba Elym Glag Hatr Hluw Hung Ital
    Khar Kthi Lina Linb Lyci Lydi Maka Mani Merc Mero Narb Nbat Ogam Orkh Ougr Palm Pauc Perm Phli Phlp Phnx Prti Runr Sarb Sogd Sogo
    Ugar Wara Xpeo Xsux Gara Gukh Krai Onao Sunu Todr Tutg
"""
_SCRIPTS = tuple(_LISTED.split())
_BLANKED_NUMBER = 255
_KANA_SHARE = 0.05

_LETTERS = r"[\p{L}\p{M}]+"
# Vowel points, accents and signs of recitation, which Arabic and Hebrew may be written with or without. Not the marks above and below
# that make letters of Kashmiri and others (U+0653 to U+065F).
_POINTED = ("Arab", "Hebr")
_POINTS = regex.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u0652\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]+"
)
_BLANKED = r"[\p{N}\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]+"


@dataclass(frozen=True)
class Letters:
    """How many letters and marks of a known script a text has, and the share of each script, largest first.

    Japanese (kana with Han) is counted as `Jpan`.
    """

    count: int
    shares: Mapping[str, float]

    @property
    def script(self) -> str:
        """The script of most letters; `Zyyy` without any."""
        return next(iter(self.shares), NO_SCRIPT)


def prepare(texts: Sequence[str]) -> tuple[list[str], list[Letters]]:
    """Texts as detectors can take them, and their letters.

    Numbers, controls, lone surrogates and noncharacters become spaces, one for one: numbers mislead detectors, and cld2 raises on the
    others (pycld2 issue 53). Vowel points of Arabic and Hebrew count as letters where they have a script, but are left out: detectors
    learned from text without them, and cld2 knows no vocalised word.
    """
    joined = "".join(texts)
    if not joined:
        return ["" for _ in texts], [Letters(0, {}) for _ in texts]
    points = np.frombuffer(bytearray(joined.encode("utf-32-le", "surrogatepass")), np.uint32)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    numbers = _table()[points]
    blanked = numbers == _BLANKED_NUMBER
    points[blanked] = ord(" ")
    numbers[blanked] = 0
    clean = points.tobytes().decode("utf-32-le")
    found = _counts(numbers, lengths)
    ends = np.cumsum(lengths).tolist()
    starts = [0, *ends[:-1]]
    return [
        _POINTS.sub("", clean[start:end]) if any(script in one for script in _POINTED) else clean[start:end]
        for start, end, one in zip(starts, ends, found, strict=True)
    ], [_letters(one) for one in found]


def count_letters(texts: Sequence[str]) -> list[Letters]:
    """The letters of each text, in order."""
    return prepare(texts)[1]


def _counts(numbers: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]) -> list[dict[str, int]]:
    """Letters of each text by script, of the script numbers of all characters of all texts."""
    width = len(_SCRIPTS) + 1
    places = np.repeat(np.arange(len(lengths)) * width, lengths)
    places += numbers
    counts = np.bincount(places, minlength=len(lengths) * width).reshape(len(lengths), width)[:, 1:]
    found: list[dict[str, int]] = [{} for _ in lengths]
    rows, columns = counts.nonzero()
    for row, column, count in zip(rows.tolist(), columns.tolist(), counts[rows, columns].tolist(), strict=True):
        found[row][_SCRIPTS[column]] = count
    return found


def _letters(found: Mapping[str, int]) -> Letters:
    """Of the letters of each script."""
    kana = found.get("Kana", 0) + found.get("Hira", 0)
    if kana and kana >= _KANA_SHARE * (kana + found.get("Hani", 0)):
        japanese = {"Jpan": kana + found.get("Hani", 0)}
        found = {code: count for code, count in found.items() if code not in {"Kana", "Hira", "Hani"}} | japanese
    total = sum(found.values())
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0])) if len(found) > 1 else found.items()
    return Letters(total, {code: count / total for code, count in ordered})


@cache
def _table() -> npt.NDArray[np.uint8]:
    """For every code point: of a letter or mark the number of its script, from 1; `_BLANKED_NUMBER`; else 0."""
    numbers = np.zeros(CODE_POINTS, np.uint8)
    letters = np.concatenate(list(runs_of(_LETTERS)))
    # Some hundred runs cover all letters, so trying the scripts one after the other at each run is cheap.
    scripts = "|".join(rf"(?P<{code}>\p{{Script={code}}}+)" for code in _SCRIPTS)
    for match in regex.finditer(scripts, "".join(map(chr, letters.tolist()))):
        numbers[letters[match.start() : match.end()]] = 1 + _SCRIPTS.index(str(match.lastgroup))
    for points in runs_of(_BLANKED):
        numbers[points] = _BLANKED_NUMBER
    return numbers
