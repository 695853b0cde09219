"""Chunks of any text in any script: exact, within the limits, complete, and cut where a reader would cut."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import regex
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.fakes import FakeTokenizer
from transforms.adapters.tokenizers import ModelTokenizer
from transforms.logic.chunking import Limits, Span, split_texts
from transforms.logic.graphemes import is_grapheme_boundary
from transforms.logic.normalise import normalise_text

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
THUMB = "\U0001f44d\U0001f3fd"
FLAG = "\U0001f1e9\U0001f1ea"
LIGATURE = "\ufdfa"  # one character that the model's normaliser turns into eighteen

LINES = """
    the quick brown fox. Jumps over! a lazy dog? Straße café naïve résumé Übermut «voilà» e.g. 3.14 $5,000
    Быстрая коричневая лиса прыгает. Объявление! ёлка подъезд
    الثعلب البني السريع يقفز. فوق الكلب؟ كَتَبَ الكسول،
    השועל החום המהיר קופץ. מעל הכלב? שָׁלוֹם
    तेज़ भूरी लोमड़ी कूदती है। क्षत्रिय ज्ञान हिन्दी।
    敏捷的棕色狐狸跳过了懒狗。 所有人生而自由！ 在尊严和权利上一律平等。他们赋有理性
    すばやい茶色の狐が跳んだ。 カタカナもある！ がぎぐ 日本語の文章です。「はい。」
    빠른 갈색 여우가 뛰었다. 대한민국 가각간
    มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน น้ำ กำลัง
    មនុស្សទាំងអស់កើតមកមានសេរីភាព។ លូតាំង៕ လူတိုင်းသည်တူညီလွတ်လပ်သော။ ဂုဏ်သိက္ခာ၊
    ሰው፡ሁሉ፡ነጻ። Բոլոր մարդիկ։ ყველა ადამიანი Όλοι οι άνθρωποι; คน།
