"""Parquet: a record a row, in row groups."""

from collections.abc import Iterator, Sequence
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.adapters.formats.raw import RawRecord, RefusedFileError
from transforms.adapters.formats.splits import Split
from transforms.logic.records import Columns, Reading
from transforms.logic.schemas import MAX_BATCH_ROWS, Reason

_NO_COUNTERPART = (ArithmeticError, LookupError, ValueError)


def read_parquet(stream: IO[bytes], split: Split, reading: Reading) -> Iterator[RawRecord]:
    """The rows of the split's row groups; a file without the columns of id and text is refused."""
    columns = reading.columns
    file = pq.ParquetFile(stream)
    names = file.schema_arrow.names
    missing = [name for name in (columns.id, columns.text) if name not in names]
    if missing:
        detail = f"no column {', '.join(map(repr, missing))}; the file has {', '.join(map(repr, names[:20]))}"
        raise RefusedFileError(Reason.MISSING_COLUMN, detail)
    whole = split.stop < 0
    groups = list(range(file.num_row_groups)) if whole else list(range(split.start, split.stop))
    row = sum(file.metadata.row_group(group).num_rows for group in range(0 if whole else split.start))
    wanted = _wanted(names, columns)
    for batch in file.iter_batches(MAX_BATCH_ROWS, row_groups=groups, columns=wanted, use_threads=False):
        size_bytes = batch.nbytes // max(1, batch.num_rows)
        for values in _rows_of(batch):
            if isinstance(values, Exception):
                detail = f"a value cannot be read: {type(values).__name__}"
                yield RawRecord(row, "row", size_bytes, reason=Reason.WRONG_TYPE, detail=detail)
            else:
                yield RawRecord(row, "row", size_bytes, values)
            row += 1


def _wanted(names: Sequence[str], columns: Columns) -> list[str]:
    if columns.metadata is None:
        return list(names)
    roles = {columns.id, columns.text, columns.date, columns.language, *columns.metadata}
    return [name for name in names if name in roles]


def _rows_of(batch: pa.RecordBatch) -> list[dict[str, Any] | Exception]:
    """Rows as mappings; a column of text whose bytes are not UTF-8 raises `pyarrow.ArrowInvalid`, which costs the file.

    A value that Python has no counterpart for, such as a date after the year 9999, costs its row: its error stands there instead.
    """
    batch.validate(full=True)
    try:
        return cast("list[dict[str, Any] | Exception]", batch.to_pylist())
    except _NO_COUNTERPART as error:
        if batch.num_rows == 1:
            return [error]
        return [_rows_of(batch.slice(row, 1))[0] for row in range(batch.num_rows)]
