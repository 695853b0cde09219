"""The committed ledger asked by bucket of documents: which rows a collection holds of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.adapters.workspace import Ledger, Workspace
from transforms.logic.identity import PREFIXES, bucket_of_prefix, buckets_of, text_prefixes
from transforms.logic.schemas import LEDGER

_BUCKET_ROWS = 1 << 16
_MAX_BUCKETS = 4096


@dataclass(frozen=True)
class LedgerBucket:
    """Rows of the `LEDGER` schema of one bucket; `parts` names the parts that hold them and no others, or is None if some hold more."""

    rows: pa.Table
    parts: tuple[str, ...] | None


@dataclass(frozen=True)
class LedgerBuckets:
    """Lookups in the parts of one committed ledger. Picklable.

    Rows are read where they are needed and never shuffled, so that a worker holds those of one bucket.
    """

    workspace: Workspace
    parts: Sequence[str]

    def of_bucket(self, bucket: int, bucket_count: int) -> LedgerBucket:
        """The rows of a bucket of document ids; only parts whose range meets the bucket's are opened."""
        tables, whole = [LEDGER.empty_table()], []
        first, last = buckets_of(self._ranges, bucket_count)
        for number in np.flatnonzero((first <= bucket) & (bucket <= last)).tolist():
            name = self.parts[number]
            rows = self.workspace.read_ledger_part(name)
            if first[number] == last[number]:
                whole.append(name)
            else:
                rows = rows.filter(pa.array(buckets_of_rows(name, rows, bucket_count) == bucket))
            tables.append(rows)
        return LedgerBucket(pa.concat_tables(tables), tuple(whole) if len(whole) == len(tables) - 1 else None)

    @cached_property
    def _ranges(self) -> npt.NDArray[np.uint32]:
        """First and last prefix of each part, shape (2, parts): thousands of buckets ask thousands of parts."""
        return np.array([prefix_range(name) for name in self.parts], np.uint32).reshape(-1, 2).T


def document_bucket_count(ledger: Ledger, at_least: int) -> int:
    """Into how many buckets the documents of a run are put: enough that a worker may hold the rows of one.

    Doubled where `at_least` is too few, so that a growing ledger is seldom cut anew, and then each part in two.
    """
    count = at_least
    while ledger.rows > count * _BUCKET_ROWS and 2 * count <= _MAX_BUCKETS:
        count *= 2
    return count


def buckets_of_rows(part: str, rows: pa.Table, bucket_count: int) -> npt.NDArray[np.int64]:
    """The bucket of each row's document, shape (n,), of a part of a ledger by its name."""
    first, last = (bucket_of_prefix(prefix, bucket_count) for prefix in prefix_range(part))
    if first == last:
        return np.full(rows.num_rows, first)
    # A document has a row for each of its chunks, and is hashed once.
    documents = rows.column("document_id").combine_chunks().dictionary_encode()
    of_documents = buckets_of(text_prefixes(documents.dictionary.to_pylist()), bucket_count)
    of_rows: npt.NDArray[np.int64] = of_documents[documents.indices.to_numpy()]
    return of_rows


def prefix_range(part: str) -> tuple[int, int]:
    """First and last prefix of the document ids in a part, by its name; a part of an earlier version may hold any."""
    first, _, rest = part.partition("-")
    return (int(first, 16), int(rest.partition("-")[0], 16)) if rest else (0, PREFIXES - 1)
