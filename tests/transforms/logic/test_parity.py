"""What a language costs against English."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.labels import COMMON, fold
from transforms.logic.parity import CHARACTERS_PER_ENGLISH_CHARACTER, premium

POSITIVE = st.floats(0.01, 10)

MEASURED = {
    "zh": (0.657, 0.844),
    "de": (0.206, 1.113),
    "id": (0.186, 1.054),
    "hi": (0.251, 1.240),
    "th": (0.263, 1.108),
    "ko": (0.504, 1.078),
    "yo": (0.642, 3.583),
    "my": (0.308, 2.109),
    "te": (0.393, 1.977),
}
"""Tokens per character of whole declarations under the XLM-R tokenizer, and their tokens over the 2,204 of the English one, which has
0.2072 tokens per character: counted directly, without the table."""


@pytest.mark.parametrize("language", MEASURED)
def test_the_formula_gives_the_ratio_of_tokens_of_parallel_texts(language: str) -> None:
    tokens_per_character, ratio_of_tokens = MEASURED[language]
    assert premium(language, tokens_per_character, 0.2072) == pytest.approx(ratio_of_tokens, rel=0.04)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.sampled_from(sorted(CHARACTERS_PER_ENGLISH_CHARACTER)), POSITIVE, POSITIVE, st.floats(0.1, 10))
def test_a_premium_grows_with_the_tokens_and_falls_with_those_of_english(
    language: str, own: float, english: float, factor: float
) -> None:
    found = premium(language, own, english)
    assert found is not None
    assert premium(language, own * factor, english) == pytest.approx(found * factor)
    assert premium(language, own, english * factor) == pytest.approx(found / factor)


@settings(deadline=None, derandomize=True, max_examples=20)
@given(POSITIVE)
def test_english_is_one(tokens_per_character: float) -> None:
    assert premium("en", tokens_per_character, tokens_per_character) == 1.0


@pytest.mark.parametrize(
    ("language", "own", "english"),
    [("de", 0.2, None), ("de", None, 0.2), ("de", 0.2, 0.0), ("und", 0.2, 0.2), ("tlh", 0.2, 0.2)],
)
def test_what_is_not_known_is_none(language: str, own: float | None, english: float | None) -> None:
    assert premium(language, own, english) is None


def test_the_table_names_languages_as_the_run_does_and_holds_plausible_ratios() -> None:
    assert len(CHARACTERS_PER_ENGLISH_CHARACTER) >= 160
    assert all(fold(language) == language for language in CHARACTERS_PER_ENGLISH_CHARACTER)
    assert all(0.2 < ratio < 2 for ratio in CHARACTERS_PER_ENGLISH_CHARACTER.values())
    assert set(COMMON) <= set(CHARACTERS_PER_ENGLISH_CHARACTER)
