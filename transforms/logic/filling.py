"""Vectors put to the rows that they were made for, and to the rows of the same content."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.logic.schemas import REUSED, Origin, with_columns
from transforms.logic.vector_columns import VECTORS

_UNMADE = "no vector was made for its content before it"


@dataclass(frozen=True)
class Made:
    """What was made of n chunks: columns of `VECTORS` by name, and by index why a chunk has nothing that is sound."""

    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    faults: Mapping[int, str] = field(default_factory=dict)

    def slice(self, first: int, count: int) -> "Made":
        """What was made of `count` chunks from the chunk `first` on."""
        faults = {index - first: reason for index, reason in self.faults.items() if first <= index < first + count}
        return Made({name: column.slice(first, count) for name, column in self.columns.items()}, faults)


@dataclass(frozen=True)
class Latest:
    """The content that was encoded last, and what was made of it: one chunk."""

    content: bytes
    made: Made


def rows_to_encode(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Which rows of the `REUSED` schema are to be encoded."""
    return np.flatnonzero(_is(batch, Origin.ENCODED))


def fill_vectors(batch: pa.RecordBatch, made: Made, latest: Latest | None) -> tuple[pa.RecordBatch, dict[int, str]]:
    """Puts vectors in place; a row that gets none becomes `rejected`, and is given with the reason.

    Args:
        batch: rows of the `REUSED` schema, a bucket's ordered by content key, or a part of them.
        made: what was made of `rows_to_encode`, in order; it also serves the rows of the same content that follow.
        latest: what was encoded last before this batch.
    """
    count = batch.num_rows
    encoded = rows_to_encode(batch)
    has_vectors = np.zeros(count, np.bool_)
    for name in VECTORS.names:
        has_vectors |= batch.column(name).is_valid().to_numpy(zero_copy_only=False)
    waiting = np.flatnonzero(_is(batch, Origin.REUSED) & ~has_vectors)
    # Vectors lie in a row: the latest, then the batch's own, then what was made.
    source = np.arange(1, count + 1)
    source[encoded] = count + 1 + np.arange(len(encoded))
    before = np.searchsorted(encoded, waiting) - 1
    source[waiting] = np.where(before < 0, 0, count + 1 + before)
    missing = {int(encoded[index]): reason for index, reason in made.faults.items()}
    contents = batch.column("content_key")
    owners = [latest.content if latest else None, *contents.take(pa.array(encoded)).to_pylist()]
    reasons = [
        latest.made.faults.get(0) if latest else None,
        *(made.faults.get(index) for index in range(len(encoded))),
    ]
    for row, maker, content in zip(
        waiting.tolist(), (before + 1).tolist(), contents.take(pa.array(waiting)).to_pylist(), strict=True
    ):
        reason = reasons[maker] if owners[maker] == content else _UNMADE
        if reason is not None:
            missing[row] = reason
    is_missing = np.zeros(count, np.bool_)
    is_missing[list(missing)] = True
    taken = pa.array(source, mask=is_missing)
    earlier = latest.made.columns if latest else {}
    columns = {}
    for name in {**earlier, **made.columns}:
        kind = REUSED.field(name).type
        first, last = earlier.get(name, pa.nulls(1, kind)), made.columns.get(name, pa.nulls(0, kind))
        columns[name] = pa.concat_arrays([first, batch.column(name), last]).take(taken)
    origin = pc.if_else(pa.array(is_missing), Origin.REJECTED.value, batch.column("origin"))
    return with_columns(batch, REUSED, **columns, origin=origin), missing


def latest_of(batch: pa.RecordBatch, made: Made, before: Latest | None) -> Latest | None:
    """What the batch after this one has to know."""
    encoded = rows_to_encode(batch)
    if not len(encoded):
        return before
    content: bytes = batch.column("content_key")[int(encoded[-1])].as_py()
    return Latest(content, made.slice(len(encoded) - 1, 1))


def _is(batch: pa.RecordBatch, origin: Origin) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.equal(batch.column("origin"), origin.value))
