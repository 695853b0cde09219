"""LoadRows: from places in the dataset back to rows with full-precision vectors."""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.adapters.workspace import Workspace
from transforms.group import KeyByBucket
from transforms.logic.errors import CorruptDataError
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.schemas import LEDGER, concatenate, row_schema, slices
from transforms.metrics import ByProducts, Stopwatch, tally, with_by_products


class LoadRows(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Batches of the `LEDGER` schema to batches of dataset rows, a shard read once, its rows ordered by partition.

    Reading back what was stored, rather than passing it on, keeps text and vectors out of the shuffle and proves that they are there.
    """

    def __init__(
        self,
        workspace: Workspace,
        bucket_count: int,
        by_products: ByProducts,
        outputs: tuple[Output, ...] = OUTPUTS[:1],
    ) -> None:
        """Takes over how many buckets the shards are spread, and which of their outputs are wanted."""
        super().__init__()
        self._bucket_count = bucket_count
        self._function = _LoadFn(workspace, row_schema(1, outputs).names)
        self._by_products = by_products

    def expand(self, places: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """Places in, rows out."""
        grouped = places | "By shard" >> KeyByBucket("shard", "text", self._bucket_count) | beam.GroupByKey()
        return self._by_products.take(grouped | with_by_products(self._function))


class _LoadFn(beam.DoFn):
    def __init__(self, workspace: Workspace, columns: list[str]) -> None:
        self._workspace = workspace
        self._columns = columns

    def process(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        places = concatenate(element[1], LEDGER).sort_by([("shard", "ascending"), ("row", "ascending")])
        watch = Stopwatch()
        for shard in places.column("shard").unique().sort().to_pylist():
            with watch.running():
                of_shard = places.filter(pa.compute.equal(places.column("shard"), shard))
                numbers = of_shard.column("row").to_numpy()
                rows = self._workspace.read_shard(shard, self._columns, numbers, whole=True)
                if not rows.column("row_key").combine_chunks().equals(of_shard.column("row_key").combine_chunks()):
                    message = (
                        f"{shard} does not hold the rows that the ledger names in it; "
                        "start anew with another workspace and collection"
                    )
                    raise CorruptDataError(message)
                rows = rows.sort_by([("partition", "ascending"), ("id", "ascending")])
            yield from slices(rows)
        yield tally("load", **{"seconds": watch.seconds, "rows.loaded": places.num_rows})
