"""Rows of the dataset for the tests of workspace and lookup."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from tests.fakes import outputs_of
from transforms.logic.identity import content_key, digest
from transforms.logic.outputs import OUTPUTS, Output, Outputs
from transforms.logic.schemas import row_schema
from transforms.logic.vector_columns import to_columns

DIMENSIONS = 4


def key(number: int) -> bytes:
    """The content key of text `number`."""
    return content_key("space", f"text {number}")


def shard_rows(numbers: Iterable[int], version: int = 0, outputs: Sequence[Output] = OUTPUTS[:1]) -> pa.Table:
    """A row for each number, sorted by content key; rows of another version differ in all but their content."""
    ordered = sorted(numbers, key=key)
    schema = row_schema(DIMENSIONS, outputs)
    count = len(ordered)
    columns: dict[str, pa.Array] = {
        "id": pa.array([digest("row", version, number).hex() for number in ordered]),
        "document_id": pa.array([f"document {version} {number}" for number in ordered]),
        "text": pa.array([f"text {number}" for number in ordered]),
        "content_key": pa.array([key(number) for number in ordered], pa.binary(16)),
        "row_key": pa.array([digest("row", version, number) for number in ordered], pa.binary(16)),
    }
    for name, column in to_columns(outputs_of_numbers(ordered, outputs)).items():
        columns[name] = column.cast(schema.field(name).type)
    for field in schema:
        if field.name not in columns:
            value = "x" if pa.types.is_string(field.type) else 0
            columns[field.name] = pa.array([value] * count, field.type)
    return pa.table([columns[field.name] for field in schema], schema=schema)


def vectors(numbers: Iterable[int]) -> np.ndarray:
    """The vectors (n, `DIMENSIONS`) float16 of some texts."""
    return np.array([[number, number + 1, -number, 0.5] for number in numbers], np.float16)


def outputs_of_numbers(numbers: Iterable[int], outputs: Sequence[Output] = OUTPUTS) -> Outputs:
    """The outputs of some texts; the dense vectors are `vectors`."""
    ordered = list(numbers)
    made = outputs_of([f"text {number}" for number in ordered], DIMENSIONS, outputs)
    dense = vectors(ordered).astype(np.float32).reshape(-1, DIMENSIONS)
    return Outputs(None if made.dense is None else dense, made.sparse, made.multi)
