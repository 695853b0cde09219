"""ReadHeldRows: what a ledger says that a collection holds, as if a run had just made it."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.adapters.workspace import Workspace
from transforms.logic.schemas import POINTERS, Origin, slices
from transforms.metrics import ByProducts, Stopwatch, tally, with_by_products


class ReadHeldRows(beam.PTransform[PCollection[str], PCollection[pa.RecordBatch]]):
    """Names of ledger parts to batches of the `POINTERS` schema; every document is counted as read."""

    def __init__(self, workspace: Workspace, by_products: ByProducts) -> None:
        """Takes the workspace with the key of the collection whose ledger is read."""
        super().__init__()
        self._function = _ReadHeldFn(workspace)
        self._by_products = by_products

    def expand(self, parts: PCollection[str]) -> PCollection[pa.RecordBatch]:
        """Names in, rows out."""
        return self._by_products.take(parts | beam.Reshuffle() | with_by_products(self._function))


def pointers_of(held: pa.Table) -> pa.Table:
    """Rows of the `LEDGER` schema as rows of the `POINTERS` schema, each document from one place."""
    count = held.num_rows
    given = {
        "source": pc.fill_null(held.column("source"), ""),
        "position": pa.array([0] * count, pa.int64()),
        "tokens": pa.array([0] * count, pa.int32()),
        "origin": pa.array([Origin.STORED.value] * count, pa.string()),
    }
    columns = [given[name] if name in given else held.column(name) for name in POINTERS.names]
    return pa.table(columns, schema=POINTERS)


class _ReadHeldFn(beam.DoFn):
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def process(self, name: str) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running():
            held = self._workspace.read_ledger_part(name)
            # All rows of a document lie in one part.
            documents = len(held.column("document_id").unique())
        yield from slices(pointers_of(held))
        rows = held.num_rows
        counts = {"documents.read": documents, "chunks.split": rows, "chunks.looked_up": rows}
        yield tally("read", **{"seconds": watch.seconds, "splits.read": 1, **counts})
