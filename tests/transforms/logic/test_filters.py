"""Conditions and the expressions that say them: whatever a value holds, it stays a value."""

import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from milvus_lite.schema.types import CollectionSchema, DataType, FieldSchema
from milvus_lite.search.filter import compile_filter, evaluate

from tests.hostile import hostile_values, read_literal
from transforms.logic.errors import ConfigurationError
from transforms.logic.filters import Condition, Dialect, between_dates, expression, parse_condition, quoted

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LITE = CollectionSchema(
    [FieldSchema("id", DataType.VARCHAR, is_primary=True, max_length=8), FieldSchema("text", DataType.VARCHAR)]
)


def lite_finds(filter_text: str, values: list[str]) -> list[int]:
    """Rows of such texts that the filter of Milvus Lite finds, by its own parser and evaluation."""
    table = pa.table({"id": [str(number) for number in range(len(values))], "text": values})
    mask = evaluate(compile_filter(filter_text, LITE), table)
    return [number for number, one in enumerate(mask.to_pylist()) if one]


@given(TEXT)
def test_a_server_reads_a_literal_as_the_text_that_it_stands_for(text: str) -> None:
    assert read_literal(quoted(text)) == text


def test_ten_thousand_hostile_values_stay_values_in_literals_of_a_server() -> None:
    values = hostile_values(10_000, seed=1)
    assert [read_literal(quoted(value)) for value in values] == values


def test_ten_thousand_hostile_values_stay_values_for_milvus_lite() -> None:
    values = hostile_values(10_000, seed=2)
    others = ["", "harmless", '"', "\\"]
    for value in values:
        asked = expression([Condition("text", "==", value)], "literals")
        texts = [*others, value]
        assert lite_finds(asked.text, texts) == [number for number, text in enumerate(texts) if text == value]


def test_hostile_values_travel_beside_an_expression_where_the_server_has_templates() -> None:
    for value in hostile_values(1000, seed=3):
        asked = expression([Condition("text", "==", value), Condition("source", "in", (value, "x"))], "templates")
        assert asked.text == "text == {v0} and source in {v1}"
        assert asked.parameters == {"v0": value, "v1": [value, "x"]}


def test_a_hostile_key_is_refused_and_any_other_stays_a_key() -> None:
    refused = 0
    for key in hostile_values(2000, seed=4):
        if re.search(r"""["'\\\[\]\x00-\x1f\x7f]""", key):
            with pytest.raises(ConfigurationError, match="a key of metadata that is searched by has no quotes"):
                Condition(("metadata", key), "<", 1)
            refused += 1
        else:
            assert expression([Condition(("metadata", key), "<", 1)], "literals").text == f'metadata["{key}"] < 1'
    assert 500 < refused < 1900


@pytest.mark.parametrize(
    ("conditions", "dialect", "text"),
    [
        ([], "literals", ""),
        ([Condition("language", "in", ("de", "th"))], "literals", 'language in ["de", "th"]'),
        (
            [Condition("tokens", ">=", 5), Condition("tokens", "<", -7)],
            "literals",
            "tokens >= 5 and tokens < -7",
        ),
        ([Condition("metadata.year", "==", 2020)], "literals", 'metadata["year"] == 2020'),
        ([Condition("metadata.a.b", "==", value=True)], "literals", 'metadata["a"]["b"] == true'),
        ([Condition(("metadata", "a.b"), ">", 1.5)], "literals", 'metadata["a.b"] > 1.5'),
        (
            [Condition("metadata.x", "in", ("a", 1)), Condition("label", "==", "b")],
            "literals",
            '(metadata["x"] == "a" or metadata["x"] == 1) and label == "b"',
        ),
        (
            [Condition("metadata.x", "in", ("a", 1))],
            "templates",
            r'(metadata["x"] == {v0} or metadata["x"] == {v1})',
        ),
        ([Condition("text", "==", 'a\\"\n\r')], "literals", r'text == "a\\\"\n\r"'),
    ],
)
def test_what_is_said_to_a_server(conditions: list[Condition], dialect: Dialect, text: str) -> None:
    assert expression(conditions, dialect).text == text


