"""Languages, scripts and partitions: folding labels, the script veto, `und`, and partition names.

Labels are BCP-47 primary subtags (RFC 5646) folded to macrolanguages, scripts ISO 15924 codes. Every detector names a language
for text it does not know; the script is the only honest veto.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import regex

UNDETERMINED = "und"
NO_SCRIPT = "Zyyy"
OTHER_PARTITION = "lang_other"
DEFAULT_PARTITION = "_default"
SCORE_FLOOR = 0.5
SCRIPT_SHARE_FLOOR = 0.2
DECISIVE_SHARE = 0.6
_SAMPLE_CHARACTERS = 1000
_KANA_SHARE = 0.05


def _pairs(text: str) -> Mapping[str, str]:
    return MappingProxyType(dict(pair.split("=", 1) for pair in text.split()))


_FOLDED = _pairs(
    """
    cmn=zh yue=zh wuu=zh zho=zh iw=he heb=he jw=jv in=id ji=yi nb=no nn=no nob=no nno=no hr=sh bs=sh sr=sh hrv=sh bos=sh srp=sh
    arb=ar ary=ar arz=ar tl=fil mo=ro un=und xxx=und
    """
)
"""Deprecated codes (RFC 5646, 2.2.1) and members of macrolanguages that detectors do not tell apart reliably."""

_SCRIPTS = _pairs(
    """
    Latn=Latin Cyrl=Cyrillic Arab=Arabic Hani=Han Kana=Katakana Hira=Hiragana Hang=Hangul Deva=Devanagari Thai=Thai Grek=Greek
    Hebr=Hebrew Beng=Bengali Taml=Tamil Telu=Telugu Knda=Kannada Mlym=Malayalam Gujr=Gujarati Guru=Gurmukhi Orya=Oriya Sinh=Sinhala
    Mymr=Myanmar Khmr=Khmer Laoo=Lao Geor=Georgian Armn=Armenian Ethi=Ethiopic Tibt=Tibetan Thaa=Thaana Mong=Mongolian Cher=Cherokee
    Cans=Canadian_Aboriginal Syrc=Syriac Tfng=Tifinagh Nkoo=Nko Yiii=Yi Olck=Ol_Chiki Copt=Coptic Goth=Gothic Vaii=Vai Adlm=Adlam
    Java=Javanese Bali=Balinese
    """
)
_SCRIPT_PATTERNS = {code: regex.compile(rf"\p{{Script={name}}}") for code, name in _SCRIPTS.items()}
_LETTER = regex.compile(r"[\p{L}\p{M}]")
_NOISE = regex.compile(r"https?://\S+|www\.\S+|\S+@\S+|[\p{N}]+")

_SOLE_LANGUAGE = _pairs(
    """
    Thai=th Hang=ko Jpan=ja Grek=el Khmr=km Laoo=lo Geor=ka Armn=hy Sinh=si Taml=ta Telu=te Knda=kn Mlym=ml Gujr=gu Orya=or Thaa=dv
    Cher=chr
    """
)
"""Scripts that in today's use write one language only, so that they may decide where a detector fails."""

_WRITTEN_IN: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        language: frozenset(scripts.split())
        for scripts, languages in (
            ("Cyrl", "ru uk be bg mk kk ky tg ba cv os ce av ab kv udm sah tt bua tyv"),
            ("Cyrl Latn", "sh uz"),
            ("Cyrl Mong", "mn"),
            ("Latn Cyrl Arab", "az tk ku"),
            ("Arab", "ar fa ur ps sd ug ckb ks"),
            ("Hebr", "he yi"),
            ("Deva", "hi mr ne sa bh bho mai new raj"),
            ("Beng", "bn as"),
            ("Guru Arab", "pa"),
            ("Hani", "zh"),
            ("Jpan Hani Kana Hira", "ja"),
            ("Hang Hani", "ko"),
            ("Ethi", "am ti"),
            ("Tibt", "bo dz"),
            ("Mymr", "my shn"),
            ("Syrc", "syr"),
            ("Cans", "iu cr"),
            *((script, language) for script, language in _SOLE_LANGUAGE.items() if language not in {"ja", "ko"}),
        )
        for language in languages.split()
    }
)
_LATIN = frozenset({"Latn"})


