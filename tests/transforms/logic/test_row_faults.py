"""Rows that a collection cannot hold."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.row_faults import row_faults, without

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=20)


@given(texts=TEXTS, most=st.integers(0, 20))
def test_bytes_are_counted_not_characters(texts: list[str], most: int) -> None:
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())})
    faults = row_faults(batch, {"text": most, "absent": 0})
    assert set(faults) == {row for row, text in enumerate(texts) if len(text.encode()) > most}
    assert without(batch, faults).column("text").to_pylist() == [text for text in texts if len(text.encode()) <= most]


def test_a_row_is_named_once_with_its_first_fault() -> None:
    batch = pa.RecordBatch.from_pydict({"id": ["a", "bbb"], "text": ["a", "ääää"], "n": [1, 2]})
    assert row_faults(batch, {"id": 2, "text": 7}) == {1: "'id' has 3 bytes, the collection holds 2"}
    # A slice has rows of its own numbers.
    assert row_faults(batch.slice(1), {"text": 7}) == {0: "'text' has 8 bytes, the collection holds 7"}
    assert without(batch, {}) is batch
