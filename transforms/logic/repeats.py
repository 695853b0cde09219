"""Contents that come too often for one worker: which of their rows take another way, and how those get their vector.

Rows of one content key meet in one bucket, so that their vector is made once. A footer repeated a million times would bring a million
rows there; what the bucket needs of them is one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.logic.reuse import PLACE, Known, in_order
from transforms.logic.schemas import REUSED, Origin, with_columns
from transforms.logic.vector_columns import VECTORS, whole_column

_ALLOWANCE = 64
_MAX_TRACKED = 1 << 17


@dataclass
class RepeatFinder:
    """Finds, buffer by buffer, the rows of contents that come too often.

    It counts, for each content, the rows beyond the first of each buffer. Once they are more than `allowance` in all, every row of a
    buffer but the first is a repeat, also where a buffer brings only two or three of them: a footer may be spread thinly over many
    buffers. At most `max_tracked` contents are remembered; beyond that all counts are halved and those at zero forgotten.

    The counts are a hint only. Whatever was forgotten, or counted twice by a bundle that ran twice, the first row of a content by
    (source, position, ordinal) is never a repeat: every content reaches its bucket, and the row it is encoded for is the same in any
    order of arrival.
    """

    allowance: int = _ALLOWANCE
    max_tracked: int = _MAX_TRACKED
    _surplus: dict[bytes, int] = field(default_factory=dict)

    def find(self, chunks: pa.Table) -> npt.NDArray[np.bool_]:
        """Which rows of a buffer of the `CHUNKS` schema are repeats, shape (n,), bool."""
        encoded = chunks.column("content_key").combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy()
        hot = self._hot(encoded.dictionary, np.bincount(codes))
        repeats = np.isin(codes, hot)
        if len(hot):
            rows = np.flatnonzero(repeats)
            places = chunks.select(PLACE).take(pa.array(rows)).append_column("code", pa.array(codes[rows]))
            order = pc.sort_indices(places, sort_keys=[(name, "ascending") for name in ("code", *PLACE)]).to_numpy()
            is_first = np.diff(codes[rows][order], prepend=-1) != 0
            repeats[rows[order[is_first]]] = False
        return repeats

    def _hot(self, contents: pa.Array, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Codes of the contents that come too often, after this buffer's rows are counted."""
        repeated = np.flatnonzero(counts > 1)
        hot = []
        for code, content in zip(repeated.tolist(), contents.take(pa.array(repeated)).to_pylist(), strict=True):
            surplus = self._surplus.get(content, 0) + int(counts[code]) - 1
            self._surplus[content] = surplus
            if surplus > self.allowance:
                hot.append(code)
        while len(self._surplus) > self.max_tracked:
            self._surplus = {content: surplus // 2 for content, surplus in self._surplus.items() if surplus > 1}
        return np.array(hot, np.int64)


def share_vectors(chunks: pa.Table, known: Known, encoded: Callable[[bytes], pa.RecordBatch | None]) -> pa.RecordBatch:
    """Repeats, ordered by content key and then by place, each with its vectors or its place in the dataset.

    Args:
        chunks: rows of the `CHUNKS` schema.
        known: what the dataset knows of them.
        encoded: gives the one row of the `VECTORS` schema that this run made of a content key that the dataset does not know, or None
            where it was not sound; asked once for each content key.

    A row that is stored as it is gets its shard and row (origin `stored`), any other the vectors of its content (`reused`); without
    sound ones it is `rejected`.
    """
    batch = in_order(chunks).to_batches()[0]
    contents = batch.column("content_key").dictionary_encode()
    codes = contents.indices.to_pylist()
    places = [known.rows.get(row) for row in batch.column("row_key").to_pylist()]
    pool = [known.vectors.select(VECTORS.names)]
    sources: list[int | None] = pc.index_in(contents.dictionary, known.vectors.column("content_key")).to_pylist()
    wanted = {code for place, code in zip(places, codes, strict=True) if place is None}
    for code in sorted(wanted):
        if sources[code] is None:
            made = encoded(contents.dictionary[code].as_py())
            if made is not None:
                sources[code] = known.vectors.num_rows + len(pool) - 1
                pool.append(pa.Table.from_batches([made], VECTORS))
    taken = pa.array([None if place else sources[code] for place, code in zip(places, codes, strict=True)], pa.int32())
    origins = [
        Origin.STORED if place else Origin.REJECTED if sources[code] is None else Origin.REUSED
        for place, code in zip(places, codes, strict=True)
    ]
    vectors = pa.concat_tables(pool).combine_chunks().take(taken)
    return with_columns(
        batch,
        REUSED,
        **{name: whole_column(vectors.column(name)) for name in VECTORS.names},
        shard=pa.array([place[0] if place else None for place in places], pa.string()),
        row=pa.array([place[1] if place else None for place in places], pa.int32()),
        origin=pa.array([origin.value for origin in origins], pa.string()),
    )
