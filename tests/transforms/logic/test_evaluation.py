"""Measures put together, their differences, and the bias towards a language."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.evaluation import (
    ALL_LANGUAGES,
    FULL_PRECISION,
    Evaluated,
    Pool,
    Ranking,
    below_floors,
    bootstrap,
    grades_of,
    language_bias,
    measure_names,
    pools,
)
from transforms.logic.questions import Question

LANGUAGES = {"r-de": "de", "r-en": "en", "r-th": "th", "n-de": "de", "n-en": "en", "n-th": "th"}
DOCUMENTS = {"de": 2, "en": 2, "th": 2}
QUESTION = Question("Frage", "de", {"r-de": 2, "r-en": 1, "r-th": 1, "n-th": 0})


def _measures(value: float) -> dict[str, float]:
    return dict.fromkeys(measure_names(10), value)


def _ranking(*documents: str, languages: Mapping[str, str] = LANGUAGES) -> Ranking:
    return Ranking(documents, tuple(languages[name] for name in documents))


def test_a_question_is_asked_in_each_language_of_its_answers_and_in_all() -> None:
    other = Question("question", "en", {"r-de": 1})
    assert pools([QUESTION, other], LANGUAGES) == [
        (0, "de"),
        (0, "en"),
        (0, "th"),
        (0, ALL_LANGUAGES),
        (1, "de"),
        (1, ALL_LANGUAGES),
    ]
    assert grades_of((0, "th"), [QUESTION], LANGUAGES) == {"r-th": 1, "n-th": 0}
    assert grades_of((0, ALL_LANGUAGES), [QUESTION], LANGUAGES) == QUESTION.answers


def test_a_ranking_leaves_out_the_document_that_asks() -> None:
    found = [("a", "de"), ("b", "en"), ("c", "th")]
    assert Ranking.of(found, "a", 2) == Ranking(("b", "c"), ("en", "th"))
    assert Ranking.of(found, None, 2) == Ranking(("a", "b"), ("de", "en"))


def test_rows_hold_means_by_language_pair_and_representation() -> None:
    questions = [Question(str(number), language, {"x": 1}) for number, language in enumerate(("de", "de", "th"))]
    measures = {
        FULL_PRECISION: {(0, "en"): _measures(1), (1, "en"): _measures(0.5), (2, "en"): _measures(0)},
        "int8": {(0, "en"): _measures(0.5), (1, "en"): _measures(0.25), (2, "en"): _measures(0)},
    }
    among = {(number, ALL_LANGUAGES): _measures(0.125) for number in range(3)}
    found = Evaluated(questions, 10, {name: {**of_pool, **among} for name, of_pool in measures.items()})
    assert [
        (row["query_language"], row["answer_language"], row["representation"], row["queries"], row["top_1"])
        for row in found.results()
    ] == [
        ("de", "en", FULL_PRECISION, 2, 0.75),
        ("de", "en", "int8", 2, 0.375),
        ("th", "en", FULL_PRECISION, 1, 0),
        ("th", "en", "int8", 1, 0),
    ]
    assert [(row["query_language"], row["queries"], row["mrr"]) for row in found.of_all_languages()] == [
        ("de", 2, 0.125),
        ("de", 2, 0.125),
        ("th", 1, 0.125),
        ("th", 1, 0.125),
    ]
    assert [(row["pool"], row["representation"], row["queries"], row["top_1"]) for row in found.overall()] == [
        ("answer language", FULL_PRECISION, 3, 0.5),
        ("answer language", "int8", 3, 0.25),
        ("all languages", FULL_PRECISION, 3, 0.125),
        ("all languages", "int8", 3, 0.125),
    ]
    overall, german, thai = found.differences()
    assert (overall["query_language"], overall["queries"], overall["top_1"]["difference"]) == (None, 3, -0.25)
    assert (german["query_language"], german["top_1"]["difference"]) == ("de", -0.375)
    assert overall["top_1"]["low"] < -0.25 < overall["top_1"]["high"]
    assert (thai["queries"], thai["top_1"]) == (1, {"difference": 0.0, "low": None, "high": None})
    assert below_floors(found.results(), "int8", {"top_1": 0.3, "mrr": 0}) == ["th to en: top_1 0.0000 is below 0.3"]
    assert below_floors(found.overall()[:2], "int8", {"mrr": 0.5}) == ["overall: mrr 0.2500 is below 0.5"]
    assert Evaluated(questions, 10, {"int8": measures["int8"]}).differences() == []


@settings(deadline=None, derandomize=True, max_examples=25)
@given(order=st.permutations(range(6)), seed=st.integers(0, 100))
def test_the_order_of_questions_changes_nothing(order: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    questions = [
        Question(str(number), "de" if number % 2 else "th", {"x": 1}, group=str(number)) for number in range(6)
    ]
    drawn = generator.integers(0, 4, (2, 6)) / 4

    def evaluated(chosen: Sequence[int]) -> Evaluated:
        measures: dict[str, dict[Pool, dict[str, float]]] = {
            name: {(place, "en"): _measures(float(row[number])) for place, number in enumerate(chosen)}
            for name, row in zip((FULL_PRECISION, "binary"), drawn, strict=True)
        }
        return Evaluated([questions[number] for number in chosen], 10, measures)

    first, second = evaluated(range(6)), evaluated(order)
    assert first.results() == second.results()
    assert first.differences() == second.differences()


def _interval(values: npt.NDArray[np.float64], groups: Sequence[str]) -> tuple[float, float]:
    (low,), (high,) = bootstrap(values[:, None], groups)
    assert low is not None
    assert high is not None
    return low, high


def test_an_interval_holds_the_mean_and_draws_whole_groups() -> None:
    values = np.array([0.0, 1.0] * 50)
    alone = _interval(values, [str(place) for place in range(100)])
    assert alone == pytest.approx((0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=0.02)
    # Ten groups, all of zeros or all of ones: as uncertain as ten values.
    together = _interval(np.repeat([0.0, 1.0] * 5, 10), [str(place // 10) for place in range(100)])
    assert together[1] - together[0] > 2.5 * (alone[1] - alone[0])
    assert _interval(np.full(5, 0.25), list("abcde")) == (0.25, 0.25)


def test_each_column_has_an_interval_of_its_own_and_one_group_has_none() -> None:
    values = np.random.default_rng(4).normal(size=(30, 3))
    groups = [str(place % 10) for place in range(30)]
    lows, highs = bootstrap(values, groups)
    assert list(zip(lows, highs, strict=True)) == [_interval(column, groups) for column in values.T]
    assert bootstrap(values[:2], ["a", "a"]) == ([None] * 3, [None] * 3)


# --- bias ---


def _bias(rankings: Sequence[Ranking], question: Question = QUESTION) -> dict[str, float]:
    rows = language_bias([question] * len(rankings), dict(enumerate(rankings)), LANGUAGES, DOCUMENTS)
    (row,) = rows
    assert (row["query_language"], row["queries"]) == ("de", len(rankings))
    return row


def test_a_ranking_sorted_by_language_has_the_greatest_bias() -> None:
    own, others = ("r-de", "n-de"), ("r-en", "n-en")
    assert _bias([_ranking(*own)])["bias"] == 1
    assert _bias([_ranking(*own, *others)])["share"] == 0.5
    assert _bias([_ranking(*own, *others)])["bias"] == 1
    assert _bias([_ranking(*others)])["bias"] < 0


def test_rankings_blind_to_languages_have_none() -> None:
    """Every order that puts answers and other documents at the same places, once."""
    relevant, rest = ("r-de", "r-en", "r-th"), ("n-de", "n-en", "n-th")
    for is_answer in itertools.product((True, False), repeat=3):
        rankings = []
        for answers in itertools.permutations(relevant):
            for others in itertools.permutations(rest):
                right, wrong = iter(answers), iter(others)
                rankings.append(_ranking(*(next(right if one else wrong) for one in is_answer)))
        assert _bias(rankings)["bias"] == pytest.approx(0, abs=1e-9)


def test_the_document_that_asks_does_not_count() -> None:
    """All three answers at the top, in other languages, are no bias although no own document is among them."""
    question = Question("Frage", "de", {"r-en": 1, "r-th": 1}, itself="r-de")
    found = _bias([_ranking("r-en", "r-th")], question)
    assert (found["share"], found["expected_share"], found["bias"]) == (0, 0, 0)
    # One of the others of the remaining five, of which three are no answers and one is German.
    found = _bias([_ranking("r-en", "r-th", "n-en")], question)
    assert found["expected_share"] == pytest.approx(1 / 9, abs=1e-4)


def test_a_collection_without_a_choice_has_no_bias() -> None:
    documents = {"r-de": "de", "n-de": "de"}
    ranking = _ranking("r-de", "n-de", languages=documents)
    (row,) = language_bias([Question("q", "de", {"r-de": 1})], {0: ranking}, documents, {"de": 2})
    assert (row["share"], row["expected_share"], row["bias"]) == (1, 1, None)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(ranked=st.permutations(sorted(LANGUAGES)), k=st.integers(1, 6), names=st.permutations(["de", "en", "th"]))
def test_relabelling_documents_and_languages_changes_nothing(ranked: list[str], k: int, names: list[str]) -> None:
    renamed = dict(zip(("de", "en", "th"), names, strict=True))
    languages = {f"x{name}": renamed[language] for name, language in LANGUAGES.items()}
    documents = {renamed[language]: count for language, count in DOCUMENTS.items()}
    question = Question("q", renamed["de"], {f"x{name}": grade for name, grade in QUESTION.answers.items()})
    (before,) = language_bias([QUESTION], {0: _ranking(*ranked[:k])}, LANGUAGES, DOCUMENTS)
    ranking = _ranking(*(f"x{name}" for name in ranked[:k]), languages=languages)
    (after,) = language_bias([question], {0: ranking}, languages, documents)
    assert {**after, "query_language": "de"} == before
    assert before["bias"] is None or before["bias"] <= 1
