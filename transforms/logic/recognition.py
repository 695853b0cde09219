"""Which documents the ledger knows as they are: their key decides before anything looks into their text."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.logic.identity import document_key
from transforms.logic.schemas import KEY, RECOGNISED, with_columns

_KEY_BYTES = 16
_DECIDING = ("text", "document_id", "declared_language", "source", "date", "metadata")

KEY_COLUMNS = ("source", "document_key")
"""What of the ledger says which documents are known."""


class KnownKeys:
    """A set of 128-bit keys in as many bytes: 16 for each."""

    def __init__(self, keys: bytes) -> None:
        """Takes keys end to end, in any order."""
        self._keys = np.sort(_keys_of(keys))

    def hold(self, keys: pa.Array) -> npt.NDArray[np.bool_]:
        """Which of some `KEY` values are known, shape (n,)."""
        if not len(self._keys):
            return np.zeros(len(keys), np.bool_)
        wanted = _keys_of(b"".join(keys.to_pylist()))
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.asarray(self._keys[places] == wanted)


def _keys_of(keys: bytes) -> npt.NDArray[np.bytes_]:
    # Zeros at its end do not count in a comparison, which makes no difference where all keys are equally long.
    return np.frombuffer(keys, f"S{_KEY_BYTES}")


def with_keys(batch: pa.RecordBatch, recipe: str) -> pa.RecordBatch:
    """A batch of `RECORDS` as one of `RECOGNISED`.

    The key covers everything that decides a document's rows: all that was read of it but its position within the source, which moves when
    a neighbour changes, and the `recipe`, the fingerprint of how documents become rows.
    """
    fields = (batch.column(name).to_pylist() for name in _DECIDING)
    keys = [document_key(recipe, *values) for values in zip(*fields, strict=True)]
    return with_columns(batch, RECOGNISED, document_key=pa.array(keys, KEY))


def known_by_source(part: pa.Table) -> dict[str, bytes]:
    """Keys of the documents of some `LEDGER` rows, of which `KEY_COLUMNS` are enough, end to end, by their source."""
    rows = part.filter(pc.is_valid(part.column("document_key"))).combine_chunks()
    sources = rows.column("source").combine_chunks().dictionary_encode()
    numbers, keys = sources.indices.to_numpy(), _keys_of(b"".join(rows.column("document_key").to_pylist()))
    order = np.lexsort((keys, numbers))
    numbers, keys = numbers[order], keys[order]
    # A document has a row for each of its chunks.
    first = np.ones(len(keys), np.bool_)
    first[1:] = (numbers[1:] != numbers[:-1]) | (keys[1:] != keys[:-1])
    numbers, keys = numbers[first], keys[first]
    borders = np.searchsorted(numbers, np.arange(len(sources.dictionary) + 1))
    found = zip(sources.dictionary.to_pylist(), pairwise(borders.tolist()), strict=True)
    return {source: keys[start:end].tobytes() for source, (start, end) in sorted(found)}


def recognise(batch: pa.RecordBatch, known: Mapping[str, KnownKeys]) -> npt.NDArray[np.bool_]:
    """Which documents of a batch of `RECOGNISED` are known as they are, shape (n,).

    Args:
        batch: documents with their keys.
        known: the keys that the ledger holds of each source in the batch.
    """
    sources = batch.column("source").dictionary_encode()
    found = np.zeros(batch.num_rows, np.bool_)
    for number, source in enumerate(sources.dictionary.to_pylist()):
        of_source = np.flatnonzero(sources.indices.to_numpy() == number)
        found[of_source] = known[source].hold(batch.column("document_key").take(pa.array(of_source)))
    return found
