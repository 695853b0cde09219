"""Decoded Arrow batches to rows of Python values; what one row cannot have costs that row alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.logic.schemas import MAX_BATCH_BYTES, MAX_BATCH_ROWS, Reason

_NO_COUNTERPART = (ArithmeticError, LookupError, ValueError)
_LEAST_CELL_BYTES = 8
Sizes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """One row: its size when decoded, and its values by column name, or why it has none."""

    size_bytes: int
    values: Mapping[str, Any] | None = None
    reason: Reason | None = None
    detail: str = ""


def rows_of(batch: pa.RecordBatch, texts: frozenset[str], max_row_bytes: int) -> Iterator[Row]:
    """The rows of a batch in order. A row above `max_row_bytes` is rejected before a Python object is made of it.

    Columns of bytes become text where they are UTF-8; in `texts`, the names of columns that must be text, others cost their row.
    """
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        sizes += _cell_bytes(column)
    start = 0
    while start < batch.num_rows:
        if sizes[start] > max_row_bytes:
            detail = f"the row has {sizes[start]} bytes, {max_row_bytes} are allowed (--max-record-bytes)"
            yield Row(int(sizes[start]), reason=Reason.TOO_LARGE, detail=detail)
            start += 1
            continue
        stop = _run_end(sizes, start, max_row_bytes)
        yield from _converted(batch.slice(start, stop - start), texts, sizes[start:stop])
        start = stop


def _run_end(sizes: Sizes, start: int, max_row_bytes: int) -> int:
    """Where a run of rows ends that fits the limits of a batch: after one row at least, and before one that is too large."""
    run = sizes[start : start + MAX_BATCH_ROWS]
    fitting = int(np.searchsorted(np.cumsum(run), MAX_BATCH_BYTES, side="right"))
    large = np.flatnonzero(run > max_row_bytes)
    return start + max(1, min(fitting, int(large[0]) if len(large) else fitting))


def _cell_bytes(array: pa.Array) -> Sizes:
    """Bytes of each cell, those of what is nested in it included, at least eight for each value."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _cell_bytes(array.storage)
    if pa.types.is_dictionary(kind):
        found = pc.take(pa.array(_cell_bytes(array.dictionary)), array.indices)
        return _numbers(pc.fill_null(found, _LEAST_CELL_BYTES))
    if pa.types.is_nested(kind):
        return _nested_bytes(array)
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        array = array.cast(pa.large_binary())
    elif not (_is_text(kind) or _is_bytes(kind)):
        return np.full(len(array), _LEAST_CELL_BYTES, np.int64)
    lengths = _numbers(pc.fill_null(pc.binary_length(array), 0))
    return lengths + _LEAST_CELL_BYTES


def _nested_bytes(array: pa.Array) -> Sizes:
    kind = array.type
    if pa.types.is_struct(kind):
        parts = [_cell_bytes(array.field(index)) for index in range(kind.num_fields)]
        sizes: Sizes = np.sum([np.full(len(array), _LEAST_CELL_BYTES), *parts], axis=0, dtype=np.int64)
        return sizes
    if pa.types.is_fixed_size_list(kind):
        return _spans(array.values, (np.arange(len(array) + 1) + array.offset) * kind.list_size)
    offsets = array.offsets.to_numpy(zero_copy_only=False)
    if pa.types.is_map(kind):
        return _spans(array.keys, offsets) + _spans(array.items, offsets)
    return _spans(array.values, offsets)


def _spans(elements: pa.Array, offsets: npt.NDArray[Any]) -> Sizes:
    sums: Sizes = np.concatenate([[0], np.cumsum(_cell_bytes(elements))])
    sizes: Sizes = sums[offsets[1:]] - sums[offsets[:-1]] + _LEAST_CELL_BYTES
    return sizes


def _numbers(array: pa.Array) -> Sizes:
    numbers: Sizes = array.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    plain = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return bool(plain or pa.types.is_binary_view(kind))


def _converted(batch: pa.RecordBatch, texts: frozenset[str], sizes: Sizes) -> Iterator[Row]:
    errors: dict[int, Row] = {}
    columns: list[Sequence[Any]] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        values = _values(column)
        for row, value in enumerate(values):
            if isinstance(value, Exception):
                errors.setdefault(row, _refused(name, value, int(sizes[row])))
            elif isinstance(value, bytes) and name in texts:
                errors.setdefault(row, _refused(name, UnicodeError(), int(sizes[row])))
        columns.append(values)
    names = batch.schema.names
    for row, size_bytes in enumerate(sizes):
        if row in errors:
            yield errors[row]
        else:
            yield Row(int(size_bytes), dict(zip(names, (values[row] for values in columns), strict=True)))


def _refused(name: str, error: Exception, size_bytes: int) -> Row:
    if isinstance(error, UnicodeError):
        return Row(size_bytes, reason=Reason.BAD_ENCODING, detail=f"a value of column {name!r} is not UTF-8")
    detail = f"a value of column {name!r} cannot be read: {type(error).__name__}"
    return Row(size_bytes, reason=Reason.WRONG_TYPE, detail=detail)


def _values(array: pa.Array) -> list[Any]:
    """The values of a column; one that Python has no counterpart for is the error that says so."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if getattr(kind, "unit", "") == "ns":
        # Python has microseconds; with pandas at hand, Arrow would give another type.
        array = array.cast(_in_microseconds(kind), safe=False)
    try:
        values = array.to_pylist()
    except _NO_COUNTERPART:
        values = [_value(array, row) for row in range(len(array))]
    return [_text_of(value) for value in values] if _is_bytes(kind) else cast("list[Any]", values)


def _in_microseconds(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return pa.duration("us") if pa.types.is_duration(kind) else pa.time64("us")


def _value(array: pa.Array, row: int) -> Any:
    try:
        return array[row].as_py()
    except _NO_COUNTERPART as error:
        return error


def _text_of(value: Any) -> Any:
    """Text where bytes are UTF-8: older writers do not mark their text columns as such."""
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value
