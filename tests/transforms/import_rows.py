"""Compressed rows of every kind, as they come to be written to Milvus, and the space of a collection that holds them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from tests.fakes import outputs_of
from tests.transforms.adapters.milvus.four import SPACE
from transforms.adapters.milvus import CollectionSpace
from transforms.compress import compress_vectors
from transforms.logic.calibration import calibrate
from transforms.logic.identity import digest
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.representations import Representation, VectorType
from transforms.logic.schemas import row_schema
from transforms.logic.vector_columns import to_columns

FULL = 16


def space_of(vector_type: VectorType = "float32", outputs: Sequence[Output] = OUTPUTS[:1]) -> CollectionSpace:
    """What a collection of such rows records."""
    held = tuple(outputs)
    return replace(
        SPACE,
        vector_type=vector_type if "dense" in outputs else None,
        dimensions=FULL if "dense" in outputs else None,
        outputs=held,
        milvus_outputs=held,
        multi_dimensions=FULL if "multi" in outputs else None,
    )


def rows_of(
    numbers: Sequence[int],
    vector_type: VectorType = "float32",
    outputs: Sequence[Output] = OUTPUTS[:1],
    partition: str = "lang_de",
) -> pa.RecordBatch:
    """A row for each number, its text in several scripts."""
    texts = [f"text {number} größer ภูเขาไฟ 🎉 {'word ' * (number % 5)}" for number in numbers]
    schema = row_schema(FULL, outputs)
    made = outputs_of(texts, FULL, outputs)
    columns = {name: column.cast(schema.field(name).type) for name, column in to_columns(made).items()}
    columns |= {
        "id": pa.array([digest("id", number, partition).hex() for number in numbers]),
        "text": pa.array(texts),
        "ordinal": pa.array([number % 7 for number in numbers], pa.int32()),
        "partition": pa.array([partition] * len(texts)),
        "metadata": pa.array(['{"title": "größer 🎉", "n": null}'] * len(texts)),
        "row_key": pa.array([digest("row", number, partition) for number in numbers], pa.binary(16)),
        "content_key": pa.array([digest("content", number) for number in numbers], pa.binary(16)),
    }
    for field in schema:
        if field.name not in columns:
            value = f"{field.name} x" if pa.types.is_string(field.type) else 1
            columns[field.name] = pa.array([value] * len(texts), field.type)
    for name in ("language", "chunk_language", "script"):
        columns[name] = pa.array(["de"] * len(texts))
    batch = pa.RecordBatch.from_arrays([columns[field.name] for field in schema], schema=schema)
    if "dense" not in outputs:
        return batch
    sample = made.dense if made.dense is not None else np.empty((0, FULL), np.float32)
    calibration = calibrate(sample, "space", "test") if vector_type == "binary" else None
    return compress_vectors(batch, Representation(vector_type, FULL, calibration))
