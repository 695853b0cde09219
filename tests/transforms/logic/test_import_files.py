"""Columns of import files: of the types that Milvus's importer reads, with the values that an upsert writes."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.import_rows import FULL, rows_of
from transforms.logic.errors import CorruptDataError
from transforms.logic.import_files import ImportFile, check_columns, import_columns, rows_by_partition
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.representations import VECTOR_TYPES, VectorType
from transforms.logic.rows import milvus_rows

_SCALARS = {
    "id": pa.string(),
    "document_id": pa.string(),
    "ordinal": pa.int64(),
    "start": pa.int64(),
    "end": pa.int64(),
    "text": pa.string(),
    "language": pa.string(),
    "script": pa.string(),
    "language_score": pa.float32(),
    "chunk_language": pa.string(),
    "chunk_language_score": pa.float32(),
    "tokens": pa.int64(),
    "unknown_fraction": pa.float32(),
    "source": pa.string(),
    "date": pa.string(),
    "metadata": pa.string(),
}
# pymilvus 3.0.2, bulk_writer/constants.py: ARROW_TYPE_CREATOR; how many numbers a vector of `FULL` dimensions has in the file.
_DENSE: dict[VectorType, tuple[pa.DataType, int]] = {
    "float32": (pa.list_(pa.float32()), FULL),
    "float16": (pa.list_(pa.uint8()), 2 * FULL),
    "bfloat16": (pa.list_(pa.uint8()), 2 * FULL),
    "int8": (pa.list_(pa.int8()), FULL),
    "binary": (pa.list_(pa.uint8()), FULL // 8),
}


def _table(*batches: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches(batches)


_WITHOUT_VECTORS = import_columns(_table(rows_of(range(2)))).drop_columns("dense")


@pytest.mark.parametrize("vector_type", VECTOR_TYPES)
def test_schema_of_every_vector_type(vector_type: VectorType) -> None:
    columns = import_columns(_table(rows_of(range(5), vector_type)))
    wanted, width = _DENSE[vector_type]
    assert dict(zip(columns.schema.names, columns.schema.types, strict=True)) == {**_SCALARS, "dense": wanted}
    assert [len(vector) for vector in columns.column("dense")] == [width] * 5


def test_schema_of_weights_and_vectors_of_tokens() -> None:
    columns = import_columns(_table(rows_of(range(5), outputs=OUTPUTS)), OUTPUTS)
    of_tokens = pa.list_(pa.struct([pa.field("vector", pa.list_(pa.float32()))]))
    wanted = {**_SCALARS, "dense": pa.list_(pa.float32()), "sparse": pa.string(), "multi": of_tokens}
    assert dict(zip(columns.schema.names, columns.schema.types, strict=True)) == wanted


def test_labels_go_along() -> None:
    labelled = rows_of(range(2)).append_column("label", pa.array(["a", ""]))
    labelled = labelled.append_column("label_score", pa.array([0.5, 0.25], pa.float32()))
    columns = import_columns(_table(labelled))
    assert columns.column("label").to_pylist() == ["a", ""]
    assert columns.column("label_score").to_pylist() == [0.5, 0.25]


def _as_upserted(name: str, value: Any) -> Any:
    """A value of an import file as `milvus_rows` gives it to the client."""
    if name == "metadata":
        return json.loads(value)
    if name == "sparse":
        return {int(index): weight for index, weight in json.loads(value).items()}
    if name == "multi":
        return [np.array(struct["vector"], np.float32).tolist() for struct in value]
    return value


@pytest.mark.parametrize("vector_type", VECTOR_TYPES)
@pytest.mark.parametrize("outputs", [OUTPUTS[:1], OUTPUTS[1:2], OUTPUTS[:2], OUTPUTS])
def test_values_are_those_of_an_upsert(vector_type: VectorType, outputs: tuple[Output, ...]) -> None:
    # A slice: its columns begin within their parents.
    batches = [rows_of(range(start, start + 9), vector_type, outputs).slice(2, 6) for start in (0, 9)]
    columns = import_columns(_table(*batches), outputs)
    wanted = [row for batch in batches for row in milvus_rows(batch, outputs)]
    for ours, theirs in zip(columns.to_pylist(), wanted, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            given_value = ours[name]
            if name == "dense" and isinstance(value, bytes):
                assert (
                    np.array(given_value, columns.schema.field("dense").type.value_type.to_pandas_dtype()).tobytes()
                    == value
                )
            elif name == "multi":
                assert _as_upserted(name, given_value) == [struct["vector"].tolist() for struct in value]
            else:
                assert _as_upserted(name, given_value) == value


def test_a_row_without_weights_has_one_that_no_query_has() -> None:
    batch = rows_of([0], outputs=OUTPUTS[1:2])
    place = batch.schema.get_field_index("sparse")
    batch = batch.set_column(
        place, batch.schema.field(place), pa.array([{"indices": [], "values": []}], batch.schema.field(place).type)
    )
    (weights,) = import_columns(_table(batch), OUTPUTS[1:2]).column("sparse").to_pylist()
    ((index, weight),) = json.loads(weights).items()
    assert int(index) == (1 << 32) - 2
    assert weight > 0


# --- what is refused ---


@given(text=st.text(min_size=1, max_size=40), slack=st.integers(-3, 3))
def test_a_text_is_measured_in_bytes(text: str, slack: int) -> None:
    batch = rows_of(range(3))
    texts = pa.array(["", text, "a"])
    batch = batch.set_column(batch.schema.get_field_index("text"), "text", texts)
    columns, most = import_columns(_table(batch)), max(1, len(text.encode()) + slack)
    if len(text.encode()) <= most:
        check_columns(columns, {"text": most})
    else:
        with pytest.raises(CorruptDataError) as caught:
            check_columns(columns, {"text": most})
        said = str(caught.value)
        assert columns.column("id")[1].as_py() in said
        assert f"'text' has {len(text.encode()):,} bytes, the collection holds {most:,}" in said


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 5, 4 * FULL - 1])
def test_a_number_that_is_not_finite_is_named(value: float, place: int) -> None:
    columns = import_columns(_table(rows_of(range(4))))
    numbers = columns.column("dense").chunk(0).flatten().to_numpy().copy()
    numbers[place] = value
    spoiled = pa.ListArray.from_arrays(columns.column("dense").chunk(0).offsets, pa.array(numbers))
    columns = columns.set_column(columns.schema.get_field_index("dense"), "dense", spoiled)
    with pytest.raises(
        CorruptDataError, match=f"chunk {columns.column('id')[place // FULL]}: 'dense' has a number that is not finite"
    ):
        check_columns(columns, {})


@given(numbers=st.lists(st.floats(width=32), min_size=2 * FULL, max_size=2 * FULL))
def test_only_what_is_not_finite_is_refused_of_all_numbers(numbers: list[float]) -> None:
    columns = _WITHOUT_VECTORS.append_column(
        "dense", pa.array([numbers[:FULL], numbers[FULL:]], pa.list_(pa.float32()))
    )
    if np.isfinite(numbers).all():
        check_columns(columns, {})
    else:
        with pytest.raises(CorruptDataError, match="'dense' has a number that is not finite"):
            check_columns(columns, {})


@pytest.mark.parametrize("value", [np.finfo(np.float32).max, -2.0, 2.0, 1.9999999, -0.0, 1e-45])
def test_no_finite_number_is_a_fault(value: float) -> None:
    dense = pa.array([[value] * FULL] * 2, pa.list_(pa.float32()))
    check_columns(_WITHOUT_VECTORS.append_column("dense", dense), {})


def test_a_vector_of_a_token_that_is_not_finite_is_named() -> None:
    columns = import_columns(_table(rows_of(range(3), outputs=OUTPUTS)), OUTPUTS)
    values = columns.column("multi").to_pylist()
    values[1][0]["vector"][3] = np.nan
    spoiled = pa.array(values, columns.column("multi").type)
    columns = columns.set_column(columns.schema.get_field_index("multi"), "multi", spoiled)
    with pytest.raises(CorruptDataError, match=f"chunk {columns.column('id')[1]}: 'multi'"):
        check_columns(columns, {})


# --- what is kept of a file ---


def test_a_file_survives_its_json() -> None:
    file = ImportFile("lang_de/a.parquet", "lang_de", 3, 100, (1 << 128) - 1)
    assert ImportFile.from_json(file.to_json()) == file


def test_rows_by_partition() -> None:
    files = [ImportFile(f"{name}/{number}", name, number, 1, 0) for name in ("b", "a") for number in (2, 5)]
    assert list(rows_by_partition(files).items()) == [("a", 7), ("b", 7)]
