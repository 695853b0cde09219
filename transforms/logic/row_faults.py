"""Rows that a collection cannot hold, found before they are sent."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def row_faults(batch: pa.RecordBatch, max_bytes: Mapping[str, int]) -> dict[int, str]:
    """What is too long, by row number, for rows with a text of more bytes of UTF-8 than its field holds.

    Args:
        batch: rows with the text columns, or some of them.
        max_bytes: of each text field.
    """
    found: dict[int, str] = {}
    for name, most in max_bytes.items():
        if name in batch.schema.names:
            lengths = pc.binary_length(batch.column(name)).to_numpy(zero_copy_only=False)
            for row in np.flatnonzero(lengths > most).tolist():
                found.setdefault(row, f"{name!r} has {int(lengths[row])} bytes, the collection holds {most}")
    return found


def without(batch: pa.RecordBatch, rows: Mapping[int, Any]) -> pa.RecordBatch:
    """The batch without these rows."""
    if not rows:
        return batch
    keep = np.ones(batch.num_rows, bool)
    keep[list(rows)] = False
    return batch.filter(pa.array(keep))
