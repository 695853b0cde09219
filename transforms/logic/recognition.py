"""Which documents the ledger knows as they are: their key decides before anything looks into their text.

Workers compare by the head of a key, its first 64 bits: they hold nothing else of what the ledger knows. The tails meet where the rows
are held (`notices`), so that documents that share a head are told apart, or the run fails. Documents are compared within their source
and their bucket, at most some 10^5 of them: a document that is not known has a known one's head with a chance of 10^5 / 2^64.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.logic.identity import document_key
from transforms.logic.schemas import KEY, RECOGNISED, with_columns

_HEAD = np.dtype("<u8")
_COUNT = np.dtype("<u4")
_DECIDING = ("text", "document_id", "declared_language", "source", "date", "metadata")

KEY_COLUMNS = ("source", "document_id", "document_key")
"""What of the ledger says which documents are known."""

Known = tuple[bytes, bytes]
"""Documents of one source: first pairs of little-endian uint32, a bucket and how many of them lie in it, ascending; then the heads of
their keys, little-endian uint64, by bucket, ascending."""


class Recognition(NamedTuple):
    """What of each document of a batch is known; arrays of shape (n,), int64.

    Attributes:
        ranks: the place of its key's head among those of `known`, or -1 if the document is not known as it is.
        known: how many different heads the ledger knows of its source in its bucket.
    """

    ranks: npt.NDArray[np.int64]
    known: npt.NDArray[np.int64]


class KnownKeys:
    """Heads of the keys of one source, by bucket: 8 bytes for each document, in the memory that they came in."""

    def __init__(self, parts: Iterable[Known]) -> None:
        """Takes what parts of a ledger know of the source; several may know of one bucket."""
        found: dict[int, list[npt.NDArray[np.uint64]]] = defaultdict(list)
        for counts, heads in parts:
            numbers, start = np.frombuffer(heads, _HEAD), 0
            for bucket, count in np.frombuffer(counts, _COUNT).reshape(-1, 2).tolist():
                found[bucket].append(numbers[start : start + count])
                start += count
        self._heads: dict[int, npt.NDArray[np.uint64]] = {}
        self._shared: dict[int, npt.NDArray[np.uint64]] = {}
        for bucket, (first, *others) in found.items():
            self._heads[bucket] = first
            if others or (first[1:] == first[:-1]).any():
                distinct, uses = np.unique(np.concatenate([first, *others]), return_counts=True)
                self._heads[bucket], self._shared[bucket] = distinct, distinct[uses > 1]

    def ranks(self, bucket: int, heads: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], int]:
        """The rank of each head in a bucket, shape (n,), -1 if it is not known, and how many different ones are.

        A head that several known documents share does not say which of them it is, and counts as not known.
        """
        known = self._heads.get(bucket)
        if known is None:
            return np.full(len(heads), -1), 0
        places = np.minimum(np.searchsorted(known, heads), len(known) - 1)
        found = known[places] == heads
        if len(self._shared.get(bucket, ())):
            found &= ~np.isin(heads, self._shared[bucket])
        return np.where(found, places, -1), len(known)


def with_keys(batch: pa.RecordBatch, recipe: str) -> pa.RecordBatch:
    """A batch of `RECORDS` as one of `RECOGNISED`.

    The key covers everything that decides a document's rows: all that was read of it but its position within the source, which moves when
    a neighbour changes, and the `recipe`, the fingerprint of how documents become rows.
    """
    fields = (batch.column(name).to_pylist() for name in _DECIDING)
    keys = [document_key(recipe, *values) for values in zip(*fields, strict=True)]
    return with_columns(batch, RECOGNISED, document_key=pa.array(keys, KEY))


def heads_and_tails(keys: pa.Array) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Both halves of each `KEY` value, none null, as numbers: shape (n,) each."""
    if not len(keys):
        return np.empty(0, _HEAD), np.empty(0, _HEAD)
    halves = np.frombuffer(keys.buffers()[1], _HEAD, 2 * len(keys), KEY.byte_width * keys.offset).reshape(-1, 2)
    return halves[:, 0], halves[:, 1]


def starts_of_runs(*columns: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Where each run of equal rows starts, shape (runs,), of ordered columns of one length."""
    changes = np.ones(len(columns[0]), np.bool_)
    changes[1:] = False
    for column in columns:
        changes[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changes)


def runs(*columns: npt.NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Where each of these runs starts and ends."""
    return pairwise([*starts_of_runs(*columns).tolist(), len(columns[0])])


def known_by_source(part: pa.Table, buckets: npt.NDArray[np.int64]) -> dict[str, Known]:
    """What is known of each source.

    Args:
        part: some `LEDGER` rows, of which `KEY_COLUMNS` are enough; one without a source or a key tells nothing.
        buckets: the bucket of each row's document, shape (rows,).
    """
    telling = pc.and_(part.column("document_key").is_valid(), part.column("source").is_valid())
    rows = part.select(["source", "document_key"]).filter(telling).combine_chunks()
    if not rows.num_rows:
        return {}
    sources = rows.column("source").chunk(0).dictionary_encode()
    heads, tails = heads_and_tails(rows.column("document_key").chunk(0))
    numbers, of_rows = sources.indices.to_numpy(), buckets[telling.to_numpy()]
    order = np.lexsort((tails, heads, of_rows, numbers))
    # A document has a row for each of its chunks.
    first = order[starts_of_runs(numbers[order], of_rows[order], heads[order], tails[order])]
    numbers, of_rows, heads = numbers[first], of_rows[first], heads[first]
    known = {}
    for start, end in runs(numbers):
        counts = np.stack(np.unique(of_rows[start:end], return_counts=True), axis=1)
        source = sources.dictionary[int(numbers[start])].as_py()
        known[source] = (counts.astype(_COUNT).tobytes(), heads[start:end].tobytes())
    return dict(sorted(known.items()))


def recognise(batch: pa.RecordBatch, buckets: npt.NDArray[np.int64], known: Mapping[str, KnownKeys]) -> Recognition:
    """Looks documents up.

    Args:
        batch: documents of `RECOGNISED`, with their keys.
        buckets: the bucket of each, shape (n,).
        known: what the ledger knows of each source in the batch.
    """
    sources = batch.column("source").dictionary_encode()
    numbers, (heads, _) = sources.indices.to_numpy(), heads_and_tails(batch.column("document_key"))
    result = Recognition(np.full(batch.num_rows, -1), np.zeros(batch.num_rows, np.int64))
    order = np.lexsort((buckets, numbers))
    for start, end in runs(numbers[order], buckets[order]):
        here = order[start:end]
        keys = known[sources.dictionary[int(numbers[here[0]])].as_py()]
        result.ranks[here], result.known[here] = keys.ranks(int(buckets[here[0]]), heads[here])
    return result