@dataclass(frozen=True)
class Guess:
    """A detector's answer: a label of its own and a score in [0, 1]."""

    language: str
    score: float


@dataclass(frozen=True)
class Identified:
    """The decision for one document: folded language or `und`, its score in [0, 1], and the dominant script."""

    language: str
    score: float
    script: str


def fold(label: str) -> str:
    """Folds any label (`iw`, `zh-Hant`, `sr_Latn`, `xx-Thai`) to a lower-case primary subtag; unknown markers become `und`."""
    primary = label.replace("_", "-").split("-")[0].lower()
    if not (primary.isascii() and primary.isalpha()) or len(primary) not in {2, 3} or primary == "xx":
        return UNDETERMINED
    return _FOLDED.get(primary, primary)


def sample_for_detection(text: str) -> str:
    """First, middle and last thousand characters, without addresses and numbers, which mislead detectors."""
    if len(text) > 3 * _SAMPLE_CHARACTERS:
        middle = (len(text) - _SAMPLE_CHARACTERS) // 2
        pieces = (text[:_SAMPLE_CHARACTERS], text[middle : middle + _SAMPLE_CHARACTERS], text[-_SAMPLE_CHARACTERS:])
        text = "\n".join(pieces)
    return _NOISE.sub(" ", text)


def script_shares(text: str) -> dict[str, float]:
    """Share of each script among the letters and marks of `text`, largest first; Japanese (kana with Han) is counted as `Jpan`."""
    total = len(_LETTER.findall(text))
    counts: dict[str, int] = {}
    remaining = total
    for code, pattern in _SCRIPT_PATTERNS.items():
        if remaining <= 0:
            break
        found = len(pattern.findall(text))
        if found:
            counts[code] = found
            remaining -= found
    kana = counts.get("Kana", 0) + counts.get("Hira", 0)
    if kana and kana >= _KANA_SHARE * (kana + counts.get("Hani", 0)):
        counts["Jpan"] = kana + counts.pop("Hani", 0)
        counts.pop("Kana", None)
        counts.pop("Hira", None)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {code: count / total for code, count in ordered} if total else {}


def decide(guess: Guess, shares: Mapping[str, float]) -> Identified:
    """Joins a detector's guess with the script shares of the text.

    The guess stands when its score reaches `SCORE_FLOOR` and at least `SCRIPT_SHARE_FLOOR` of the letters are of a script that
    the language is written in. Otherwise a script that writes one language only decides, if it holds `DECISIVE_SHARE` of the
    letters. Otherwise the language is `und`.
    """
    if not shares:
        return Identified(UNDETERMINED, 0.0, NO_SCRIPT)
    script, share = next(iter(shares.items()))
    language = fold(guess.language)
    fitting = sum(shares.get(code, 0.0) for code in _WRITTEN_IN.get(language, _LATIN))
    if language != UNDETERMINED and guess.score >= SCORE_FLOOR and fitting >= SCRIPT_SHARE_FLOOR:
        return Identified(language, guess.score, script)
    if script in _SOLE_LANGUAGE and share >= DECISIVE_SHARE:
        return Identified(_SOLE_LANGUAGE[script], share, script)
    return Identified(UNDETERMINED, guess.score, script)


def partition_of(language: str, partition_by: Literal["language", "none"], allowed: Collection[str]) -> str:
    """Milvus partition of a document language: `lang_<code>`, `lang_other` outside a non-empty allow-list, `lang_und`.

    Without partitioning it is Milvus's own `_default`.
    """
    if partition_by == "none":
        return DEFAULT_PARTITION
    if allowed and language != UNDETERMINED and language not in allowed:
        return OTHER_PARTITION
    return f"lang_{language}"
