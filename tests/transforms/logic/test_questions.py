"""Questions: read, sampled, mined, and held against what a collection holds."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.errors import ConfigurationError
from transforms.logic.questions import (
    Key,
    Question,
    QuestionSample,
    answered,
    mine,
    mined_questions,
    number_of,
    read_question,
)


def _row(**changes: Any) -> dict[str, Any]:
    return {"query": "Wo?", "query_language": "deu", "answers": ["a"], **changes}


def test_the_ways_to_name_answers() -> None:
    given_rows = {
        "list": (_row(answers=["a", 7]), {"a": 1, "7": 1}, {}),
        "graded": (_row(answers=[{"id": "a", "grade": 3}, {"id": "b"}, {"id": "a", "grade": 0}]), {"a": 3, "b": 1}, {}),
        "one": (_row(answers=None, answer="a"), {"a": 1}, {}),
        "one graded": (_row(answers=None, answer="a", grade="2"), {"a": 2}, {}),
        "text": (_row(answers=None, answer_text=" Hier.\n", grade=None), {}, {"Hier.": 1}),
    }
    for name, (row, answers, texts) in given_rows.items():
        assert read_question(row, "line 1") == Question("Wo?", "de", answers, texts), name


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (_row(query=" \u200b"), "column query: a text that is not empty is needed, not ' \\u200b'"),
        (_row(query=None), "column query: a text that is not empty is needed, not None"),
        (_row(query=["x"]), "column query: a text"),
        (_row(query_language="germna"), "column query_language: 'germna' is no language code"),
        (_row(query_language=""), "column query_language: a text"),
        (_row(answers=None), "must say what answers the query; there is none"),
        (_row(answer="a"), "must say what answers the query; there is answers and answer"),
        (
            _row(answers=[]),
            "column answers: a list of at least one document id, or of objects with id and grade, is needed",
        ),
        (_row(answers="a"), "column answers: a list"),
        (_row(answers={"a": 1}), "column answers: a list"),
        (_row(answers=[None]), "column answers: a document id is needed, not None"),
        (_row(answers=[True]), "column answers: a document id is needed, not True"),
        (_row(answers=[{"grade": 1}]), "column answers, id: a document id is needed, not None"),
        (_row(answers=[{"id": "a", "grade": -1}]), "column answers, grade: a whole number from 0 (no answer) to 1000"),
        (_row(answers=[{"id": "a", "grade": 1.5}]), "column answers, grade: a whole number"),
        (_row(answers=None, answer="a", grade="many"), "column grade: a whole number"),
        (_row(answers=None, answer_text=["x"]), "column answer_text: a text"),
    ],
)
def test_a_row_that_is_wrong_is_refused_with_its_place(row: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_question(row, "file.jsonl, line 3")
    assert str(caught.value).startswith("file.jsonl, line 3")
    assert said in str(caught.value)


def test_rows_of_one_question_are_put_together() -> None:
    sample = QuestionSample(10)
    for answer, grade in (("a", 1), ("b", 2), ("a", 3)):
        sample.add(_row(answers=None, answer=answer, grade=grade), "line")
    sample.add(_row(answers=None, answer="c", query_language="en"), "line")
    found = {question.language: question.answers for question in sample.questions()}
    assert found == {"de": {"a": 3, "b": 2}, "en": {"c": 1}}
    assert (sample.rows, sample.is_cut) == (4, False)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(data=st.data(), most=st.integers(1, 12))
def test_a_sample_does_not_depend_on_the_order_of_rows(data: st.DataObject, most: int) -> None:
    rows = [_row(query=f"q{number}", answers=None, answer=f"a{part}") for number in range(20) for part in range(2)]
    samples = []
    for order in (rows, data.draw(st.permutations(rows))):
        sample = QuestionSample(most)
        for row in order:
            sample.add(row, "line")
        samples.append(sample)
    first, second = samples
    assert first.questions() == second.questions()
    assert len(first.questions()) == most
    assert all(set(question.answers) == {"a0", "a1"} for question in first.questions())
    assert first.is_cut
    every = QuestionSample(20)
    for row in rows:
        every.add(row, "line")
    assert not every.is_cut
    assert every.questions()[:most] == first.questions()


@pytest.mark.parametrize(
    ("pattern", "value", "key"),
    [
        (None, "x", "x"),
        (None, 7, "7"),
        (None, "", None),
        (None, None, None),
        ("/[a-z]+/(.*)$", "https://example.org/de/bread", "bread"),
        ("/[a-z]+/(.*)$", "nothing", None),
        (r"^(\w+)-(?:de|th)-(\d+)$", "a-de-7", "a\x007"),
        ("[0-9]+", "page 12 of 99", "12"),
        ("a|(b)", "a", ""),
    ],
)
def test_a_key_is_what_the_pattern_finds(pattern: str | None, value: Any, key: str | None) -> None:
    assert Key("metadata.url", pattern).of(value) == key


@pytest.mark.parametrize(
    ("column", "pattern", "said"),
    [
        ("text", None, "--key-column 'text': choose document_id, source or metadata.NAME"),
        ("metadata.", None, "--key-column 'metadata.': choose"),
        ("source", "(", "--key-pattern '(' is no regular expression"),
    ],
)
def test_a_key_that_is_none_is_refused(column: str, pattern: str | None, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Key(column, pattern)
    assert said in str(caught.value)


def test_documents_ask_whose_key_is_in_another_language_too() -> None:
    rows = [
        ("a-de", "a", 0),
        ("a-th", "a", 1),
        ("b-de", "b", 0),
        ("b-de-2", "b", 0),
        ("c-de", "c", 0),
        ("none", None, 1),
        ("none too", None, 0),
    ]
    documents = np.array([number_of(name) for name, _, _ in rows], np.uint64)
    keys = np.array([0 if key is None else number_of(key) for _, key, _ in rows], np.uint64)
    languages = np.array([code for _, _, code in rows], np.int32)
    found = mine(documents, keys, languages, 10)
    assert set(found.asking.tolist()) == {number_of("a-de"), number_of("a-th")}
    assert found.keys.tolist() == [number_of("a")]
    assert found.documents == 2
    one = mine(documents, keys, languages, 1)
    assert one.asking.tolist() == [min(number_of("a-de"), number_of("a-th"))]
    assert (one.documents, one.keys.tolist()) == (2, [number_of("a")])
    nothing = np.zeros(0, np.uint64)
    assert mine(nothing, nothing, languages[:0], 3).documents == 0


def test_mined_questions_are_answered_by_the_others_with_their_key() -> None:
    documents = {"a-de": ("de", "a"), "a-th": ("th", "a"), "a-de-2": ("de", "a"), "b": ("en", "b")}
    (question,) = mined_questions(documents, {"a-de": "Text"})
    assert question == Question("Text", "de", {"a-th": 1, "a-de-2": 1}, group="a", itself="a-de")


def test_what_the_collection_does_not_hold_is_named() -> None:
    questions = [
        Question("one", "de", {"a": 2, "gone": 1}),
        Question("two", "de", {"gone": 1}),
        Question("three", "de", {"b": 0}),
        Question("four", "th", {}, {"held": 3, "not held": 1}),
    ]
    kept, unknown, without = answered(questions, {"a": "en", "b": "en", "c": "th"}, {"held": ["c"]})
    assert kept == [Question("one", "de", {"a": 2}, group="a"), Question("four", "th", {"c": 3}, group="c")]
    assert unknown == ["gone", "not held"]
    assert without == 2


def test_questions_of_the_same_answers_are_a_group() -> None:
    """As translations of one question are, which rise and fall together."""
    questions = [
        Question("Where?", "en", {"a": 1, "b": 2}),
        Question("Wo?", "de", {"b": 1, "a": 3, "c": 0}),
        Question("When?", "en", {"a": 1}),
        Question("Mined", "en", {"a": 1}, group="key"),
    ]
    kept, _, _ = answered(questions, dict.fromkeys("abc", "en"), {})
    english, german, other, mined = [question.group for question in kept]
    assert english == german
    assert len({english, other, mined}) == 3
    assert mined == "key"