"""
WORDS = (
    *LINES.split(),
    *(FAMILY, FLAG, THUMB, LIGATURE, "ﬁ", "½", "㎏", "\u200b", "\u200d", "\u00ad", "\ufffd", "©️", "1️⃣", "𠮷野家", "𝒳"),
    *(
        "̈",
        "e\u0301\u0327",
        "q" + "\u0300\u0323" * 4,
        "\u0e33",
        "\u094d",
        "\u0600\u0661",
        "ᄀ",
        "각ᆨ",
        "\u200e",
        "\u2060",
    ),
)
SPACES = (
    " ",
    " ",
    " ",
    " ",
    "",
    "",
    "  ",
    "\n",
    "\n\n",
    "\r\n",
    "\r\n\r\n",
    "\t",
    "\u00a0",
    "\u3000",
    "\u2028",
    "\r",
    " \u0308",
)
HARD = (
    *(
        FLAG * 90,
        "\U0001f1e9" * 151,
        FAMILY * 20,
        "a\u200d" * 80,
        "\u0301" * 150,
        ("a" + "\u0301\u0316" * 20) * 6,
        "x" * 400,
    ),
    *("所有人生而自由在尊严和权利上一律平等" * 12, "มนุษย์ทั้งหลายเกิดมามีอิสระ" * 10, "មនុស្សទាំងអស់កើតមក" * 10),
    *("လူတိုင်းသည်တူညီ" * 12, "\n" * 60, "\r\n" * 40, " \n\n \t\n" * 15, " " * 200, "." * 300, LIGATURE * 30, THUMB * 60),
    *("a" + "\u0301" * 140, "क्" * 60, "ㅋ" * 150, "ᄀ" * 150, "https://example.org/" + "a1B2-" * 60, "\u3000" * 40),
)


def join(pieces: Sequence[tuple[str, str]]) -> str:
    return normalise_text("".join(word + space for word, space in pieces))


PIECES = st.tuples(st.sampled_from(WORDS), st.sampled_from(SPACES))
HARD_PIECES = st.tuples(st.sampled_from((*HARD, *WORDS)), st.sampled_from(SPACES))
TEXTS = st.one_of(
    st.lists(PIECES, min_size=1, max_size=120).map(join),
    st.lists(HARD_PIECES, min_size=1, max_size=12).map(join),
    st.text(max_size=300).map(normalise_text),
)
MAX_BYTES = st.sampled_from((200, 333, 65_535))
ALONE = st.builds(Limits, st.sampled_from((32, 33, 48)), st.just(0), MAX_BYTES)
OVERLAPPING = st.builds(Limits, st.sampled_from((32, 48)), st.integers(1, 8), MAX_BYTES)
SETTINGS = settings(
    deadline=None,
    derandomize=True,
    max_examples=400,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)


class TrigramTokenizer:
    """Every three characters are a token, white space or not, so that ids depend on where a text begins."""

    splits_at_whitespace = False

    unknown_id: int | None = None

    def tokenise(self, texts: Sequence[str]) -> list[bytes]:
        pieces = ([text[start : start + 3] for start in range(0, len(text), 3)] for text in texts)
        return [np.array([hash_of(piece) for piece in of_text], np.int32).tobytes() for of_text in pieces]


def hash_of(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:3], "big")


Tokenizer = ModelTokenizer | FakeTokenizer | TrigramTokenizer


@pytest.fixture(scope="module")
def model_tokenizer(offline_model: Path) -> ModelTokenizer:
    return ModelTokenizer(str(offline_model))


@pytest.fixture(scope="module", params=["model", "words", "trigrams"])
def tokenizer(request: pytest.FixtureRequest, model_tokenizer: ModelTokenizer) -> Tokenizer:
    kinds: dict[str, Tokenizer] = {"model": model_tokenizer, "words": FakeTokenizer(), "trigrams": TrigramTokenizer()}
    return kinds[request.param]


def split(text: str, tokenizer: Tokenizer, limits: Limits) -> list[Span]:
    (spans,) = split_texts([text], tokenizer.tokenise, limits, splits_at_whitespace=tokenizer.splits_at_whitespace)
    return spans


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    found: list[int] = np.frombuffer(tokenizer.tokenise([text])[0], np.int32).tolist()
    return found


def clusters(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in regex.finditer(r"\X", text)]


def uncovered(text: str, spans: Sequence[Span]) -> Iterator[str]:
    """The runs of characters that no span holds."""
    place = 0
    for span in spans:
        yield text[place : span.start]
        place = max(place, span.end)
    yield text[place:]


def check(text: str, spans: Sequence[Span], tokenizer: Tokenizer, limits: Limits) -> None:
    """What holds for the spans of every text, whatever the tokenizer and the limits."""
    assert [span.token_ids for span in spans] == tokenizer.tokenise([text[span.start : span.end] for span in spans])
    assert all(span.token_ids for span in spans)
    whole = clusters(text)
    boundaries = {0, *(end for _, end in whole)}
    for span in spans:
        assert 0 <= span.start < span.end <= len(text)
        chunk = text[span.start : span.end]
        if len(chunk) > 1:  # one character is never cut, whatever it costs
            assert span.tokens <= limits.max_tokens
            assert len(chunk.encode()) <= limits.max_bytes
        inside = clusters(chunk)
        assert chunk[slice(*inside[0])].strip()  # not white space, unless a mark makes it visible
        assert chunk[slice(*inside[-1])].strip()
        for cut in {span.start, span.end} - boundaries:
            (cluster,) = (text[start:end] for start, end in whole if start < cut < end)
            assert len(cluster.encode()) > limits.max_bytes or len(ids_of(tokenizer, cluster)) > limits.max_tokens
    for before, after in pairwise(spans):
        assert before.start < after.start
        assert before.end < after.end
        assert limits.overlap_tokens or before.end <= after.start
    for lost in uncovered(text, spans):
        assert not lost.strip() or not ids_of(tokenizer, lost)


@SETTINGS
@given(text=TEXTS, limits=ALONE)
def test_chunks_are_exact_bounded_complete_and_cut_between_graphemes(
    text: str, limits: Limits, tokenizer: Tokenizer
) -> None:
    check(text, split(text, tokenizer, limits), tokenizer, limits)


@SETTINGS
@given(text=TEXTS, limits=OVERLAPPING)
def test_overlapping_chunks_keep_all_that_and_share_at_most_the_overlap(
    text: str, limits: Limits, tokenizer: Tokenizer
) -> None:
    spans = split(text, tokenizer, limits)

    check(text, spans, tokenizer, limits)
    for before, after in pairwise(spans):
        assert len(ids_of(tokenizer, text[after.start : before.end])) <= limits.overlap_tokens


@SETTINGS
@given(texts=st.lists(TEXTS, max_size=4), limits=OVERLAPPING)
def test_a_text_is_split_the_same_alone_and_among_others(
    texts: list[str], limits: Limits, model_tokenizer: ModelTokenizer
) -> None:
    together = split_texts(texts, model_tokenizer.tokenise, limits, splits_at_whitespace=True)

    assert together == [split(text, model_tokenizer, limits) for text in texts]


@SETTINGS
@given(text=TEXTS)
def test_grapheme_boundaries_are_those_of_the_whole_text(text: str) -> None:
    found = {place for place in range(len(text) + 1) if is_grapheme_boundary(text, place)}

    assert found == {0, *(end for _, end in clusters(text))}


def test_a_text_within_the_limits_is_one_chunk(model_tokenizer: ModelTokenizer) -> None:
    text = "  Erster Satz. Zweiter Satz.\n\nAbsatz.\u00a0"

    (span,) = split(text, model_tokenizer, Limits(32))

    assert (span.start, span.end) == (2, len(text) - 1)


@pytest.mark.parametrize("text", ["", " \n\t ", "\u00a0\u3000", "\u200b\u200b"])
def test_a_text_without_tokens_has_no_chunk(text: str, model_tokenizer: ModelTokenizer) -> None:
    assert split(text, model_tokenizer, Limits(32)) == []


def test_a_mark_keeps_the_space_that_carries_it(model_tokenizer: ModelTokenizer) -> None:
    text = "a \u0308"

    assert [text[span.start : span.end] for span in split(text, model_tokenizer, Limits(32))] == [text]
    assert [(span.start, span.end) for span in split(" \u0308a ", model_tokenizer, Limits(32))] == [(0, 3)]


def test_a_cluster_within_the_limits_is_not_cut_to_spare_its_neighbour(model_tokenizer: ModelTokenizer) -> None:
    cluster = "e" + "\u0316" * 80
    text = cluster + "abcdefghij" * 5

    spans = split(text, model_tokenizer, Limits(512, max_bytes=200))

    assert [text[span.start : span.end] for span in spans] == [cluster, "abcdefghij" * 5]


def test_a_cluster_of_exactly_the_limit_is_a_chunk(model_tokenizer: ModelTokenizer) -> None:
    cluster = THUMB
    while len(ids_of(model_tokenizer, cluster)) < 32:
        cluster += "\u200d" + THUMB
    limit = len(ids_of(model_tokenizer, cluster))

    first = split(cluster + " word" * 40, model_tokenizer, Limits(limit))[0]

    assert (first.start, first.end) == (0, len(cluster))


def test_flags_are_not_torn_however_long_their_row(model_tokenizer: ModelTokenizer) -> None:
    text = "x" + FLAG * 500

    spans = split(text, model_tokenizer, Limits(32))

    assert "".join(text[span.start : span.end] for span in spans) == text
    assert all((span.start - 1) % 2 == 0 for span in spans[1:])


@pytest.mark.timeout(30)  # each took minutes when a rule looked back to the start of the text
@pytest.mark.parametrize(
    "unit", [".", ".)", "\U0001f1e9", " \u0308", "\u0301", "ᄀ", "\n", "x", "\U0001f468\u200d", "所有人"]
)
def test_splitting_takes_linear_time(unit: str, model_tokenizer: ModelTokenizer) -> None:
    text = unit * (60_000 // len(unit))

    spans = split(text, model_tokenizer, Limits(64, 16, 400))

    assert not spans or spans[-1].end == len(text.rstrip("\n"))


@pytest.mark.timeout(30)  # each took minutes when a rule tried every character of a line, or every block for each chunk
@pytest.mark.parametrize("text", ["x" * 300_000 + "\nx", "```\nx\n```\n" * 80_000])
def test_splitting_markdown_takes_linear_time(text: str) -> None:
    (spans,) = split_texts([text], FakeTokenizer().tokenise, Limits(64), splits_at_whitespace=True, markdown=[True])

    assert spans[-1].end == len(text.rstrip())


@pytest.mark.parametrize(
    ("phrase", "terminator", "joint"),
    [
        pytest.param("the quick brown fox jumps over the lazy dog", ". ", " ", id="en"),
        pytest.param("быстрая лиса прыгает через собаку", "! ", " ", id="ru"),
        pytest.param("빠른 갈색 여우가 개를 뛰어넘는다", ". ", " ", id="ko"),
        pytest.param("所有人生而自由在尊严和权利上平等", "。", "", id="zh"),
        pytest.param("すべての人間は生まれながらにして自由", "。", "", id="ja"),
        pytest.param("すべての人間は生まれながらにして自由", "！」", "", id="ja-quote"),
        pytest.param("มนุษย์ทั้งหลายเกิดมามีอิสระ", " ", "", id="th"),
        pytest.param("सभी मनुष्यों को गौरव और अधिकार", "। ", " ", id="hi"),
        pytest.param("সমস্ত মানুষ স্বাধীনভাবে সমান", "। ", " ", id="bn"),
        pytest.param("يولد جميع الناس أحرارا متساوين", "؟ ", " ", id="ar"),
        pytest.param("تمام انسان آزاد اور برابر پیدا", "۔ ", " ", id="ur"),
        pytest.param("የሰው ልጅ ሁሉ ሲወለድ ነጻ", "። ", " ", id="am"),
        pytest.param("բոլոր մարդիկ ծնվում են ազատ", "։ ", " ", id="hy"),
        pytest.param("មនុស្សទាំងអស់កើតមកមានសេរីភាព", "។", "", id="km"),
        pytest.param("လူတိုင်းသည်တူညီလွတ်လပ်", "။", "", id="my"),
    ],
)
def test_a_chunk_ends_at_the_sentence_end_of_its_script(
    phrase: str, terminator: str, joint: str, model_tokenizer: ModelTokenizer
) -> None:
    sentence, rest = phrase, phrase
    while len(ids_of(model_tokenizer, sentence)) < 18:
        sentence += joint + phrase
    while len(ids_of(model_tokenizer, rest)) < 50:
        rest += joint + phrase
    assert len(ids_of(model_tokenizer, sentence)) < 30

    first = split(sentence + terminator + rest, model_tokenizer, Limits(32))[0]
    without = split(sentence + joint + rest, model_tokenizer, Limits(32))[0]

    assert first.end == len((sentence + terminator).rstrip())
    assert without.end > len(sentence)


@pytest.mark.parametrize(
    ("strong", "weak"),
    [("\n\n", "\n"), ("\r\n \r\n", ". "), ("\n", ". "), (". ", " "), ("。", " "), (" ", "")],
    ids=[
        "paragraph over line",
        "paragraph over sentence",
        "line over sentence",
        "sentence over word",
        "。",
        "word over grapheme",
    ],
)
def test_the_stronger_boundary_wins_over_a_later_weaker_one(strong: str, weak: str) -> None:
    # Longer than a heading, where there are words.
    joint, word = ("", "#") if weak == "" else (" ", "words")
    text = joint.join([*[word] * 20, word + strong, *[word] * 5, word + weak, *[word] * 40])

    first = split(text, FakeTokenizer(), Limits(32))[0]

    assert text[: first.end] == joint.join([*[word] * 20, word + strong]).rstrip()


def test_a_boundary_in_the_first_half_does_not_make_a_small_chunk() -> None:
    text = "w " * 8 + "\n\n" + "w " * 60

    assert split(text, FakeTokenizer(), Limits(32))[0].tokens == 32


def test_an_overlap_begins_with_a_sentence_else_with_a_word() -> None:
    words = [f"w{number}" for number in range(80)]
    plain = " ".join(words)
    sentences = " ".join(word + "." * (number == 27) for number, word in enumerate(words))
    limits = Limits(32, 8)

    by_word = split(plain, FakeTokenizer(), limits)
    # The sentence that ends after w27 is cut there; a stronger end two words on leaves it within the overlap.
    by_sentence = split(sentences.replace("w29 ", "w29\n"), FakeTokenizer(), limits)

    assert plain[by_word[1].start :].startswith("w24 ")
    assert sentences[by_sentence[1].start :].startswith("w28 ")


_IN_ANOTHER_PROCESS = """
import json, sys
from transforms.adapters.tokenizers import ModelTokenizer
from transforms.logic.chunking import Limits, split_texts
from transforms.logic.rows import chunk_rows, with_row_keys

