"""Labels of languages: any code that a detector, a column or a user gives, read and folded to one scheme.

Languages are lower-case BCP-47 primary subtags (RFC 5646), the shortest there is; deprecated codes and members of a macrolanguage
(ISO 639-3) are folded, because detectors and corpora disagree on them. The tables are those of `langcodes`: the IANA registry and CLDR.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType

from langcodes import standardize_tag, tag_is_valid
from langcodes.data_dicts import MACROLANGUAGES

from transforms.logic.errors import ConfigurationError

UNDETERMINED = "und"


def pairs(text: str) -> Mapping[str, str]:
    """Reads a table written as `a=b c=d`."""
    return MappingProxyType(dict(pair.split("=", 1) for pair in text.split()))


_NAMES = pairs(
    """
    af=Afrikaans am=Amharic ar=Arabic az=Azerbaijani be=Belarusian bg=Bulgarian bn=Bengali ca=Catalan cs=Czech da=Danish
    de=German el=Greek en=English es=Spanish et=Estonian eu=Basque fa=Persian fi=Finnish fil=Filipino fr=French gl=Galician
    gu=Gujarati ha=Hausa he=Hebrew hi=Hindi hu=Hungarian hy=Armenian id=Indonesian is=Icelandic it=Italian ja=Japanese
    jv=Javanese ka=Georgian kk=Kazakh km=Khmer kn=Kannada ko=Korean lt=Lithuanian lv=Latvian mk=Macedonian ml=Malayalam
    mn=Mongolian mr=Marathi ms=Malay my=Burmese ne=Nepali nl=Dutch no=Norwegian pa=Punjabi pl=Polish ps=Pashto pt=Portuguese
    ro=Romanian ru=Russian sh=Serbo-Croatian si=Sinhala sk=Slovak sl=Slovenian so=Somali sq=Albanian sv=Swedish sw=Swahili
    ta=Tamil te=Telugu th=Thai tr=Turkish uk=Ukrainian ur=Urdu uz=Uzbek vi=Vietnamese yo=Yoruba zh=Chinese zu=Zulu
    """
)
COMMON = tuple(sorted(_NAMES))
"""What `--languages common` names: languages with millions of speakers and a presence in web corpora."""


def english_name(language: str) -> str | None:
    """The English name of a common language by its code; None for any other."""
    return _NAMES.get(language)


_TAG = re.compile(r"(?P<language>[a-z]{2,3})(?:-[a-z]{3})?(?:-(?P<script>[a-z]{4}))?(?:-[a-z0-9]+)*")
_NO_LANGUAGE = frozenset({UNDETERMINED, "mis", "mul", "zxx", "art", "sgn"})
# Members of a macrolanguage that are written differently enough, and widely enough, to be kept.
_KEPT_APART = frozenset({"id", "ckb"})


@dataclass(frozen=True)
class Label:
    """A folded language or `und`, and the ISO 15924 script if the label names one."""

    language: str
    script: str | None = None


@lru_cache(maxsize=1 << 14)
def read_label(label: str) -> Label:
    """Reads any label: `iw`, `deu`, `zh-Hant-TW`, `sr_Latn`, `arb_Arab`; what is none, or names no one language, is `und`."""
    tag = label.replace("_", "-").lower()
    match = _TAG.fullmatch(tag) if label.isascii() else None
    if match is None or match["language"] in _NO_LANGUAGE or not tag_is_valid(tag):
        return Label(UNDETERMINED)
    return Label(_folded(match["language"]), match["script"] and match["script"].title())


def fold(label: str) -> str:
    """The language of a label."""
    return read_label(label).language


def check_code(flag: str, code: str) -> str:
    """The folded language of a code that a user gave; anything else raises `ConfigurationError` naming the nearest."""
    language = fold(code)
    if language == UNDETERMINED and code.lower() != UNDETERMINED:
        raise ConfigurationError(
            f"{flag}: {code!r} is no language code (BCP-47 or ISO 639-3, as in de, th or ckb){_nearest(code)}"
        )
    return language


def _folded(language: str) -> str:
    standard = standardize_tag(language, macro=True).split("-")[0]
    # Private use (qaa to qtz) stays as it is, as does every language without a macrolanguage.
    return standard if standard in _KEPT_APART else MACROLANGUAGES.get(standard, standard)


def _nearest(code: str) -> str:
    words = {name.lower(): known for known, name in _NAMES.items()} | {known: known for known in _NAMES}
    close = get_close_matches(code.lower(), words, 1, cutoff=0.5)
    return f"; did you mean {words[close[0]]} ({_NAMES[words[close[0]]]})?" if close else ""
