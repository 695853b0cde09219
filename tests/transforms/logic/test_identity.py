"""Names: stable over machines and years, and different for different content."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.identity import (
    buckets_of,
    chunk_id,
    content_key,
    digest,
    fingerprint,
    key_prefixes,
    row_key,
    text_prefixes,
)

SETTINGS = settings(deadline=None, derandomize=True, max_examples=100)
FIELDS = st.lists(
    st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), st.binary(max_size=4)), max_size=4
)
KEYS = st.lists(st.binary(min_size=16, max_size=16), max_size=20)


def test_names_are_what_they_have_always_been() -> None:
    # Every collection and dataset holds these: another value means that all of them are written anew.
    assert chunk_id("de-42", 3, "lang_de") == "4eeed147944e298ede506e382acb4e31"
    assert content_key("space", "Grüße, 世界").hex() == "afcd410d7d6e3d28c6b0f0810584cd02"
    assert row_key(b"\x00" * 16, "a", 1).hex() == "2ff895f1cf2a46ffec18111dbd136901"
    assert fingerprint({"b": [1, 2], "a": "ü"}) == "8c2f7bb44282dea4736951c3771ed280"


@SETTINGS
@given(FIELDS, FIELDS)
def test_digests_are_equal_only_for_equal_fields(left: list[str | bytes], right: list[str | bytes]) -> None:
    def raw(fields: list[str | bytes]) -> list[bytes]:
        return [field if isinstance(field, bytes) else field.encode() for field in fields]

    assert (digest(*left) == digest(*right)) == (raw(left) == raw(right))


def test_where_a_field_ends_counts() -> None:
    named = [digest("ab", "c"), digest("a", "bc"), digest("abc"), digest("abc", ""), digest("", "abc")]

    assert len(set(named)) == len(named)


def test_text_with_a_lone_surrogate_has_no_name() -> None:
    with pytest.raises(UnicodeEncodeError):
        content_key("space", "\ud800")


def test_each_part_of_a_chunk_id_counts() -> None:
    ids = {
        chunk_id("d", 1, "p"),
        chunk_id("d", 2, "p"),
        chunk_id("d1", 1, "p"),
        chunk_id("d", 1, "q"),
        chunk_id("d1", 11, "p"),
    }

    assert len(ids) == 5
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in ids)


def test_kinds_of_names_never_meet() -> None:
    assert len({digest("content", "a", "b"), content_key("a", "b"), row_key(b"a", "b"), digest("chunk", "a", "b")}) == 3


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})


@SETTINGS
@given(KEYS, st.integers(0, 20), st.integers(0, 20))
def test_prefixes_are_the_first_four_bytes_of_sliced_and_chunked_keys(keys: list[bytes], offset: int, cut: int) -> None:
    array = pa.array(keys, pa.binary(16))
    chunked = pa.chunked_array([array.slice(0, cut), array.slice(cut)], pa.binary(16))
    expected = [int.from_bytes(key[:4], "big") for key in keys]

    assert key_prefixes(array.slice(offset)).tolist() == expected[offset:]
    assert key_prefixes(chunked).tolist() == expected
    assert key_prefixes(chunked.slice(offset)).tolist() == expected[offset:]
    assert key_prefixes(array).dtype == np.uint32


def test_text_prefixes_are_those_of_the_digests() -> None:
    texts = ["", "a", "世界"]

    assert text_prefixes(texts).tolist() == [int.from_bytes(digest(text)[:4], "big") for text in texts]


@SETTINGS
@given(st.integers(1, 5000), st.lists(st.integers(0, (1 << 32) - 1), max_size=50))
def test_buckets_are_ordered_ranges(bucket_count: int, drawn: list[int]) -> None:
    prefixes = np.array(sorted({0, *drawn, (1 << 32) - 1}), np.uint32)

    buckets = buckets_of(prefixes, bucket_count).tolist()

    assert buckets[0] == 0
    assert buckets[-1] == bucket_count - 1
    assert all(before <= after for before, after in pairwise(buckets))


@pytest.mark.parametrize("bucket_count", [1, 2, 7, 64, 1000])
def test_buckets_are_of_equal_size(bucket_count: int) -> None:
    prefixes = np.arange(0, 1 << 32, 1 << 15, dtype=np.uint64).astype(np.uint32)

    sizes = np.bincount(buckets_of(prefixes, bucket_count), minlength=bucket_count)

    assert len(sizes) == bucket_count
    assert sizes.max() - sizes.min() <= 1
