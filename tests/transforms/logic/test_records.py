"""One raw record: a document, or a reject that says why and where; never an exception."""

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.identity import digest
from transforms.logic.records import Columns, Place, Reading, parse_record, reject, value_of
from transforms.logic.schemas import RECORDS, REJECTS, Reason, batch_of

PLACE = Place("corpus.jsonl", 1024, "byte")
GOOD = {"id": "de-1", "text": "Grüße"}


def parse(values: Any, columns: Columns | None = None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    return parse_record(values, Reading(columns or Columns(), 100), PLACE)


def document_of(values: Any, columns: Columns | None = None) -> dict[str, Any]:
    document, rejected = parse(values, columns)
    assert rejected is None
    assert document is not None
    return document


def metadata_of(**values: Any) -> Any:
    return json.loads(document_of({**GOOD, **values})["metadata"])


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_record_becomes_a_document() -> None:
    values = {"id": 7, "text": "e\u0301\x00", "lang": "fr", "date": date(2024, 2, 29), "title": "T", "url": None}

    assert document_of(values, Columns(language="lang")) == {
        "document_id": "7",
        "text": "é",
        "declared_language": "fr",
        "source": "corpus.jsonl",
        "position": 1024,
        "date": "2024-02-29",
        "metadata": '{"title": "T"}',
    }


@pytest.mark.parametrize(
    ("values", "reason", "document_id"),
    [
        pytest.param(["id", "text"], Reason.WRONG_TYPE, None, id="a list"),
        pytest.param("text", Reason.WRONG_TYPE, None, id="text"),
        pytest.param(None, Reason.WRONG_TYPE, None, id="null"),
        pytest.param({"text": "x"}, Reason.MISSING_ID, None, id="no id"),
        pytest.param({**GOOD, "id": None}, Reason.MISSING_ID, None, id="null id"),
        pytest.param({**GOOD, "id": ""}, Reason.MISSING_ID, None, id="empty id"),
        pytest.param({**GOOD, "id": "\x00\x01"}, Reason.MISSING_ID, None, id="id of controls"),
        pytest.param({**GOOD, "id": True}, Reason.WRONG_TYPE, None, id="bool id"),
        pytest.param({**GOOD, "id": 1.5}, Reason.WRONG_TYPE, None, id="float id"),
        pytest.param({**GOOD, "id": ["a"]}, Reason.WRONG_TYPE, None, id="list id"),
        pytest.param({**GOOD, "id": b"a"}, Reason.WRONG_TYPE, None, id="bytes id"),
        pytest.param({**GOOD, "id": "é" * 513}, Reason.TOO_LARGE, None, id="long id"),
        pytest.param({**GOOD, "id": 10**20_000}, Reason.TOO_LARGE, None, id="huge integer id"),
        pytest.param({"id": "a"}, Reason.MISSING_COLUMN, "a", id="no text"),
        pytest.param({"id": "a", "text": None}, Reason.EMPTY_TEXT, "a", id="null text"),
        pytest.param({"id": "a", "text": ""}, Reason.EMPTY_TEXT, "a", id="empty text"),
        pytest.param({"id": "a", "text": " \n\u200b\u00a0"}, Reason.EMPTY_TEXT, "a", id="blank text"),
        pytest.param({"id": "a", "text": "\x00\x1b\x7f"}, Reason.EMPTY_TEXT, "a", id="text of controls"),
        pytest.param({"id": "a", "text": 5}, Reason.WRONG_TYPE, "a", id="number as text"),
        pytest.param({"id": "a", "text": b"x"}, Reason.WRONG_TYPE, "a", id="bytes as text"),
        pytest.param({"id": "a", "text": {"de": "x"}}, Reason.WRONG_TYPE, "a", id="object as text"),
        pytest.param({"id": "a", "text": "ü" * 51}, Reason.TOO_LARGE, "a", id="large text"),
        pytest.param({**GOOD, "m": "x" * 60_000}, Reason.TOO_LARGE, "de-1", id="large metadata"),
        pytest.param({**GOOD, "m": nested(900)}, Reason.TOO_LARGE, "de-1", id="deep metadata"),
    ],
)
def test_a_bad_record_is_a_reject_with_its_reason_and_place(
    values: Any, reason: Reason, document_id: str | None
) -> None:
    document, rejected = parse(values)

    assert document is None
    assert rejected is not None
    assert (rejected["reason"], rejected["document_id"]) == (reason.value, document_id)
    assert (rejected["level"], rejected["stage"]) == ("record", "read")
    assert (rejected["source"], rejected["locator"]) == ("corpus.jsonl", "byte 1024")
    assert batch_of([rejected], REJECTS).num_rows == 1


def test_limits_are_inclusive() -> None:
    assert document_of({"id": "é" * 512, "text": "ü" * 50})["text"] == "ü" * 50
    assert document_of({**GOOD, "m": "x" * (60_000 - len('{"m": ""}'))})["metadata"].endswith('x"}')
    assert metadata_of(m=nested(63)) == {"m": nested(63)}
    assert parse({**GOOD, "m": nested(64)})[0] is None


def test_a_reject_of_a_file_keeps_digest_and_length_alone() -> None:
    rejected = reject("read", Reason.UNREADABLE_FILE, "a.parquet", "no footer", b"secret")

    assert (rejected["level"], rejected["source"], rejected["locator"]) == ("file", "a.parquet", "")
    assert (rejected["hash"], rejected["length_bytes"]) == (digest(b"secret").hex(), 6)
    assert "secret" not in repr(rejected)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (math.nan, None),
        ([math.inf, 1.5, -math.inf], [None, 1.5, None]),
        ({"a": {1: [True, None]}}, {"a": {"1": [True, None]}}),
        ((1, "x"), [1, "x"]),
        ("a\x85b\x00\ufeff", "a\nb"),
        ("\ud800", "\ufffd"),
        ({"k\udfff\x85": "v"}, {"k\ufffd\n": "v"}),
        ("\\u0000", "\\u0000"),
        (date(2024, 1, 2), "2024-01-02"),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02 00:00:00+00:00"),
        (Decimal("1.50"), "1.50"),
        ({"url": "http://a/ä".encode()}, {"url": "http://a/ä"}),
        ([b"\x89PNG"], ["iVBORw=="]),
        (2**64 - 1, 2**64 - 1),
        (-(2**63), -(2**63)),
        (2**64, "18446744073709551616"),
        ([10**5000], [hex(10**5000)]),
    ],
)
def test_hostile_metadata_is_stored_as_plain_json(value: Any, kept: Any) -> None:
    assert metadata_of(m=value) == {"m": kept}


