"""Outputs in Arrow: what is put in is what comes out, rounded to 16 bits."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import outputs_of
from tests.transforms.logic.test_outputs import NAMES, TEXTS, assert_types, made, plain
from transforms.logic.outputs import OUTPUTS, Multi, Output, Outputs, Sparse
from transforms.logic.schemas import REUSED, VECTOR_COLUMNS
from transforms.logic.vector_columns import VECTORS, from_columns, list_views, to_columns
from transforms.logic.vectors import Float32


def halved(outputs: Outputs) -> Outputs:
    def rounded(values: Float32) -> Float32:
        return values.astype(np.float16).astype(np.float32)

    return Outputs(
        None if outputs.dense is None else rounded(outputs.dense),
        outputs.sparse and Sparse(outputs.sparse.offsets, outputs.sparse.indices, rounded(outputs.sparse.values)),
        outputs.multi and Multi(outputs.multi.offsets, rounded(outputs.multi.vectors)),
    )


@settings(deadline=None, derandomize=True, max_examples=150)
@given(texts=TEXTS, names=NAMES, start=st.integers(0, 8), length=st.integers(0, 8), cut=st.integers(0, 8))
def test_columns_give_back_what_was_put_in_from_any_slice(
    texts: list[str], names: tuple[Output, ...], start: int, length: int, cut: int
) -> None:
    outputs = made(texts, names)

    columns = to_columns(outputs)

    assert columns.keys() == {VECTOR_COLUMNS[name] for name in names}
    assert all(column.type == REUSED.field(name).type for name, column in columns.items())
    expected = plain(halved(outputs))
    batch = pa.RecordBatch.from_pydict(columns).slice(min(start, len(texts)), length)
    assert_types(from_columns(batch), batch.num_rows)
    assert plain(from_columns(batch)) == expected[start : start + length]
    whole = pa.table(columns)
    pieces = pa.concat_tables([whole.slice(min(cut, len(texts))), whole.slice(0, cut)])
    assert plain(from_columns(pieces)) == expected[cut:] + expected[:cut]


def test_a_column_of_nulls_or_none_at_all_was_not_made() -> None:
    columns = to_columns(outputs_of(["a", "b"], 4, ["sparse"]))
    rows = pa.table({"vector": pa.nulls(2, VECTORS.field("vector").type), **columns})
    found = from_columns(rows)
    assert (found.dense, found.multi) == (None, None)
    assert plain(found) == plain(halved(outputs_of(["a", "b"], 4, ["sparse"])))


def test_the_dense_column_may_be_of_a_fixed_size() -> None:
    outputs = outputs_of(["a", "b", "c"], 4, ["dense"])
    fixed = to_columns(outputs)["vector"].cast(pa.list_(pa.float16(), 4))
    assert plain(from_columns(pa.table({"vector": fixed.slice(1)}))) == plain(halved(outputs))[1:]


def test_a_weight_that_rounds_to_zero_is_left_out() -> None:
    weights = np.array([1e-9, 0.5, 2e-8, 1e-8, 6e-8], np.float32)
    sparse = Sparse(np.array([0, 2, 4, 4, 5]), np.arange(5, dtype=np.int32), weights)
    found = to_columns(Outputs(sparse=sparse))["sparse"].to_pylist()
    assert [row["indices"] for row in found] == [[1], [], [], [4]]
    assert [row["values"] for row in found] == [[0.5], [], [], [float(np.float16(6e-8))]]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_rows_of_chunks_with_faults_may_hold_anything(value: float) -> None:
    outputs = outputs_of(["a", "b"], 4, OUTPUTS)
    assert outputs.dense is not None
    outputs.dense[0] = value
    assert to_columns(outputs)["vector"][1].as_py() == outputs.dense[1].astype(np.float16).tolist()


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6), st.integers(0, 6), st.integers(0, 6))
def test_views_are_the_lists(lists: list[list[int]], start: int, length: int) -> None:
    column = pa.array(lists, pa.list_(pa.int32())).slice(min(start, len(lists)), length)
    views = list_views(column)
    assert [view.tolist() for view in views] == lists[start : start + length]
    assert all(view.dtype == np.int32 for view in views)