tokenizer = ModelTokenizer(sys.argv[1])
texts = json.load(sys.stdin)
spans = split_texts(texts, tokenizer.tokenise, Limits(32, 8, 200), splits_at_whitespace=tokenizer.splits_at_whitespace)
parent = dict(document_id="d", language="en", script="Latn", language_score=0.9, source="s", date="", metadata="{}", partition="p")
parent["position"], parent["document_key"] = 0, None
rows = [row for text, of in zip(texts, spans) for row in with_row_keys(chunk_rows({**parent, "text": text}, of, "space"))]
print([tuple(sorted({**row, "token_ids": row["token_ids"].tolist()}.items())) for row in rows])
"""


def test_processes_with_other_hash_seeds_make_the_same_chunks_ids_and_keys(offline_model: Path) -> None:
    texts = [normalise_text(" ".join(WORDS)), normalise_text("\n".join(HARD))]

    printed = [
        subprocess.run(
            [sys.executable, "-c", _IN_ANOTHER_PROCESS, str(offline_model)],
            input=json.dumps(texts),
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1")
    ]

    assert printed[0] == printed[1]
    assert printed[0].count("row_key") > 100


# --- structure, minimum size ---


def texts_of(text: str, limits: Limits, *, markdown: bool = False) -> list[str]:
    (spans,) = split_texts([text], FakeTokenizer().tokenise, limits, splits_at_whitespace=True, markdown=[markdown])
    return [text[span.start : span.end] for span in spans]


def test_a_heading_goes_with_the_text_below_it() -> None:
    text = "\n\n".join(["word " * 20, "Second part", "word " * 20])

    assert [chunk.split("\n")[0].strip() for chunk in texts_of(text, Limits(32))] == [
        ("word " * 20).strip(),
        "Second part",
    ]


def test_code_is_kept_whole_where_it_fits_and_cut_at_its_lines_where_not() -> None:
    small = "```\n" + "x y\n" * 8 + "```"
    large = "```\n" + "x y\n" * 40 + "```"

    fitting = texts_of("word " * 20 + "\n\n" + small + "\n\n" + "word " * 8, Limits(32), markdown=True)
    cut = texts_of(large, Limits(32), markdown=True)

    assert fitting[1].startswith(small)
    assert len(cut) > 2
    assert all(chunk.endswith(("y", "```")) and chunk.startswith(("x", "```")) for chunk in cut)


def test_a_table_is_kept_whole_where_it_fits() -> None:
    table = "| a | b |\n|---|---|\n| c | d |"

    assert any(
        table in chunk for chunk in texts_of("word " * 25 + "\n\n" + table + "\n\nend", Limits(48), markdown=True)
    )
    assert not any(table in chunk for chunk in texts_of("word " * 25 + "\n" + table + " end", Limits(40)))


@SETTINGS
@given(
    words=st.lists(st.sampled_from(["the ", "fox ", "fox\n", "end\n\n", "Fox "]), min_size=33, max_size=150),
    min_tokens=st.integers(0, 16),
)
def test_no_chunk_is_smaller_than_the_minimum(words: list[str], min_tokens: int) -> None:
    text = "".join(words)
    limits = Limits(32, min_tokens=min_tokens)
    spans = split(text, FakeTokenizer(), limits)

    check(text, spans, FakeTokenizer(), limits)
    assert min(span.tokens for span in spans) >= min_tokens


@SETTINGS
@given(text=TEXTS, limits=ALONE)
def test_markdown_is_cut_with_the_same_guarantees(text: str, limits: Limits, model_tokenizer: ModelTokenizer) -> None:
    marked = text.replace(".", "\n\n# ").replace("!", "\n```\n").replace("?", "\n| a |\n| b |\n")

    (spans,) = split_texts([marked], model_tokenizer.tokenise, limits, splits_at_whitespace=True, markdown=[True])

    check(marked, spans, model_tokenizer, limits)
