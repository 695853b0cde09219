"""Full-precision vectors of some chunks, read from the dataset by what they are of.

A row of Milvus holds its text, so its content key needs no ledger: it names the few shards whose range it lies in, and of these only the
keys, and then the pages with a wanted vector, are read. What is in memory does not grow with the collection.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.adapters.workspace import Shard, Workspace
from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import content_key, key_prefixes
from transforms.logic.schemas import KEY
from transforms.logic.vector_columns import from_list_array
from transforms.logic.vectors import Float32

_READERS = 16
"""Shards that are read at once: of an object store each costs some waiting."""


class FullVectors:
    """The dense vectors of a dataset. Several threads may ask at once."""

    def __init__(self, uri: str, embedding_space: str) -> None:
        """Lists the shards of the space once; a workspace without any raises `ConfigurationError`."""
        self._workspace = Workspace(uri.rstrip("/"), embedding_space, "")
        self._shards = self._workspace.shards()
        if not self._shards:
            raise ConfigurationError(
                f"--workspace {uri!r} holds no vectors of the collection's embedding space; name the workspace that its runs wrote to"
            )

    def of(self, texts: Sequence[str]) -> Float32:
        """Vectors of chunk texts, in their order, shape (n, full), float32.

        Raises:
            ConfigurationError: the dataset lacks one of them.
            CorruptDataError: a shard cannot be read.
        """
        keys = pa.array([content_key(self._workspace.space, text) for text in texts], KEY)
        prefixes = np.sort(key_prefixes(keys))
        shards = [one for one in self._shards if _holds_any(one, prefixes)]
        with ThreadPoolExecutor(_READERS) as readers:
            parts = list(readers.map(lambda shard: self._from_shard(shard, keys), shards))
        rows = {
            place: vector for places, vectors in reversed(parts) for place, vector in zip(places, vectors, strict=True)
        }
        missing = len(texts) - len(rows)
        if missing:
            raise ConfigurationError(
                f"the dataset {self._workspace.uri!r} lacks the vectors of {missing} of {len(texts)} chunks that were found; "
                "name the workspace that the collection's runs wrote to, or leave --workspace out"
            )
        return np.array([rows[place] for place in range(len(texts))], np.float32)

    def _from_shard(self, shard: Shard, keys: pa.Array) -> tuple[list[int], Float32]:
        """Places of the wanted keys that a shard holds, and their vectors."""
        stored = self._workspace.read_shard(shard.name, ["content_key"]).column("content_key")
        numbers = pc.index_in(keys, stored.combine_chunks()).to_numpy(zero_copy_only=False)
        places = np.flatnonzero(~np.isnan(numbers.astype(np.float64)))
        if not len(places):
            return [], np.empty((0, 0), np.float32)
        # Equal texts have one vector, and are stored in one place.
        wanted, inverse = np.unique(numbers[places].astype(np.int64), return_inverse=True)
        column = self._workspace.read_shard(shard.name, ["vector"], wanted).column("vector")
        return places.tolist(), from_list_array(column, column.type.list_size)[inverse]


def _holds_any(shard: Shard, prefixes: np.ndarray) -> bool:
    first, last = np.searchsorted(prefixes, [shard.first, shard.last + 1])
    return bool(first < last)