VALUES = st.recursive(
    st.one_of(
        *(
            st.none(),
            st.booleans(),
            st.integers(),
            st.integers(-(10**700), 10**700),
            st.floats(),
            st.binary(max_size=4),
        ),
        *(st.text(st.characters(), max_size=8), st.dates(), st.datetimes(), st.decimals()),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(st.characters(), max_size=3), st.integers(), st.none()), inner, max_size=3),
    ),
    max_leaves=8,
)
RECORD = st.one_of(
    VALUES,
    st.dictionaries(st.sampled_from(("id", "text", "lang", "date", "m")), VALUES),
    st.dictionaries(st.one_of(st.text(st.characters(), max_size=3), st.integers(), st.none()), VALUES).map(
        lambda made: {**made, **GOOD}
    ),
)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(RECORD)
def test_any_value_is_a_document_or_a_reject_that_every_later_stage_takes(values: Any) -> None:
    document, rejected = parse(values, Columns(language="lang"))

    assert (document is None) != (rejected is None)
    if rejected is not None:
        assert batch_of([rejected], REJECTS).num_rows == 1
    if document is not None:
        assert batch_of([document], RECORDS).to_pylist() == [document]
        metadata = orjson.loads(document["metadata"])
        assert orjson.loads(orjson.dumps(metadata)) == metadata


def test_only_named_columns_are_kept_as_metadata() -> None:
    values = {**GOOD, "title": "T", "url": "u", "date": "2024", "lang": "de"}

    assert document_of(values, Columns(metadata=("url", "absent")))["metadata"] == '{"url": "u"}'
    assert document_of(values)["metadata"] == '{"lang": "de", "title": "T", "url": "u"}'
    assert document_of(values, Columns(language="lang"))["metadata"] == '{"title": "T", "url": "u"}'


