"""Which sampled documents and contents a workspace knows already, without reading all that it holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.adapters.ledger_buckets import prefix_range
from transforms.adapters.workspace import Ledger, Shard, Workspace
from transforms.logic.identity import PREFIXES, key_prefixes, text_prefixes
from transforms.logic.schemas import KEY

MOST_FILES = 256
"""Of a larger ledger or dataset a range of keys is looked up: digests are spread evenly, so that it stands for all."""

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class KnownBefore:
    """What of a sample is known, as weights: 0 of what is not known, else the inverse of the share of keys that are looked up."""

    documents_keys: pa.Array
    documents_below: int
    contents_keys: pa.Array
    contents_below: int

    def documents(self, keys: pa.Array, document_ids: Sequence[str]) -> Weights:
        """Weights, shape (n,), of documents by their keys and ids."""
        return _weights(keys, text_prefixes(document_ids), self.documents_keys, self.documents_below)

    def contents(self, keys: pa.Array) -> Weights:
        """Weights, shape (n,), of contents by their keys."""
        if not len(keys):
            return np.zeros(0)
        return _weights(keys, key_prefixes(keys), self.contents_keys, self.contents_below)


def _weights(keys: pa.Array, prefixes: np.ndarray, known: pa.Array, below: int) -> Weights:
    found = pc.is_in(keys, known).to_numpy(zero_copy_only=False) & (prefixes < below)
    weights: Weights = found * (PREFIXES / below)
    return weights


def read_known(workspace: Workspace, shards: Sequence[Shard], ledger: Ledger) -> KnownBefore:
    """Reads keys of the ledger and of the dataset, of `MOST_FILES` files each at most.

    Raises:
        CorruptDataError: a file that the ledger names is gone or damaged, or a shard is.
    """
    parts = {name: prefix_range(name)[0] for name in ledger.parts}
    documents_below = _reach(parts.values())
    contents_below = _reach(shard.first for shard in shards)
    return KnownBefore(
        _together(
            workspace.read_ledger_part(name, ("document_key",)).column("document_key")
            for name, first in parts.items()
            if first < documents_below
        ),
        documents_below,
        _together(
            workspace.read_shard(shard.name, ("content_key",)).column("content_key")
            for shard in shards
            if shard.first < contents_below
        ),
        contents_below,
    )


def _reach(firsts: Iterable[int]) -> int:
    """Below which prefix few enough files lie; all where that cannot be told, as files cover everything."""
    ordered = sorted(firsts)
    return (ordered[MOST_FILES] if len(ordered) > MOST_FILES else 0) or PREFIXES


def _together(columns: Iterable[pa.ChunkedArray]) -> pa.Array:
    chunks = [pc.unique(column.drop_null()) for column in columns]
    return pc.unique(pa.concat_arrays(chunks)) if chunks else pa.array([], KEY)
