"""The dataset asked by key: which rows and vectors of a bucket are stored already."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.adapters.workspace import Shard, Workspace
from transforms.logic.identity import key_prefixes
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.reuse import KNOWN, Known
from transforms.logic.schemas import VECTOR_COLUMNS


@dataclass(frozen=True)
class KnownVectors:
    """Lookups in the shards of one embedding space, frozen when the run was planned. Picklable."""

    workspace: Workspace
    shards: Sequence[Shard]
    outputs: tuple[Output, ...] = OUTPUTS[:1]

    def of_chunks(self, chunks: pa.Table) -> Known:
        """What is stored of some chunks, best of one narrow range of content keys.

        Only shards whose range holds one of the keys are opened, and of them only keys, then the vectors of contents that some chunk
        without a stored row needs. A content that is stored twice is taken from the first shard by name.
        """
        wanted = pc.unique(chunks.column("content_key"))
        prefixes = np.sort(key_prefixes(wanted))
        row_keys = pc.unique(chunks.column("row_key"))
        rows: dict[bytes, tuple[str, int]] = {}
        places: dict[bytes, tuple[str, int]] = {}
        for shard in self._that_may_hold(prefixes):
            keys = self.workspace.read_shard(shard.name, ["content_key", "row_key"])
            for number, row in _found(keys.column("row_key"), row_keys):
                rows.setdefault(row, (shard.name, number))
            for number, content in _found(keys.column("content_key"), wanted):
                places.setdefault(content, (shard.name, number))
        stored = pa.array(list(rows), row_keys.type)
        needed = pc.unique(chunks.filter(pc.invert(pc.is_in(chunks.column("row_key"), stored))).column("content_key"))
        return Known(rows, self._vectors([places[content] for content in needed.to_pylist() if content in places]))

    def _that_may_hold(self, prefixes: npt.NDArray[np.uint32]) -> list[Shard]:
        """Shards in whose range one of the ordered prefixes lies."""
        starts, ends = np.searchsorted(prefixes, self._ranges)
        return [self.shards[number] for number in np.flatnonzero(starts < ends).tolist()]

    @cached_property
    def _ranges(self) -> npt.NDArray[np.uint64]:
        """Where each shard's range starts and ends, shape (2, shards): thousands of buckets ask thousands of shards."""
        ranges = [(shard.first, shard.last + 1) for shard in self.shards]
        return np.array(ranges, np.uint64).reshape(-1, 2).T

    def _vectors(self, places: Sequence[tuple[str, int]]) -> pa.Table:
        """Rows of the `KNOWN` schema from some places, shard by shard."""
        numbers: dict[str, list[int]] = {}
        for shard, number in places:
            numbers.setdefault(shard, []).append(number)
        columns = ["content_key", *(VECTOR_COLUMNS[name] for name in self.outputs)]
        tables = [KNOWN.empty_table()]
        for shard, of_shard in numbers.items():
            stored = self.workspace.read_shard(shard, columns, np.sort(of_shard))
            tables.append(
                pa.table(
                    [
                        stored.column(field.name).cast(field.type)
                        if field.name in columns
                        else pa.nulls(stored.num_rows, field.type)
                        for field in KNOWN
                    ],
                    schema=KNOWN,
                )
            )
        return pa.concat_tables(tables)


def _found(keys: pa.ChunkedArray, wanted: pa.Array) -> list[tuple[int, bytes]]:
    """The first row of each wanted key, ascending; a hot content may fill a shard, so that rows are not looked at one by one."""
    codes = pc.fill_null(pc.index_in(keys, wanted), -1).to_numpy()
    numbers = np.flatnonzero(codes >= 0)
    _, first = np.unique(codes[numbers], return_index=True)
    numbers = np.sort(numbers[first])
    return list(zip(numbers.tolist(), keys.take(pa.array(numbers)).to_pylist(), strict=True))
