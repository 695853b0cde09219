"""JSON values: isolated as a parser would, wherever the blocks of the stream end, and without holding the file."""

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.adapters.formats.json_values import read_json
from transforms.adapters.formats.raw import RawRecord, RefusedFileError
from transforms.adapters.formats.splits import Split
from transforms.logic.records import Reading
from transforms.logic.schemas import Reason

SPLIT = Split("a.json", "json", 0, -1, 0, "")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4)


def scan(content: bytes, **options: Any) -> list[RawRecord]:
    return list(read_json(io.BufferedReader(io.BytesIO(content)), SPLIT, Reading(**options)))


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    values=st.lists(VALUES, max_size=5),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
    piece_bytes=st.sampled_from([1, 2, 3, 7, 64, 1 << 18]),
)
def test_elements_of_an_array_are_what_a_parser_gives(
    values: list[Any], indent: int | None, ascii_only: bool, piece_bytes: int
) -> None:
    content = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transforms.adapters.formats.json_values._PIECE_BYTES", piece_bytes)
        records = scan(content)
    assert [record.reason for record in records] == [None] * len(values)
    assert [record.values for record in records] == json.loads(content)
    for record in records:
        raw = content[record.position : record.position + record.size_bytes]
        assert json.loads(raw) == record.values
        assert raw == record.raw


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    values=st.lists(OBJECTS, max_size=5),
    between=st.sampled_from([b"", b"\n", b" \r\n\t", b"\n\n"]),
    indent=st.sampled_from([None, 1]),
    piece_bytes=st.sampled_from([1, 5, 1 << 18]),
)
def test_values_behind_one_another_are_records(
    values: list[Any], between: bytes, indent: int | None, piece_bytes: int
) -> None:
    content = between.join(json.dumps(value, indent=indent).encode() for value in values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transforms.adapters.formats.json_values._PIECE_BYTES", piece_bytes)
        assert [record.values for record in scan(content)] == values


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    st.lists(
        st.sampled_from([b'{"id":', b'"a"', b"}", b"]", b"[", b",", b'"', b"\\", b"\n", b"x", b"1", b"true", b":"])
    ),
    st.sampled_from([1, 4, 1 << 18]),
)
def test_blocks_of_any_size_give_the_same(tokens: list[bytes], piece_bytes: int) -> None:
    content = b"".join(tokens)

    def seen() -> list[Any]:
        found: list[Any] = []
        try:
            for record in read_json(io.BufferedReader(io.BytesIO(content)), SPLIT, Reading()):
                found.append((record.position, record.size_bytes, record.reason, record.values))  # noqa: PERF401
        except RefusedFileError as refused:
            found.append(refused.detail)
        return found

    whole = seen()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transforms.adapters.formats.json_values._PIECE_BYTES", piece_bytes)
        assert seen() == whole


BAD = st.sampled_from(
    [
        b'{"id": "bad", "text": "never closed}',
        b'{"id": "bad", "text": oops}',
        b'{"id": "bad", "text": "y"',
        b'{"id": "bad", "tags": ["a"}',
        b'{"id": "bad", "text": "a "quoted" word"}',
        b'{"id": "bad" "text"}',
        b'{"id": "bad", }',
        b'{"id": "bad", "inner": {"x": 1}',
        b'{"id": "bad", "text": "raw\nnewline"}',
    ]
)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    st.lists(st.one_of(st.just(b""), BAD), min_size=1, max_size=6),
    st.sampled_from([b",", b",\n", b" ,\n  "]),
)
def test_a_broken_element_costs_itself_only(elements: list[bytes], between: bytes) -> None:
    good = [json.dumps({"id": f"d{number}", "text": 'x "y" {z}'}).encode() for number in range(len(elements) + 1)]
    mixed = [good[0]]
    for number, bad in enumerate(elements):
        mixed += [bad, good[number + 1]] if bad else [good[number + 1]]
    records = scan(b"[" + between.join(mixed) + b"]")
    assert [record.values["id"] for record in records if record.reason is None] == [
        f"d{number}" for number in range(len(good))
    ]
    assert [record.reason for record in records if record.reason] == [
        Reason.MALFORMED_RECORD for bad in elements if bad
    ]


def test_inner_objects_of_a_broken_element_are_no_records() -> None:
    content = b'[{"id": "a"}, {"id": "bad", "x": oops, "in": [{"id": "n"}, {"id": "m"}]}, {"id": "b"}]'
    assert [record.values["id"] for record in scan(content) if record.reason is None] == ["a", "b"]


@pytest.mark.parametrize("size", [1 << 20, 40 << 20])
@pytest.mark.parametrize("inner", [b'"x"', b'{"id": 1}', b"1"])
def test_an_element_too_large_is_read_past_without_being_held(size: int, inner: bytes) -> None:
    large = b'{"id": "large", "m": [' + inner + b", " + b'"' + b"x" * size + b'", ' + inner + b"]}"
    content = b'[{"id": "a"}, ' + large + b', {"id": "b"}]'
    reading = Reading(max_record_bytes=100_000)
    tracemalloc.start()
    records = [
        (record.reason, record.size_bytes)
        for record in read_json(io.BufferedReader(io.BytesIO(content)), SPLIT, reading)
    ]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert records == [(None, 11), (Reason.TOO_LARGE, len(large)), (None, 11)]
    assert peak_bytes < 4 << 20


def test_an_array_needs_the_memory_of_its_elements() -> None:
    element = json.dumps({"id": "a", "text": "x" * 10_000}).encode()
    stream = io.BufferedReader(io.BytesIO(b"[" + b",".join([element] * 4000) + b"]"))
    tracemalloc.start()
    count = sum(1 for _ in read_json(stream, SPLIT, Reading()))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 4000
    assert peak_bytes < 4 << 20
