"""Full-precision vectors of some chunks, read from the dataset by what they are of.

A row of Milvus holds its text, so its content key needs no ledger: it names the few shards whose range it lies in. A shard is sorted by
content key, so of these only the row groups whose range the key lies in are decoded, each once for a question however many candidates are
in it, and their vectors only if the key is there. Content keys are digests: neighbours in a row group are no neighbours in meaning, so
what is kept for later questions is single vectors, the last asked for first. What is in memory does not grow with the collection.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.adapters.workspace import Shard, Workspace
from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.identity import content_key, key_prefixes
from transforms.logic.schemas import KEY
from transforms.logic.vectors import Float32

_READERS = 16
"""Shards that are read at once: of an object store each costs some waiting."""
_KEPT_BYTES = 64 << 20
"""Some 70,000 vectors of 384 dimensions."""
_ENTRY_BYTES = 200
"""What an entry takes beside its numbers: the key, the array's header, its place in the order."""

Stored = npt.NDArray[np.float16]


class FullVectors:
    """The dense vectors of a dataset. Several threads may ask at once."""

    def __init__(self, uri: str, embedding_space: str, kept_bytes: int = _KEPT_BYTES) -> None:
        """Lists the shards of the space; vectors that were asked for are kept within so many bytes.

        Raises:
            ConfigurationError: the workspace holds no vectors of the space.
        """
        self._workspace = Workspace(uri.rstrip("/"), embedding_space, "")
        self._kept = _Kept(kept_bytes)
        self._shards = self._workspace.shards()
        if not self._shards:
            raise ConfigurationError(
                f"--workspace {uri!r} holds no vectors of the collection's embedding space; name the workspace that its runs wrote to"
            )

    def of(self, texts: Sequence[str]) -> Float32:
        """Vectors of chunk texts, in their order, shape (n, full), float32; (0, 0) for none.

        Raises:
            ConfigurationError: the dataset lacks one of them.
            CorruptDataError: a shard cannot be read.
        """
        keys = [content_key(self._workspace.space, text) for text in texts]
        found = self._kept.of(keys)
        if not found.keys() >= set(keys):
            read = self._look({*keys} - found.keys())
            self._kept.add(read)
            found.update(read)
        missing = sum(key not in found for key in keys)
        if missing:
            raise ConfigurationError(
                f"the dataset {self._workspace.uri!r} lacks the vectors of {missing} of {len(texts)} chunks that were found; "
                "name the workspace that the collection's runs wrote to, or leave --workspace out"
            )
        return np.array([found[key] for key in keys], np.float32).reshape(len(keys), -1 if keys else 0)

    def _look(self, keys: set[bytes]) -> dict[bytes, Stored]:
        """What the shards hold of some keys; they are listed anew if that is not all, as runs add some and `gc` removes some."""
        before = self._shards
        try:
            found = self._read(before, keys)
        except CorruptDataError:
            self._shards = self._workspace.shards()
            if self._shards == before:
                raise
            return self._read(self._shards, keys)
        if len(found) < len(keys):
            self._shards = self._workspace.shards()
            known = set(before)
            found.update(self._read([one for one in self._shards if one not in known], keys - found.keys()))
        return found

    def _read(self, shards: Sequence[Shard], keys: set[bytes]) -> dict[bytes, Stored]:
        wanted = pa.array(sorted(keys), KEY)
        prefixes = key_prefixes(wanted)
        some = [one for one in shards if _holds_any(one, prefixes)]
        with ThreadPoolExecutor(_READERS) as readers:
            parts = list(readers.map(lambda shard: dict(self._from_shard(shard, wanted)), some))
        # A content that two runs stored has the same vector in both; the first shard's stands.
        return {key: vector for part in reversed(parts) for key, vector in part.items()}

    def _from_shard(self, shard: Shard, wanted: pa.Array) -> Iterator[tuple[bytes, Stored]]:
        """Those of the ordered keys that a shard holds, with their vectors."""
        with self._workspace.open_shard(shard.name) as file:
            for group, keys in _groups(file.metadata, wanted):
                stored = file.read_row_group(group, ["content_key"], use_threads=False).column(0).combine_chunks()
                numbers = pc.index_in(keys, stored)
                there = pc.is_valid(numbers)
                if not pc.any(there).as_py():
                    continue
                vectors = file.read_row_group(group, ["vector"], use_threads=False).column(0).combine_chunks()
                taken = vectors.take(numbers.drop_null())
                flat = taken.flatten().to_numpy(zero_copy_only=False)
                rows = flat.reshape(-1, vectors.type.list_size)
                yield from zip(keys.filter(there).to_pylist(), map(np.copy, rows), strict=True)


class _Kept:
    """Vectors by content key, of which those that were not asked for the longest go first. Several threads may use it at once."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._vectors: OrderedDict[bytes, Stored] = OrderedDict()
        self._lock = Lock()

    def of(self, keys: Iterable[bytes]) -> dict[bytes, Stored]:
        """Those that are kept."""
        with self._lock:
            found = {key: self._vectors[key] for key in keys if key in self._vectors}
            for key in found:
                self._vectors.move_to_end(key)
        return found

    def add(self, vectors: Mapping[bytes, Stored]) -> None:
        with self._lock:
            for key, vector in vectors.items():
                if key not in self._vectors:
                    self._vectors[key] = vector
                    self._bytes += vector.nbytes + _ENTRY_BYTES
            while self._bytes > self._most_bytes:
                _, vector = self._vectors.popitem(last=False)
                self._bytes -= vector.nbytes + _ENTRY_BYTES


def _groups(metadata: pq.FileMetaData, wanted: pa.Array) -> Iterator[tuple[int, pa.Array]]:
    """Row groups that may hold one of the ordered keys, each with those keys."""
    column = metadata.schema.names.index("content_key")
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(column).statistics
        keys = wanted
        if statistics is not None and statistics.has_min_max:
            keys = wanted.filter(
                pc.and_(pc.greater_equal(wanted, _key(statistics.min)), pc.less_equal(wanted, _key(statistics.max)))
            )
        if len(keys):
            yield group, keys


def _key(value: bytes) -> pa.Scalar:
    return pa.scalar(value, KEY)


def _holds_any(shard: Shard, prefixes: np.ndarray) -> bool:
    first, last = np.searchsorted(prefixes, [shard.first, shard.last + 1])
    return bool(first < last)
