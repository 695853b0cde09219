"""The dataset asked by key: which rows and vectors of a bucket are stored already."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.adapters.workspace import Shard, Workspace
from transforms.logic.identity import key_prefixes
from transforms.logic.reuse import Known


@dataclass(frozen=True)
class KnownVectors:
    """Lookups in the shards of one embedding space, frozen when the run was planned. Picklable."""

    workspace: Workspace
    shards: Sequence[Shard]

    def of_chunks(self, chunks: pa.Table) -> Known:
        """What is stored of some chunks, best of one narrow range of content keys.

        Only shards whose range holds one of the keys are opened, and of them only keys, then the vectors that are needed. A content
        that is stored twice is taken from the first shard by name.
        """
        wanted = pc.unique(chunks.column("content_key"))
        prefixes = np.sort(key_prefixes(wanted))
        row_keys = pc.unique(chunks.column("row_key"))
        rows: dict[bytes, tuple[str, int]] = {}
        vectors: dict[bytes, np.ndarray] = {}
        for shard in self.shards:
            if not _holds_any(shard, prefixes):
                continue
            keys = self.workspace.read_shard(shard.name, ["content_key", "row_key"])
            for number, row in _found(keys.column("row_key"), row_keys):
                rows.setdefault(row, (shard.name, number))
            unknown = []
            for number, content in _found(keys.column("content_key"), wanted):
                if content not in vectors:
                    vectors[content] = np.empty(0, np.float16)
                    unknown.append((number, content))
            if unknown:
                numbers = np.array([number for number, _ in unknown])
                column = self.workspace.read_shard(shard.name, ["vector"], numbers).column("vector").combine_chunks()
                stored = column.flatten().to_numpy(zero_copy_only=False).reshape(len(numbers), -1)
                vectors.update((content, vector) for (_, content), vector in zip(unknown, stored, strict=True))
        return Known(rows, vectors)


def _found(keys: pa.ChunkedArray, wanted: pa.Array) -> list[tuple[int, bytes]]:
    """The first row of each wanted key, ascending; a hot content may fill a shard, so that rows are not looked at one by one."""
    codes = pc.fill_null(pc.index_in(keys, wanted), -1).to_numpy()
    numbers = np.flatnonzero(codes >= 0)
    _, first = np.unique(codes[numbers], return_index=True)
    numbers = np.sort(numbers[first])
    return list(zip(numbers.tolist(), keys.take(pa.array(numbers)).to_pylist(), strict=True))


def _holds_any(shard: Shard, prefixes: np.ndarray) -> bool:
    """Whether one of the ordered prefixes lies in the shard's range."""
    first, last = np.searchsorted(prefixes, [shard.first, shard.last + 1])
    return bool(first < last)
