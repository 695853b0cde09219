"""Chunks of any text in any script: exact, within the limits, complete, and cut where a reader would cut."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.fakes import FakeTokenizer
from transforms.adapters.tokenizers import ModelTokenizer
from transforms.logic.chunking import Encoding, Limits, Span, is_grapheme_boundary, split_texts
from transforms.logic.normalise import normalise_text

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
THUMB = "\U0001f44d\U0001f3fd"
FLAG = "\U0001f1e9\U0001f1ea"
LIGATURE = "\ufdfa"  # one character that the model's normaliser turns into eighteen

WORDS = (
    *"the quick brown fox. Jumps over! a lazy dog? Straße café naïve résumé Übermut «voilà» e.g. 3.14 $5,000".split(),
    *"Быстрая коричневая лиса прыгает. Объявление! ёлка подъезд".split(),
    *"الثعلب البني السريع يقفز. فوق الكلب؟ كَتَبَ الكسول،".split(),
    *"השועל החום המהיר קופץ. מעל הכלב? שָׁלוֹם".split(),
    *"तेज़ भूरी लोमड़ी कूदती है। क्षत्रिय ज्ञान हिन्दी।".split(),
    *"敏捷的棕色狐狸跳过了懒狗。 所有人生而自由！ 在尊严和权利上一律平等。他们赋有理性".split(),
    *"すばやい茶色の狐が跳んだ。 カタカナもある！ がぎぐ 日本語の文章です。「はい。」".split(),
    *"빠른 갈색 여우가 뛰었다. 대한민국 가각간".split(),
    *"มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน น้ำ กำลัง".split(),
    *"មនុស្សទាំងអស់កើតមកមានសេរីភាព។ លូតាំង៕ လူတိုင်းသည်တူညီလွတ်လပ်သော။ ဂုဏ်သိက္ခာ၊".split(),
    *"ሰው፡ሁሉ፡ነጻ። Բոլոր մարդիկ։ ყველა ადამიანი Όλοι οι άνθρωποι; คน།".split(),
    *(FAMILY, FLAG, THUMB, LIGATURE, "ﬁ", "½", "㎏", "\u200b", "\u200d", "\u00ad", "\ufffd", "©️", "1️⃣", "𠮷野家", "𝒳"),
    *("̈", "e\u0301\u0327", "q" + "\u0300\u0323" * 4, "\u0e33", "\u094d", "\u0600\u0661", "ᄀ", "각ᆨ", "\u200e", "\u2060"),
)
SPACES = (" ", " ", " ", " ", "", "", "  ", "\n", "\n\n", "\r\n", "\r\n\r\n", "\t", "\u00a0", "\u3000", "\u2028", "\r", " \u0308")
HARD = (
    *(FLAG * 90, "\U0001f1e9" * 151, FAMILY * 20, "a\u200d" * 80, "\u0301" * 150, ("a" + "\u0301\u0316" * 20) * 6, "x" * 400),
    *("所有人生而自由在尊严和权利上一律平等" * 12, "มนุษย์ทั้งหลายเกิดมามีอิสระ" * 10, "មនុស្សទាំងអស់កើតមក" * 10),
    *("လူတိုင်းသည်တူညီ" * 12, "\n" * 60, "\r\n" * 40, " \n\n \t\n" * 15, " " * 200, "." * 300, LIGATURE * 30, THUMB * 60),
    *("a" + "\u0301" * 140, "क्" * 60, "ㅋ" * 150, "ᄀ" * 150, "https://example.org/" + "a1B2-" * 60, "\u3000" * 40),
)


def join(pieces: Sequence[tuple[str, str]]) -> str:
    return normalise_text("".join(word + space for word, space in pieces))


pieces = st.tuples(st.sampled_from(WORDS), st.sampled_from(SPACES))
texts = st.one_of(
    st.lists(pieces, min_size=1, max_size=120).map(join),
    st.lists(
        st.tuples(st.one_of(st.sampled_from(HARD), st.sampled_from(WORDS)), st.sampled_from(SPACES)), min_size=1, max_size=12
    ).map(join),
    st.text(max_size=300).map(normalise_text),
)
limits_alone = st.builds(Limits, st.sampled_from((32, 33, 48)), st.just(0), st.sampled_from((200, 333, 65_535)))
limits_overlapping = st.builds(Limits, st.sampled_from((32, 48)), st.integers(1, 8), st.sampled_from((200, 65_535)))

QUICK = settings(
    deadline=None,
    derandomize=True,
    max_examples=250,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def tokenizer(offline_model: Path) -> ModelTokenizer:
    return ModelTokenizer(str(offline_model))


def split(text: str, tokenizer: ModelTokenizer | FakeTokenizer, limits: Limits) -> list[Span]:
    return split_texts([text], tokenizer.encode, limits, splits_at_whitespace=tokenizer.splits_at_whitespace)[0]


def grapheme_boundaries(text: str) -> set[int]:
    return {0, *(match.end() for match in regex.finditer(r"\X", text))}


def tokens_of(tokenizer: ModelTokenizer | FakeTokenizer, text: str) -> list[int]:
    return list(tokenizer.encode([text])[0].ids)


def check(text: str, spans: Sequence[Span], tokenizer: ModelTokenizer | FakeTokenizer, limits: Limits) -> None:
    boundaries = grapheme_boundaries(text)
    for span in spans:
        chunk = text[span.start : span.end]
        assert 0 <= span.start < span.end <= len(text)
        assert list(span.token_ids) == tokens_of(tokenizer, chunk)
        assert 0 < len(span.token_ids)
        if len(chunk) > 1:  # a single character is never cut, whatever it costs
            assert len(span.token_ids) <= limits.max_tokens
            assert len(chunk.encode()) <= limits.max_bytes
        assert chunk[0] not in "\n\r\t "  or not is_loose(text, span.start, span.end)
        assert not (chunk[-1].isspace() and span.end in boundaries and span.end - 1 in boundaries)
        for place in (span.start, span.end):
            assert place in boundaries or cluster_is_too_large(text, place, tokenizer, limits)
    for before, after in pairwise(spans):
        assert before.start < after.start
        assert before.end < after.end
        if not limits.overlap_tokens:
            assert before.end <= after.start
    covered = [False] * len(text)
    for span in spans:
        covered[span.start : span.end] = [True] * (span.end - span.start)
    rest = "".join("\n" if seen else character for character, seen in zip(text, covered, strict=True))
    for lost in rest.split("\n"):
        assert not lost.strip() or not tokens_of(tokenizer, lost)


def is_loose(text: str, place: int, end: int) -> bool:
    """Whether the white space at `place` carries no mark, so that it is not part of what can be seen."""
    return len(regex.match(r"\X", text, pos=place, endpos=end)[0].strip()) == 0


def cluster_is_too_large(text: str, place: int, tokenizer: ModelTokenizer | FakeTokenizer, limits: Limits) -> bool:
    cluster = next(match[0] for match in regex.finditer(r"\X", text) if match.end() > place)
    return len(cluster.encode()) > limits.max_bytes or len(tokens_of(tokenizer, cluster)) > limits.max_tokens


@QUICK
@given(text=texts, limits=limits_alone)
def test_chunks_are_exact_bounded_complete_and_whole(text: str, limits: Limits, tokenizer: ModelTokenizer) -> None:
    check(text, split(text, tokenizer, limits), tokenizer, limits)


@QUICK
@given(text=texts, limits=limits_overlapping)
def test_overlapping_chunks(text: str, limits: Limits, tokenizer: ModelTokenizer) -> None:
    spans = split(text, tokenizer, limits)
    check(text, spans, tokenizer, limits)
    for before, after in pairwise(spans):
        shared = [s for s, _ in tokenizer.encode([text])[0].offsets if after.start <= s < before.end]
        assert len(shared) <= limits.overlap_tokens


@QUICK
@given(text=texts, limits=limits_alone)
def test_fake(text: str, limits: Limits) -> None:
    t = FakeTokenizer()
    check(text, split(text, t, limits), t, limits)


@QUICK
@given(text=texts, limits=limits_overlapping)
def test_fake_overlap(text: str, limits: Limits) -> None:
    t = FakeTokenizer()
    check(text, split(text, t, limits), t, limits)
