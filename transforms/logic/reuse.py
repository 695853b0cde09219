"""What the dataset already knows of a bucket of chunks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.logic.schemas import CHUNKS, REUSED, Origin, with_columns
from transforms.logic.vector_columns import VECTORS, whole_column

PLACE = ("source", "position", "ordinal")
"""Columns that order chunks as their documents stand; of equal contents the first by them is the one that is encoded."""
KNOWN = pa.schema([CHUNKS.field("content_key"), *VECTORS])
"""Stored vectors by content key."""


@dataclass(frozen=True)
class Known:
    """Stored rows by row key, as (shard, row), and a row of the `KNOWN` schema for each content whose vectors are needed."""

    rows: Mapping[bytes, tuple[str, int]] = field(default_factory=dict)
    vectors: pa.Table = field(default_factory=KNOWN.empty_table)


def in_order(chunks: pa.Table) -> pa.Table:
    """Chunks ordered by content key and then by place."""
    return chunks.sort_by([(name, "ascending") for name in ("content_key", *PLACE)]).combine_chunks()


def blocks_of_contents(ordered: pa.Table, least_rows: int) -> Iterator[pa.Table]:
    """Cuts ordered chunks into blocks of `least_rows` rows or few more: a content is never divided."""
    starts = np.flatnonzero(np.diff(_codes(ordered.column("content_key")), prepend=-1))
    cuts = [0]
    while cuts[-1] < ordered.num_rows:
        following = np.searchsorted(starts, cuts[-1] + least_rows)
        cuts.append(int(starts[following]) if following < len(starts) else ordered.num_rows)
    for start, stop in pairwise(cuts):
        yield ordered.slice(start, stop - start)


def reuse_vectors(chunks: pa.Table, known: Known) -> pa.RecordBatch:
    """Chunks of one bucket, ordered by content key and then by place, with what is known of each.

    A row that is stored as it is gets its shard and row (origin `stored`); one whose content is known gets its vectors (`reused`);
    of the others the first of each content key is to be encoded (`encoded`), the rest will share those vectors (`reused`).
    """
    batch = in_order(chunks).to_batches()[0]
    places = [known.rows.get(row) for row in batch.column("row_key").to_pylist()]
    is_stored = np.array([place is not None for place in places])
    found = pc.index_in(batch.column("content_key"), known.vectors.column("content_key"))
    is_known = found.is_valid().to_numpy(zero_copy_only=False)
    is_copy = np.zeros(batch.num_rows, np.bool_)
    codes = _codes(batch.column("content_key"))[~is_stored]
    is_copy[~is_stored] = np.diff(codes, prepend=-1) == 0
    origins = np.where(is_stored, Origin.STORED, np.where(is_known | is_copy, Origin.REUSED, Origin.ENCODED))
    taken = pc.if_else(pa.array(is_stored), pa.scalar(None, pa.int32()), found)
    vectors = known.vectors.take(taken)
    return with_columns(
        batch,
        REUSED,
        **{name: whole_column(vectors.column(name)) for name in VECTORS.names},
        shard=pa.array([place[0] if place else None for place in places], pa.string()),
        row=pa.array([place[1] if place else None for place in places], pa.int32()),
        origin=pa.array(origins.tolist(), pa.string()),
    )


def _codes(keys: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int32]:
    """A number for each key, equal where the keys are."""
    return np.asarray(whole_column(keys).dictionary_encode().indices)