def test_metadata_does_not_depend_on_the_order_of_columns() -> None:
    assert document_of({**GOOD, "b": 1, "a": 2})["metadata"] == document_of({"a": 2, "b": 1, **GOOD})["metadata"]


@pytest.mark.parametrize(
    ("value", "language"), [("de", "de"), ("", None), (None, None), (5, None), (["de"], None), ("\ud800", "\ufffd")]
)
def test_only_text_declares_a_language(value: Any, language: str | None) -> None:
    assert document_of({**GOOD, "lang": value}, Columns(language="lang"))["declared_language"] == language
    assert document_of({**GOOD, "lang": value})["declared_language"] is None


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("2024-01-02", "2024-01-02"),
        (datetime(2024, 1, 2, 3, tzinfo=UTC), "2024-01-02T03:00:00+00:00"),
        (None, ""),
        (20240102, ""),
        ("x" * 99, "x" * 64),
    ],
)
def test_dates_are_text(value: Any, stored: str) -> None:
    assert document_of({**GOOD, "date": value})["date"] == stored


def test_dotted_names_reach_into_objects_and_literal_names_win() -> None:
    nested_columns = Columns(id="meta.key", text="body.content", language="meta.lang", date="meta.when")
    values = {
        "meta": {"key": "k", "lang": "de", "when": "2026", "url": "u"},
        "body": {"content": "the text"},
        "other": 1,
    }
    document = document_of(values, nested_columns)
    assert (document["document_id"], document["text"]) == ("k", "the text")
    assert (document["declared_language"], document["date"]) == ("de", "2026")
    assert json.loads(document["metadata"]) == {"meta": {"url": "u"}, "other": 1}
    literal = document_of({**values, "meta.key": "literal"}, nested_columns)
    assert literal["document_id"] == "literal"


@pytest.mark.parametrize(
    ("values", "name", "value"),
    [
        ({"a": {"b": {"c": 1}}}, "a.b.c", 1),
        ({"a.b": {"c": 1}}, "a.b.c", 1),
        ({"a": {"b.c": 1}}, "a.b.c", 1),
        ({"a": {"b": 2}, "a.b": {"c": 1}}, "a.b.c", 1),
        ({"a": {"b": 2}}, "a.b.c", None),
        ({"a": [1]}, "a.0", None),
        ({"a": None}, "a.b", None),
        ({"a": {"b": None}}, "a.b", None),
        ({".": 1}, ".", 1),
        ({}, "..", None),
    ],
)
def test_paths_are_tried_from_the_longest_name_that_exists(values: dict[str, Any], name: str, value: Any) -> None:
    assert value_of(values, name) == value


def test_chosen_metadata_may_be_nested() -> None:
    values = {**GOOD, "m": {"url": "u", "more": 1}}
    assert document_of(values, Columns(metadata=("m.url", "m.gone")))["metadata"] == '{"m.url": "u"}'


def test_records_without_an_id_are_named_by_their_place() -> None:
    reading = Reading(Columns(), 100, id_from="place")
    for values in ({"text": "x"}, {"id": None, "text": "x"}, {"id": "", "text": "x"}):
        document, _ = parse_record(values, reading, PLACE)
        assert document is not None
        assert document["document_id"] == "corpus.jsonl#1024"
    document, _ = parse_record(GOOD, reading, PLACE)
    assert document is not None
    assert document["document_id"] == "de-1"
    _, rejected = parse_record({"id": 1.5, "text": "x"}, reading, PLACE)
    assert rejected is not None
    assert rejected["reason"] == "wrong_type"


def test_facts_are_metadata_unless_the_record_says_otherwise() -> None:
    reading, facts = Reading(Columns(metadata=("format",)), 100), {"encoding": "koi8-r", "format": "markdown"}
    document, _ = parse_record(GOOD, reading, PLACE, facts=facts)
    assert document is not None
    assert json.loads(document["metadata"]) == facts
    document, _ = parse_record({**GOOD, "format": "letter"}, reading, PLACE, facts=facts)
    assert document is not None
    assert json.loads(document["metadata"]) == {"encoding": "koi8-r", "format": "letter"}
