"""Languages folded, vetoed by script, and spread over partitions that Milvus can name."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.languages import (
    Guess,
    Identified,
    decide,
    fold,
    partition_of,
    sample_for_detection,
    script_shares,
)

MILVUS_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


@pytest.mark.parametrize(
    ("label", "language"),
    [
        *[
            ("de", "de"),
            ("DE", "de"),
            ("de-AT", "de"),
            ("iw", "he"),
            ("jw", "jv"),
            ("in", "id"),
            ("zh-Hant", "zh"),
            ("zh_Hans_CN", "zh"),
        ],
        *[
            ("cmn", "zh"),
            ("yue", "zh"),
            ("nb", "no"),
            ("nn", "no"),
            ("sr_Latn", "sh"),
            ("hr", "sh"),
            ("bs", "sh"),
            ("arz_Arab", "ar"),
        ],
        *[("tl", "fil"), ("mo", "ro"), ("ji", "yi"), ("heb", "he"), ("ckb", "ckb")],
        *[("un", "und"), ("xxx", "und"), ("xx-Thai", "und"), ("und", "und"), ("", "und"), ("-", "und"), ("e", "und")],
        *[("english", "und"), ("e1", "und"), ("日本", "und"), ("éé", "und"), ("de ", "und"), ("de;drop", "und")],
    ],
)
def test_labels_are_folded(label: str, language: str) -> None:
    assert fold(label) == language


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.one_of(st.text(max_size=6), st.text("abcdeéİß日-_1", max_size=6)), st.sets(st.sampled_from(("de", "en"))))
def test_every_label_gives_a_partition_that_milvus_can_name(label: str, allowed: set[str]) -> None:
    language = fold(label)

    assert fold(language) == language
    assert MILVUS_NAME.fullmatch(partition_of(language, "language", allowed))


@pytest.mark.parametrize(
    ("language", "allowed", "partition"),
    [
        ("de", (), "lang_de"),
        ("de", ("de", "en"), "lang_de"),
        ("fr", ("de", "en"), "lang_other"),
        ("und", (), "lang_und"),
        ("und", ("de",), "lang_und"),
    ],
)
def test_a_language_outside_the_allow_list_shares_a_partition(
    language: str, allowed: tuple[str, ...], partition: str
) -> None:
    assert partition_of(language, "language", allowed) == partition
    assert partition_of(language, "none", allowed) == "_default"


@pytest.mark.parametrize(
    ("text", "guess", "language", "script"),
    [
        pytest.param("Guten Tag, schöne Welt", Guess("de", 0.9), "de", "Latn", id="a guess that fits stands"),
        pytest.param("Guten Tag, schöne Welt", Guess("de", 0.4), "und", "Latn", id="a weak guess falls"),
        pytest.param("Guten Tag, schöne Welt", Guess("ru", 0.99), "und", "Latn", id="script veto"),
        pytest.param(
            "Съешь ещё этих мягких булок", Guess("en", 0.99), "und", "Cyrl", id="veto without a sole language"
        ),
        pytest.param("ยินดีต้อนรับสู่ประเทศไทย", Guess("en", 0.99), "th", "Thai", id="a script of one language decides"),
        pytest.param("안녕하세요 세계", Guess("un", 0.0), "ko", "Hang", id="decides where the detector has nothing"),
        pytest.param("これは日本語の文章です", Guess("zh", 0.99), "ja", "Jpan", id="kana makes Japanese"),
        pytest.param("所有人生而自由", Guess("zh", 0.99), "zh", "Hani", id="Han alone is Chinese if guessed so"),
        pytest.param("所有人生而自由", Guess("ko", 0.99), "ko", "Hani", id="Korean may be written in Han"),
        pytest.param("所有人生而自由", Guess("un", 0.99), "und", "Hani", id="Han alone does not decide"),
        pytest.param("Добар дан", Guess("sr", 0.99), "sh", "Cyrl", id="one language in Cyrillic"),
        pytest.param("Dobar dan", Guess("sr", 0.99), "sh", "Latn", id="and in Latin"),
        pytest.param("123 ... !?", Guess("en", 1.0), "und", "Zyyy", id="no letters"),
        pytest.param("", Guess("en", 1.0), "und", "Zyyy", id="nothing"),
        pytest.param(
            "Это русский текст with some English", Guess("en", 0.8), "en", "Cyrl", id="a fifth of the letters is enough"
        ),
        pytest.param("ไทย English words more than", Guess("ja", 0.9), "und", "Latn", id="too few letters to decide"),
    ],
)
def test_decisions(text: str, guess: Guess, language: str, script: str) -> None:
    decided = decide(guess, script_shares(text))

    assert (decided.language, decided.script) == (language, script)


def test_a_decision_carries_the_score_of_who_decided() -> None:
    assert decide(Guess("de", 0.75), {"Latn": 1.0}) == Identified("de", 0.75, "Latn")
    assert decide(Guess("de", 0.75), {"Thai": 0.8, "Latn": 0.1}) == Identified("th", 0.8, "Thai")
    assert decide(Guess("de", 0.25), {"Latn": 1.0}) == Identified("und", 0.25, "Latn")


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.text())
def test_shares_are_ordered_and_never_above_the_whole(text: str) -> None:
    shares = [*script_shares(text).values()]

    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1 + 1e-9
    assert all(share > 0 for share in shares)


def test_shares_count_letters_and_marks_alone() -> None:
    assert script_shares("ab, 12 где!") == {"Cyrl": 0.6, "Latn": 0.4}
    assert script_shares("漢字かな") == {"Jpan": 1.0}
    assert script_shares("漢" * 99 + "の") == {"Hani": 0.99, "Hira": 0.01}


def test_the_sample_has_beginning_middle_and_end_without_addresses_and_numbers() -> None:
    text = "a" * 1000 + "x" * 2000 + "m" * 1000 + "x" * 2000 + "e" * 1000

    assert sample_for_detection(text) == "\n".join(("a" * 1000, "m" * 1000, "e" * 1000))
    assert sample_for_detection("see https://example.org/en or me@example.org, 2024").split() == ["see", "or"]
    assert sample_for_detection("x" * 3000) == "x" * 3000
