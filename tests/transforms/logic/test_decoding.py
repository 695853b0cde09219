"""Bytes to text: marks and zero bytes are believed, a guess needs evidence, and what cannot be told is refused."""

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.formats.malformed import GERMAN, JAPANESE, RUSSIAN
from transforms.logic.decoding import (
    Decoded,
    UndecodableError,
    codec_of,
    decode,
    guess_encoding,
    marked_encoding,
    wide_encoding,
)

SPANISH = (
    "El volcán es una abertura en la corteza terrestre por la que salen lava, ceniza y gases. La erupción también "
    "expulsó rocas; según los científicos, la montaña creció más allá de lo que se esperaba. "
)
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\ufeff"), min_size=1)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(TEXTS, st.sampled_from(("utf-8", *WIDE)))
def test_a_mark_names_the_encoding(text: str, encoding: str) -> None:
    assert decode(f"\ufeff{text}".encode(encoding), "strict") == Decoded(text, encoding)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00\ufeff")))
def test_utf8_without_zero_bytes_is_utf8(text: str) -> None:
    assert decode(text.encode(), "detect") == Decoded(text, "utf-8")


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("text", ["two words", "größer, älter", "Привет, мир 1 и 2", "مرحبا بالعالم 1", "नमस्ते दुनिया 1"])
def test_wide_text_without_a_mark_is_told_by_its_zero_bytes(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), "strict") == Decoded(text, encoding)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00",
        b"a\x00",
        b"plain ASCII",
        b"abc\x00def\x00ghi\x00",
        b"ab\x00" * 10,
        b"\x00" * 100,
        bytes(range(256)) * 3,
        "größer".encode(),
        b'{"id": "x", "text": "a\x00b"}',
    ],
)
def test_stray_zero_bytes_tell_nothing(raw: bytes) -> None:
    assert wide_encoding(raw) is None


def test_the_longer_mark_is_taken_first() -> None:
    assert marked_encoding(codecs.BOM_UTF32_LE + b"a\x00\x00\x00") == ("utf-32-le", 4)
    assert marked_encoding(codecs.BOM_UTF16_LE + b"a\x00") == ("utf-16-le", 2)
    assert marked_encoding(b"text") is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (GERMAN, "windows-1252"),
        ("L'été à la mer, où les élèves étaient très fâchés d'être là, français et grèves. " * 2, "windows-1252"),
        (
            "Zażółć gęślą jaźń. Żółw błotny składa jaja w ziemi, a młode wylęgają się jesienią w gnieździe. " * 2,
            "windows-1250",
        ),
        (
            "Yağmur yağıyor, çocuklar dışarıda oynuyor. Güneş doğunca gökkuşağı görünür, kuşlar şarkı söyler. ",
            "windows-1254",
        ),
        (RUSSIAN, "windows-1251"),
        (RUSSIAN, "koi8-r"),
        ("Το ηφαίστειο είναι ένα άνοιγμα στον φλοιό της γης από όπου βγαίνει λάβα και τέφρα. " * 2, "windows-1253"),
        (JAPANESE * 6, "shift_jis"),
        (JAPANESE * 6, "euc-jp"),
        ("火山是地壳上的开口，岩浆、火山灰和气体从那里喷出地表。喷发的方式取决于岩浆的性质。" * 6, "gb18030"),
        (
            "화산은 땅속 깊은 곳의 마그마가 지표로 분출하여 생긴 지형이다. 분화의 모습은 마그마의 성질에 따라 다르다. "
            * 4,
            "euc-kr",
        ),
    ],
)
def test_legacy_encodings_are_told_with_evidence(text: str, name: str) -> None:
    assert decode(text.encode(codec_of(name)), "detect") == Decoded(text, name)
    with pytest.raises(UndecodableError, match="not UTF-8 at byte"):
        decode(text.encode(codec_of(name)), "strict")


@pytest.mark.parametrize(
    "raw",
    [
        b"caf\xe9",
        "größer".encode("latin-1"),
        b"\xff",
        b"\xed\xa0\x80",
        bytes(range(256)),
        RUSSIAN.encode() + b"\xff",
        RUSSIAN.encode() + GERMAN.encode("cp1252")[:40],
        RUSSIAN.encode()[:-3],
        SPANISH.encode() + b"\xe9 m\xe1s",
        JAPANESE.encode("cp932")[:60],
        b"\x00\x01" + RUSSIAN.encode("cp1251"),
    ],
)
def test_without_evidence_it_is_refused_where_utf8_fails(raw: bytes) -> None:
    with pytest.raises(UndecodableError, match=r"^not UTF-8 at byte \d+: ") as caught:
        decode(raw, "detect")
    assert "caf" not in str(caught.value)


def test_a_sample_that_the_whole_contradicts_is_no_encoding() -> None:
    # A first byte of two, and none behind it.
    raw = (JAPANESE.encode("cp932") + b"\n") * 1000 + b"\x81"
    assert guess_encoding(raw, 0) == "shift_jis"
    with pytest.raises(UndecodableError):
        decode(raw, "detect")


def test_a_sample_is_taken_where_the_foreign_bytes_are() -> None:
    text = "plain words\n" * 20_000 + (RUSSIAN + "\n") * 3
    assert decode(text.encode("cp1251"), "detect") == Decoded(text, "windows-1251")


def test_a_broken_mark_is_not_guessed_around() -> None:
    with pytest.raises(UndecodableError, match="not UTF-16-LE at byte"):
        decode("\ufeffwords".encode("utf-16-le")[:-1], "detect")


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_are_text_or_refused(raw: bytes) -> None:
    try:
        decoded = decode(raw, "detect")
    except UndecodableError:
        return
    marked = marked_encoding(raw)
    assert decoded.text == raw[marked[1] if marked else 0 :].decode(codec_of(decoded.encoding))
