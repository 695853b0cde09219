"""Batches of declared schemas, cut to size."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.schemas import (
    CHUNKS,
    DOCUMENTS,
    INTENTS,
    LEDGER,
    MAX_BATCH_BYTES,
    MAX_BATCH_ROWS,
    POINTERS,
    RECORDS,
    REUSED,
    batch_of,
    concatenate,
    row_schema,
    slices,
    with_columns,
)

SMALL = pa.schema([pa.field("a", pa.int32(), nullable=False), pa.field("b", pa.string())])


def test_rows_become_a_batch_of_the_schema() -> None:
    batch = batch_of([{"a": 1, "b": "x", "more": 0}, {"a": 2, "b": None}], SMALL)

    assert batch.schema == SMALL
    assert batch.to_pylist() == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    assert batch_of([], SMALL).num_rows == 0


def test_a_missing_or_wrong_value_is_refused() -> None:
    with pytest.raises(KeyError, match="b"):
        batch_of([{"a": 1}], SMALL)
    with pytest.raises(pa.ArrowInvalid):
        batch_of([{"a": "x", "b": "x"}], SMALL)


def test_columns_are_replaced_by_name_and_others_taken_over() -> None:
    batch = batch_of([{"a": 1, "b": "x"}], SMALL)

    changed = with_columns(batch, pa.schema([*SMALL, pa.field("c", pa.bool_())]), c=pa.array([True]), b=pa.array(["y"]))

    assert changed.to_pylist() == [{"a": 1, "b": "y", "c": True}]


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(0, 1400), st.integers(0, 700))
def test_slices_hold_every_row_once_in_order_within_the_row_limit(rows: int, offset: int) -> None:
    table = pa.table({"a": pa.array(range(rows), pa.int32()), "b": pa.array(["x"] * rows)}, schema=SMALL).slice(offset)

    batches = list(slices(table))

    assert [value for batch in batches for value in batch.column("a").to_pylist()] == [*range(offset, rows)]
    assert all(0 < batch.num_rows <= MAX_BATCH_ROWS for batch in batches)


def test_slices_of_large_rows_keep_the_byte_limit() -> None:
    text = "x" * (1 << 20)
    table = pa.table({"a": pa.array(range(40), pa.int32()), "b": pa.array([text] * 40)}, schema=SMALL)

    batches = list(slices(table))

    assert sum(batch.num_rows for batch in batches) == 40
    assert all(batch.nbytes <= MAX_BATCH_BYTES for batch in batches)


def test_a_row_above_the_byte_limit_has_a_batch_of_its_own() -> None:
    table = pa.table(
        {"a": pa.array([1, 2], pa.int32()), "b": pa.array(["x" * (MAX_BATCH_BYTES + 1)] * 2)}, schema=SMALL
    )

    assert [batch.num_rows for batch in slices(table)] == [1, 1]


def test_batches_are_joined_and_none_give_an_empty_table() -> None:
    batch = batch_of([{"a": 1, "b": "x"}], SMALL)

    assert concatenate([batch, batch], SMALL).column("a").to_pylist() == [1, 1]
    assert concatenate([], SMALL) == SMALL.empty_table()


def test_rows_keep_their_fields_from_verb_to_verb() -> None:
    def fields(schema: pa.Schema) -> set[pa.Field]:
        return {*schema}

    assert fields(RECORDS) - fields(DOCUMENTS) == {RECORDS.field("declared_language")}
    assert fields(CHUNKS) < fields(REUSED)
    assert fields(INTENTS) < fields(LEDGER)
    assert fields(row_schema(8)) - fields(CHUNKS) == {pa.field("vector", pa.list_(pa.float16(), 8), nullable=False)}
    assert {*LEDGER.names} < {*POINTERS.names}
