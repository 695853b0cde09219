"""The committed ledger asked by bucket of documents: which rows a collection holds of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from transforms.adapters.workspace import Workspace
from transforms.logic.identity import PREFIXES, bucket_of_prefix, buckets_of, text_prefixes
from transforms.logic.schemas import LEDGER


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
        for name in self.parts:
            first, last = prefix_range(name)
            if not bucket_of_prefix(first, bucket_count) <= bucket <= bucket_of_prefix(last, bucket_count):
                continue
            rows = self.workspace.read_ledger_part(name)
            if bucket_of_prefix(first, bucket_count) == bucket_of_prefix(last, bucket_count):
                whole.append(name)
            else:
                prefixes = text_prefixes(rows.column("document_id").to_pylist())
                rows = rows.filter(pa.array(buckets_of(prefixes, bucket_count) == bucket))
            tables.append(rows)
        return LedgerBucket(pa.concat_tables(tables), tuple(whole) if len(whole) == len(tables) - 1 else None)


def prefix_range(part: str) -> tuple[int, int]:
    """First and last prefix of the document ids in a part, by its name; a part of an earlier version may hold any."""
    first, _, rest = part.partition("-")
    return (int(first, 16), int(rest.partition("-")[0], 16)) if rest else (0, PREFIXES - 1)