def test_a_number_is_compared_as_the_field_holds_it() -> None:
    assert expression([Condition("label_score", ">=", 0.7)], "literals").text == "label_score >= 0.699999988079071"


@pytest.mark.parametrize(
    ("field", "operator", "value", "said"),
    [
        ("year", "==", 1, "'year' is no field to search by; choose metadata.KEY, or one of id, document_id"),
        ("metadata", "==", "x", "'metadata' is no field"),
        ("text.x", "==", "x", "'text.x' is no field"),
        ("text", "!=", "x", "'!=' is no operator"),
        ("text", "==", 1, "text holds text, not 1"),
        ("tokens", "==", "1", "tokens holds integers, not '1'"),
        ("tokens", "==", True, "tokens holds integers, not True"),
        ("tokens", "==", 1.5, "tokens holds integers, not 1.5"),
        ("label_score", "==", 0.5, "rounded to 32 bits; compare it by >= and <"),
        ("text", "in", "x", "several values go with in"),
        ("text", "==", ("x",), "several values go with in"),
        ("metadata.x", "==", float("nan"), "nan is no number"),
        ("metadata.x", "==", float("inf"), "inf is no number"),
        ("metadata.x", "==", 1 << 63, "does not fit 64 bits"),
        ("metadata.x", "==", "\ud800", "a lone surrogate"),
        (("metadata", "\ud800"), "==", "x", "a lone surrogate"),
        ("metadata.", "==", "x", "unlike ''"),
    ],
)
def test_what_cannot_be_asked_is_refused(field: Any, operator: Any, value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        Condition(field, operator, value)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("metadata.year>=2020", Condition("metadata.year", ">=", 2020)),
        (" metadata.year >= 2020.5 ", Condition("metadata.year", ">=", 2020.5)),
        ("metadata.topic=rivers", Condition("metadata.topic", "==", "rivers")),
        ("metadata.topic==a=b<c", Condition("metadata.topic", "==", "a=b<c")),
        ('metadata.topic="2020"', Condition("metadata.topic", "==", "2020")),
        ("metadata.open=true", Condition("metadata.open", "==", value=True)),
        ('metadata.topic=["a, b", 1]', Condition("metadata.topic", "in", ("a, b", 1))),
        ("metadata.topic=null", Condition("metadata.topic", "==", "null")),
        ("metadata.topic=[]", Condition("metadata.topic", "==", "[]")),
        ("metadata.topic=", Condition("metadata.topic", "==", "")),
        ("document_id=7", Condition("document_id", "==", "7")),
        ('document_id="7"', Condition("document_id", "==", "7")),
        ("tokens<100", Condition("tokens", "<", 100)),
        ('source=a" or id != "', Condition("source", "==", 'a" or id != "')),
    ],
)
def test_a_condition_of_the_command_line(text: str, condition: Condition) -> None:
    assert parse_condition(text) == condition


@pytest.mark.parametrize("text", ["", "year", ">=3", "metadata.year>=[1,2]"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_condition(text)


def _dated(date_from: str | None, date_to: str | None, dates: list[str]) -> list[str]:
    found = dates
    for one in between_dates(date_from, date_to):
        value = str(one.value)
        found = [date for date in found if (date >= value if one.operator == ">=" else date < value)]
    return found


def test_dates_are_taken_from_the_first_up_to_the_last() -> None:
    dates = ["", "2025", "2026-01-31", "2026-02-01", "2026-02-01T08:00:00Z", "2026-03-01", "2027", "unknown", "März"]
    assert _dated("2026-02", "2026-03", dates) == ["2026-02-01", "2026-02-01T08:00:00Z"]
    assert _dated("2026-02-01", None, dates) == ["2026-02-01", "2026-02-01T08:00:00Z", "2026-03-01", "2027"]
    assert _dated(None, "2026-02-01", dates) == ["2025", "2026-01-31"]
    assert _dated(None, None, dates) == dates


@pytest.mark.parametrize(("date_from", "date_to"), [("yesterday", None), ("2026-02-30", None), ("2026", "2025")])
def test_what_is_no_stretch_of_time_is_refused(date_from: str | None, date_to: str | None) -> None:
    with pytest.raises(ConfigurationError, match="--date-"):
        between_dates(date_from, date_to)
