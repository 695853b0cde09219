"""Two run records side by side."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.record_diff import GROUPS, Change, compare_records

RECORD: dict[str, Any] = {
    "format": 1,
    "run_id": "run-1",
    "status": "complete",
    "configuration": {"chunking": {"max_tokens": 256}, "storage": {"collection": "a"}},
    "versions": {"torch": "2.13.0"},
    "documents": {"read": 10, "embedded": 4},
    "rejects": {"record.empty_text": 2},
    "differences": [],
    "seconds": 2.0,
    "reject_files": ["a"],
}

values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
records = st.dictionaries(st.sampled_from([*RECORD, "something", "stages"]), values, max_size=5)


def test_fields_that_differ_are_named_with_their_group() -> None:
    other = {
        **RECORD,
        "run_id": "run-2",
        "configuration": {"chunking": {"max_tokens": 128}, "storage": {"collection": "a"}},
        "versions": {"torch": "2.13.0", "regex": "1"},
        "documents": {"read": 15, "embedded": 4},
        "rejects": {},
        "seconds": 1.0,
        "reject_files": ["b"],
        "unheard_of": True,
    }
    assert compare_records(RECORD, other) == [
        Change("configuration", "configuration.chunking.max_tokens", 256, 128),
        Change("versions", "versions.regex", None, "1"),
        Change("counts", "documents.read", 10, 15),
        Change("counts", "rejects.record.empty_text", 2, None),
        Change("times", "seconds", 2.0, 1.0),
        Change("other", "unheard_of", None, True),
    ]


def test_a_ratio_is_of_numbers_alone() -> None:
    assert Change("counts", "documents.read", 10, 15).ratio == 1.5
    assert Change("counts", "documents.read", 0, 15).ratio is None
    assert Change("counts", "documents.read", None, 15).ratio is None
    assert Change("configuration", "run.mirror", before=True, after=False).ratio is None
    assert Change("configuration", "run.mirror", before=True, after=False).describe()["ratio"] is None


def test_a_field_that_another_version_does_not_know_is_like_none() -> None:
    assert compare_records(RECORD, {**RECORD, "configuration": {**RECORD["configuration"], "run": {"new": None}}}) == []


@given(records, records)
def test_the_way_back_is_the_same_fields_turned_round(one: dict[str, Any], other: dict[str, Any]) -> None:
    there, back = compare_records(one, other), compare_records(other, one)
    assert [Change(change.group, change.field, change.after, change.before) for change in back] == there
    assert [GROUPS.index(change.group) for change in there] == sorted(GROUPS.index(change.group) for change in there)
    assert compare_records(one, one) == []
