"""Languages of documents and chunks: what a detector says, what the script vetoes, and the partitions that follow.

Every detector names a language for text it does not know; the script is the only honest veto.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from transforms.logic.labels import UNDETERMINED, Label, pairs, read_label
from transforms.logic.scripts import NO_SCRIPT, Letters

_PARTITION_PREFIX = "lang_"
OTHER_PARTITION = f"{_PARTITION_PREFIX}other"
DEFAULT_PARTITION = "_default"
LANGUAGE_FLOOR = 0.5
SCRIPT_SHARE_FLOOR = 0.2
DECISIVE_SHARE = 0.6
CHUNK_LANGUAGE_FLOOR = 0.8
CHUNK_LETTERS_FLOOR = 80
MIXED_LANGUAGE_SHARE = 0.2
MIXED_SCRIPT_SHARE = 0.3
_SCORE_DECIMALS = 3
_DOCUMENT_PART = 1000
_CHUNK_PART = 200


# ASCII alone, as text without spaces may go on right after an address; each word is tried once, so long ones cost no more.
_LINK = re.compile(r"(?:https?://|www\.)[!-~]+", re.ASCII)
_MAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]++@[!-~]+", re.ASCII)

_SOLE_LANGUAGE = pairs(
    """
    Thai=th Hang=ko Jpan=ja Grek=el Khmr=km Laoo=lo Geor=ka Armn=hy Sinh=si Taml=ta Telu=te Knda=kn Mlym=ml Gujr=gu Orya=or Thaa=dv
    Cher=chr Java=jv
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
            ("Latn Arab", "ms ha"),
            ("Latn Java", "jv"),
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
            *((script, language) for script, language in _SOLE_LANGUAGE.items() if language not in {"ja", "jv", "ko"}),
        )
        for language in languages.split()
    }
)
_LATIN = frozenset({"Latn"})
_REFINED = pairs("Hans=Hani Hant=Hani Kore=Hang")
"""Scripts that only a detector can tell, and what counting letters finds instead."""


@dataclass(frozen=True)
class Guess:
    """A detector's answer.

    Attributes:
        language: a label of the detector's own.
        score: how sure it is, in [0, 1].
        other_share: the share in [0, 1] of the text that another language holds.
        is_of_text: whether the text was looked at; if not, the answer is about whole documents only.
    """

    language: str
    score: float
    other_share: float = 0.0
    is_of_text: bool = True


NO_GUESS = Guess(UNDETERMINED, 0.0)


@dataclass(frozen=True)
class Identified:
    """The decision for one text: folded language or `und`, its score in [0, 1] with three decimals, and the dominant script.

    `mixed` says that another language or script holds a good share of it.
    """

    language: str
    score: float
    script: str
    mixed: bool = False


def document_sample(text: str) -> str:
    """First, middle and last thousand characters, without addresses, which mislead detectors."""
    return _without_addresses(_parts(text, _DOCUMENT_PART, 3))


def is_seen_whole(text: str) -> bool:
    """Whether `document_sample` shows all of a document, so that its decision holds for its chunks too unless it is mixed."""
    return len(text) <= 3 * _DOCUMENT_PART


def chunk_sample(text: str) -> str:
    """First and last two hundred characters, without addresses."""
    return _without_addresses(_parts(text, _CHUNK_PART, 2))


def _parts(text: str, length: int, count: int) -> str:
    """`count` evenly spread parts of `length` characters, the first at the start and the last at the end."""
    if len(text) <= count * length:
        return text
    starts = [(len(text) - length) * number // (count - 1) for number in range(count)]
    return "\n".join(text[start : start + length] for start in starts)


def _without_addresses(text: str) -> str:
    if "://" in text or "www." in text:
        text = _LINK.sub(" ", text)
    return _MAIL.sub(" ", text) if "@" in text else text


def decide(guess: Guess, letters: Letters, floor: float = LANGUAGE_FLOOR) -> Identified:
    """Joins a detector's guess with the letters of the text.

    The guess stands when its score reaches `floor` and at least `SCRIPT_SHARE_FLOOR` of the letters are of a script that the language
    is written in, or that the label itself names. Otherwise a script that writes one language only decides, if it holds
    `DECISIVE_SHARE` of the letters and `floor`. Otherwise the language is `und`.
    """
    if not letters.count:
        return Identified(UNDETERMINED, 0.0, NO_SCRIPT)
    label, script = read_label(guess.language), letters.script
    mixed = _is_mixed(guess, letters)
    score = round(guess.score, _SCORE_DECIMALS)
    if label.language != UNDETERMINED and score >= floor and _fits(label, letters):
        refined = label.script if label.script and _REFINED.get(label.script) == script else script
        return Identified(label.language, score, refined, mixed)
    share = round(letters.shares[script], _SCORE_DECIMALS)
    if script in _SOLE_LANGUAGE and share >= max(DECISIVE_SHARE, floor):
        return Identified(_SOLE_LANGUAGE[script], share, script, mixed)
    return Identified(UNDETERMINED, score, script, mixed)


def decide_chunk(guess: Guess, letters: Letters, parent: Identified) -> Identified:
    """The language of a chunk: its own where that is sure, else its document's.

    Its own is sure with a score of at least `CHUNK_LANGUAGE_FLOOR`, in a script that fits, over at least `CHUNK_LETTERS_FLOOR` letters.
    """
    if letters.count < CHUNK_LETTERS_FLOOR or not guess.is_of_text:
        return parent
    own = decide(guess, letters, CHUNK_LANGUAGE_FLOOR)
    return parent if own.language == UNDETERMINED else own


def _fits(label: Label, letters: Letters) -> bool:
    named = {_REFINED.get(label.script, label.script)} if label.script else set()
    scripts = _WRITTEN_IN.get(label.language, _LATIN) | named
    return sum(letters.shares.get(script, 0.0) for script in scripts) >= SCRIPT_SHARE_FLOOR


def _is_mixed(guess: Guess, letters: Letters) -> bool:
    """Whether another language holds `MIXED_LANGUAGE_SHARE` by the detector, or two scripts `MIXED_SCRIPT_SHARE` each."""
    shares = [*letters.shares.values()]
    return guess.other_share >= MIXED_LANGUAGE_SHARE or (len(shares) > 1 and shares[1] >= MIXED_SCRIPT_SHARE)


def partition_of(language: str, partition_by: Literal["language", "none"], own: Collection[str] | None) -> str:
    """Milvus partition of a document language: `lang_<code>` of a language in `own`, `lang_und`, else `lang_other`.

    With `own` None every language has one. Without partitioning it is Milvus's own `_default`.
    """
    if partition_by == "none":
        return DEFAULT_PARTITION
    if own is not None and language != UNDETERMINED and language not in own:
        return OTHER_PARTITION
    return f"{_PARTITION_PREFIX}{language}"


def language_of(partition: str) -> str | None:
    """The language of a partition that `partition_of` names, `other` of that of all others; None of a partition that is of none."""
    return partition.removeprefix(_PARTITION_PREFIX) if partition.startswith(_PARTITION_PREFIX) else None


def commonest(languages: Mapping[str, int], count: int) -> tuple[str, ...]:
    """The `count` commonest of counted languages, ordered by code; `und` has a partition anyway. Of equals the first by code."""
    named = [language for language in languages if language != UNDETERMINED]
    return tuple(sorted(sorted(named, key=lambda language: (-languages[language], language))[:count]))
