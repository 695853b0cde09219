"""From bytes to text: UTF-8 first, then marks and zero bytes that name a Unicode encoding, and a guess only where all else fails.

A guess is taken only with evidence. In many short texts several encodings give readable words, and a wrong one would be embedded
unnoticed, while a reject is counted. Candidates are the legacy encodings of the WHATWG Encoding Standard, ranked by charset-normalizer.
"""

import codecs
from dataclasses import dataclass
from typing import Literal

import regex
from charset_normalizer import CharsetMatch, from_bytes

UTF8 = "utf-8"
MIN_FOREIGN_BYTES = 8
"""Fewest bytes above 127 that a guess among the Latin encodings rests on."""
MIN_FOREIGN_BYTES_OTHER = 64
"""The same for encodings of other scripts, where such bytes are most of the text; four times as many if no language is recognised."""
_SAMPLE_BYTES = 64 << 10
_MAX_DISORDER = 0.1
_NEAR = 0.03
_MIN_COHERENCE = 0.3
_MAX_INTRUDERS = 0.05

_MARKS = (
    (codecs.BOM_UTF8, UTF8),
    # Before UTF-16, whose mark is the first half of this one.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Python's codec, the name that is recorded. Latin encodings in order of use: between equals the first is taken.
_LATIN = {
    "cp1252": "windows-1252",
    "cp1254": "windows-1254",
    "cp1250": "windows-1250",
    "cp1257": "windows-1257",
    "cp1258": "windows-1258",
    "iso8859_2": "iso-8859-2",
}
_CANDIDATES = {
    **_LATIN,
    "cp1251": "windows-1251",
    "cp932": "shift_jis",
    "euc_jp": "euc-jp",
    "iso2022_jp": "iso-2022-jp",
    "gb18030": "gb18030",
    "big5hkscs": "big5",
    "cp949": "euc-kr",
    "cp874": "windows-874",
    "cp1253": "windows-1253",
    "cp1255": "windows-1255",
    "cp1256": "windows-1256",
    "koi8_r": "koi8-r",
    "koi8_u": "koi8-u",
    "cp866": "ibm866",
}
_CODECS = {name: codec for codec, name in _CANDIDATES.items()}
# Signs inside words: Polish read as windows-1252 gives `k³adka`. The apostrophe, the middle dot and dashes do stand there.
_INTRUDER = regex.compile(r"(?V1)(?<=\p{Latin})[^\p{ASCII}\p{L}\p{M}\p{Nd}\p{Pd}\p{Cf}\s’·](?=\p{Latin})")
# Turkish read as windows-1252: Icelandic letters, but none of the vowels that Icelandic cannot do without.
_ICELANDIC = regex.compile("[ðþý]", regex.IGNORECASE)
_ICELANDIC_VOWELS = regex.compile("[áæíóú]", regex.IGNORECASE)
_NO_TEXT = regex.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MULTIBYTE = regex.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_FOREIGN = bytes(range(0x80, 0x100))

Policy = Literal["detect", "strict"]


@dataclass(frozen=True)
class Decoded:
    """Text, and the name of the encoding that it was read by, in lower case as the WHATWG Encoding Standard has it."""

    text: str
    encoding: str


class UndecodableError(Exception):
    """Bytes that are text in no encoding that can be told; the message says where UTF-8 failed, and quotes nothing."""


def marked_encoding(head: bytes) -> tuple[str, int] | None:
    """The encoding that a byte order mark names, and the bytes of the mark; None without one."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    return None


def wide_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, told by where its zero bytes lie; None for anything else.

    White space and digits are ASCII in every script, so some code units have zero bytes on one side only, and two zero bytes
    hardly ever make a unit. A stray NUL, or text of Han characters alone, tells nothing.
    """
    whole = head[: len(head) // 4 * 4]
    if len(whole) < 4 or b"\x00" not in whole:  # noqa: PLR2004
        return None
    units = len(whole) // 4
    zeros = [whole[offset::4].count(0) / units for offset in range(4)]
    if min(zeros[2:]) > 0.9 and zeros[0] < 0.1:  # noqa: PLR2004
        return "utf-32-le"
    if min(zeros[:2]) > 0.9 and zeros[3] < 0.1:  # noqa: PLR2004
        return "utf-32-be"
    even, odd = (zeros[0] + zeros[2]) / 2, (zeros[1] + zeros[3]) / 2
    if odd > 0.1 and even < odd / 20 and _is_text(whole, "utf-16-le"):  # noqa: PLR2004
        return "utf-16-le"
    if even > 0.1 and odd < even / 20 and _is_text(whole, "utf-16-be"):  # noqa: PLR2004
        return "utf-16-be"
    return None


def _is_text(whole: bytes, encoding: str) -> bool:
    # The head may end inside a surrogate pair.
    text = whole.decode(encoding, "replace")
    if text.count("\ufffd") > 1 or "\x00" in text:
        return False
    if not whole.isascii():
        return True
    # ASCII with a NUL here and there: as UTF-16 it would be of many scripts at once, real text has one beside its spaces.
    high = whole[1::2] if encoding == "utf-16-le" else whole[::2]
    counts = sorted((high.count(byte) for byte in set(high) - {0}), reverse=True)
    return high.count(0) + sum(counts[:1]) >= len(high) * 0.8


def decode(raw: bytes, policy: Policy) -> Decoded:
    """The text of a whole file or record, without a byte order mark.

    Raises:
        UndecodableError: it is not UTF-8, no mark or zero bytes name another encoding, and the policy is `strict`, or a guess would
            rest on too little.
    """
    marked = marked_encoding(raw)
    encoding, skipped = marked or (wide_encoding(raw[:_SAMPLE_BYTES]) or UTF8, 0)
    try:
        return Decoded(raw[skipped:].decode(encoding), encoding)
    except UnicodeDecodeError as error:
        failure = error
    if marked is None and encoding == UTF8 and policy == "detect":
        guessed = guess_encoding(raw, failure.start)
        if guessed is not None:
            try:
                return Decoded(raw.decode(_CODECS[guessed]), guessed)
            except UnicodeDecodeError:
                # The sample was sound, the whole is not: no encoding explains it.
                pass
    message = f"not {encoding.upper()} at byte {failure.start + skipped}: {failure.reason}"
    if policy == "detect" and encoding == UTF8:
        message += "; no other encoding could be told with confidence: convert it to UTF-8"
    raise UndecodableError(message)


def guess_encoding(raw: bytes, foreign_at: int = 0) -> str | None:
    """The legacy encoding of bytes that are not UTF-8, by the name it is recorded by; None if the evidence is thin.

    Args:
        raw: the bytes; of long ones a sample of 64 KiB is looked at.
        foreign_at: offset of the first byte that is not UTF-8; the sample is taken there.
    """
    sample = _sample(raw, foreign_at)
    foreign = len(sample) - len(sample.translate(None, _FOREIGN))
    if foreign < MIN_FOREIGN_BYTES or _NO_TEXT.search(sample) or _is_damaged_utf8(sample, foreign):
        return None
    matches = from_bytes(sample, cp_isolation=list(_CANDIDATES), enable_fallback=False)
    sound = [match for match in matches if _intruders(match) <= foreign * _MAX_INTRUDERS]
    chosen = _choose(sound)
    if chosen is None:
        return None
    encoding, coherence = chosen
    enough = MIN_FOREIGN_BYTES if encoding in _LATIN else MIN_FOREIGN_BYTES_OTHER
    if coherence < _MIN_COHERENCE:
        enough = 4 * MIN_FOREIGN_BYTES_OTHER
    return _CANDIDATES[encoding] if foreign >= enough else None


def codec_of(encoding: str) -> str:
    """Python's codec for a recorded name."""
    return _CODECS.get(encoding, encoding)


def _sample(raw: bytes, foreign_at: int) -> bytes:
    """A part of long bytes that begins and ends at line ends, which no multi-byte encoding here uses within a character."""
    if len(raw) <= _SAMPLE_BYTES:
        return raw
    start = max(0, raw.rfind(b"\n", 0, foreign_at) + 1)
    if foreign_at - start > _SAMPLE_BYTES // 2:
        start = foreign_at
    stop = raw.rfind(b"\n", start + 1, start + _SAMPLE_BYTES)
    return raw[start : stop if stop > foreign_at else start + _SAMPLE_BYTES]


def _is_damaged_utf8(sample: bytes, foreign: int) -> bool:
    """Whether most bytes above 127 are sound UTF-8: other encodings hardly ever look like that."""
    return sum(len(sequence) for sequence in _MULTIBYTE.findall(sample)) * 2 > foreign


def _intruders(match: CharsetMatch) -> int:
    text = str(match)
    found = sum(1 for _ in _INTRUDER.finditer(text))
    if match.encoding == "cp1252" and not _ICELANDIC_VOWELS.search(text):
        found += sum(1 for _ in _ICELANDIC.finditer(text))
    return found


def _choose(matches: list[CharsetMatch]) -> tuple[str, float] | None:
    """The best match's codec and coherence, or None if equally good ones of different scripts give different text."""
    disorder = min((match.chaos for match in matches), default=1.0)
    if disorder > _MAX_DISORDER:
        return None
    orderly = [match for match in matches if match.chaos <= disorder + _NEAR]
    coherence = max(match.coherence for match in orderly)
    near = [match for match in orderly if match.coherence >= coherence - _NEAR]
    # A match stands for every encoding that gives the same text.
    codecs_of_near = {codec for match in near for codec in match.could_be_from_charset}
    if len(near) > 1 and not all(match.encoding in _LATIN for match in near):
        return None
    return next(codec for codec in _CANDIDATES if codec in codecs_of_near), coherence
