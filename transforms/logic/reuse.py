"""What the dataset already knows of a bucket of chunks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.logic.schemas import REUSED, Origin, with_columns

PLACE = ("source", "position", "ordinal")
"""Columns that order chunks as their documents stand; of equal contents the first by them is the one that is encoded."""


@dataclass(frozen=True)
class Known:
    """Stored rows by row key, as (shard, row), and stored vectors by content key, each (dimensions,) float16."""

    rows: Mapping[bytes, tuple[str, int]] = field(default_factory=dict)
    vectors: Mapping[bytes, npt.NDArray[np.float16]] = field(default_factory=dict)


def reuse_vectors(chunks: pa.Table, known: Known) -> pa.RecordBatch:
    """Chunks of one bucket, ordered by content key and then by place, with what is known of each.

    A row that is stored as it is gets its shard and row (origin `stored`); one whose content is known gets its vector (`reused`);
    of the others the first of each content key is to be encoded (`encoded`), the rest will share that vector (`reused`).
    """
    ordered = chunks.sort_by([(name, "ascending") for name in ("content_key", *PLACE)])
    batch = ordered.combine_chunks().to_batches()[0]
    origins, vectors, shards, rows = [], [], [], []
    before: bytes | None = None
    for content, row in zip(batch.column("content_key").to_pylist(), batch.column("row_key").to_pylist(), strict=True):
        place = known.rows.get(row)
        vector = None if place else known.vectors.get(content)
        if place:
            origin = Origin.STORED
        elif vector is not None or content == before:
            origin = Origin.REUSED
        else:
            origin = Origin.ENCODED
        if origin is not Origin.STORED:
            before = content
        origins.append(origin.value)
        vectors.append(vector)
        shards.append(place[0] if place else None)
        rows.append(place[1] if place else None)
    return with_columns(
        batch,
        REUSED,
        vector=pa.array(vectors, REUSED.field("vector").type),
        shard=pa.array(shards, pa.string()),
        row=pa.array(rows, pa.int32()),
        origin=pa.array(origins),
    )
