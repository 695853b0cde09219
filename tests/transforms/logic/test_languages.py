"""Languages decided by guess and script, for documents and chunks, and spread over partitions that Milvus can name."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.labels import fold
from transforms.logic.languages import (
    CHUNK_LETTERS_FLOOR,
    NO_GUESS,
    Guess,
    Identified,
    chunk_sample,
    commonest,
    decide,
    decide_chunk,
    document_sample,
    language_of,
    partition_of,
)
from transforms.logic.scripts import Letters, count_letters

MILVUS_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
LATIN = Letters(100, {"Latn": 1.0})
PARENT = Identified("de", 0.9, "Latn")
SCORES = st.floats(0, 1)


def _letters(text: str) -> Letters:
    return count_letters([text])[0]


@pytest.mark.parametrize(
    ("text", "guess", "language", "script"),
    [
        pytest.param("Guten Tag, schöne Welt", Guess("de", 0.9), "de", "Latn", id="a guess that fits stands"),
        pytest.param("Guten Tag, schöne Welt", Guess("de", 0.4), "und", "Latn", id="a weak guess falls"),
        pytest.param("Guten Tag, schöne Welt", Guess("ru", 0.99), "und", "Latn", id="script veto"),
        pytest.param("Съешь ещё этих булок", Guess("en", 0.99), "und", "Cyrl", id="veto without a sole language"),
        pytest.param("ยินดีต้อนรับสู่ประเทศไทย", Guess("en", 0.99), "th", "Thai", id="a script of one language decides"),
        pytest.param("안녕하세요 세계", Guess("un", 0.0), "ko", "Hang", id="decides where the detector has nothing"),
        pytest.param("これは日本語の文章です", Guess("zh", 0.99), "ja", "Jpan", id="kana makes Japanese"),
        pytest.param("所有人生而自由", Guess("zh", 0.99), "zh", "Hani", id="Han alone is Chinese if guessed so"),
        pytest.param("所有人生而自由", Guess("zh-Hans", 0.99), "zh", "Hans", id="the detector refines the script"),
        pytest.param("Guten Tag", Guess("zh-Hant", 0.99), "und", "Latn", id="a named script that is not there"),
        pytest.param("मैं ठीक हूँ", Guess("hi-Latn", 0.99), "hi", "Deva", id="a named script does not replace the usual"),
        pytest.param("main theek hoon", Guess("hi-Latn", 0.99), "hi", "Latn", id="a named script is one more"),
        pytest.param("main theek hoon", Guess("hi", 0.99), "und", "Latn", id="and without it there is a veto"),
        pytest.param("所有人生而自由", Guess("ko", 0.99), "ko", "Hani", id="Korean may be written in Han"),
        pytest.param("所有人生而自由", Guess("un", 0.99), "und", "Hani", id="Han alone does not decide"),
        pytest.param("Добар дан", Guess("sr", 0.99), "sh", "Cyrl", id="one language in Cyrillic"),
        pytest.param("Dobar dan", Guess("sr", 0.99), "sh", "Latn", id="and in Latin"),
        pytest.param("123 ... !?", Guess("en", 1.0), "und", "Zyyy", id="no letters"),
        pytest.param("", Guess("en", 1.0), "und", "Zyyy", id="nothing"),
        pytest.param("Это русский текст with some English", Guess("en", 0.8), "en", "Cyrl", id="a fifth is enough"),
        pytest.param("ไทย English words more than", Guess("ja", 0.9), "und", "Latn", id="too few letters to decide"),
    ],
)
def test_decisions(text: str, guess: Guess, language: str, script: str) -> None:
    decided = decide(guess, _letters(text))
    assert (decided.language, decided.script) == (language, script)


def test_a_decision_carries_the_score_of_who_decided() -> None:
    assert decide(Guess("de", 0.75), LATIN) == Identified("de", 0.75, "Latn")
    assert decide(Guess("de", 0.75), Letters(9, {"Thai": 0.8, "Latn": 0.1})) == Identified("th", 0.8, "Thai")
    assert decide(Guess("de", 0.25), LATIN) == Identified("und", 0.25, "Latn")


@settings(deadline=None, derandomize=True, max_examples=200)
@given(score=SCORES, floor=SCORES)
def test_nothing_below_the_floor_has_a_language(score: float, floor: float) -> None:
    for letters in (LATIN, Letters(50, {"Thai": 1.0}), Letters(50, {"Thai": 0.7, "Latn": 0.3})):
        decided = decide(Guess("de", score), letters, floor)
        assert decided.score == round(decided.score, 3)
        assert 0 <= decided.score <= 1
        assert decided.language == "und" or decided.score >= floor


@pytest.mark.parametrize(
    ("guess", "shares", "mixed"),
    [
        (Guess("ru", 0.6, 0.36), {"Cyrl": 0.63, "Latn": 0.37}, True),
        (Guess("de", 0.6, 0.2), {"Latn": 1.0}, True),
        (Guess("de", 0.8, 0.19), {"Latn": 1.0}, False),
        (Guess("hi", 0.9), {"Deva": 0.7, "Latn": 0.3}, True),
        (Guess("hi", 0.9), {"Deva": 0.71, "Latn": 0.29}, False),
        (NO_GUESS, {"Deva": 0.5, "Latn": 0.5}, True),
    ],
)
def test_a_good_share_of_another_language_or_script_makes_it_mixed(
    guess: Guess, shares: dict[str, float], *, mixed: bool
) -> None:
    assert decide(guess, Letters(100, shares)).mixed is mixed


@pytest.mark.parametrize(
    ("guess", "letters", "expected"),
    [
        pytest.param(Guess("fr", 0.9), LATIN, Identified("fr", 0.9, "Latn"), id="sure"),
        pytest.param(Guess("fr", 0.79), LATIN, PARENT, id="not sure"),
        pytest.param(Guess("fr", 1.0), Letters(CHUNK_LETTERS_FLOOR - 1, {"Latn": 1.0}), PARENT, id="short"),
        pytest.param(
            Guess("fr", 1.0), Letters(CHUNK_LETTERS_FLOOR, {"Latn": 1.0}), Identified("fr", 1.0, "Latn"), id="enough"
        ),
        pytest.param(Guess("ru", 1.0), LATIN, PARENT, id="script veto"),
        pytest.param(NO_GUESS, LATIN, PARENT, id="no guess"),
        pytest.param(
            NO_GUESS, Letters(200, {"Thai": 0.9, "Latn": 0.1}), Identified("th", 0.9, "Thai"), id="script decides"
        ),
        pytest.param(NO_GUESS, Letters(200, {"Thai": 0.7, "Latn": 0.3}), PARENT, id="script not sure"),
        pytest.param(Guess("en", 1.0), Letters(0, {}), PARENT, id="no letters"),
        pytest.param(Guess("en", 1.0, is_of_text=False), LATIN, PARENT, id="not of the text"),
    ],
)
def test_a_chunk_has_its_own_language_where_that_is_sure(guess: Guess, letters: Letters, expected: Identified) -> None:
    assert decide_chunk(guess, letters, PARENT) == expected


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.text(max_size=6) | st.text("abcdeéİß日-_1", max_size=6), st.none() | st.sets(st.sampled_from(("de", "en"))))
def test_every_label_gives_a_partition_that_milvus_can_name(label: str, own: set[str] | None) -> None:
    assert MILVUS_NAME.fullmatch(partition_of(fold(label), "language", own))


@pytest.mark.parametrize(
    ("language", "own", "partition"),
    [
        ("de", None, "lang_de"),
        ("de", ("de", "en"), "lang_de"),
        ("fr", ("de", "en"), "lang_other"),
        ("fr", (), "lang_other"),
        ("und", None, "lang_und"),
        ("und", ("de",), "lang_und"),
        ("und", (), "lang_und"),
    ],
)
def test_a_language_without_its_own_partition_shares_one(
    language: str, own: tuple[str, ...] | None, partition: str
) -> None:
    assert partition_of(language, "language", own) == partition
    assert partition_of(language, "none", own) == "_default"
    assert language_of(partition) == partition.removeprefix("lang_")
    assert language_of("_default") is None


def test_the_commonest_languages_are_taken_in_order_of_code() -> None:
    counts = {"th": 5, "und": 90, "de": 3, "fr": 3, "aa": 1}
    assert [commonest(counts, count) for count in (1, 2, 3, 9)] == [
        ("th",),
        ("de", "th"),
        ("de", "fr", "th"),
        ("aa", "de", "fr", "th"),
    ]
    assert commonest({}, 3) == ()


def test_samples_have_beginning_middle_and_end() -> None:
    text = "a" * 1000 + "x" * 2000 + "m" * 1000 + "x" * 2000 + "e" * 1000
    assert document_sample(text) == "\n".join(("a" * 1000, "m" * 1000, "e" * 1000))
    assert chunk_sample(text) == "\n".join(("a" * 200, "e" * 200))
    assert document_sample("x" * 3000) == "x" * 3000
    assert chunk_sample("x" * 400) == "x" * 400


def test_samples_have_no_addresses() -> None:
    for sample in (document_sample, chunk_sample):
        assert sample("see https://example.org/en or me.too@example.org, 2024").split() == ["see", "or", "2024"]
        assert sample("请看https://example.org/en谢谢，写信给me@example.org谢谢").split() == [
            "请看",
            "谢谢，写信给",
            "谢谢",
        ]
        assert sample("a @ b, c@ d") == "a @ b, c@ d"
