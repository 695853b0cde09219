"""CompressVectors: from full precision to the representation that Milvus holds."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.logic.vectors import from_list_array, to_list_array, truncate
from transforms.metrics import ByProducts, Stopwatch, tally, with_by_products


class CompressVectors(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Dataset rows in; the same rows with `dense`, the representation, instead of `vector` out."""

    def __init__(self, dimensions: int | None, by_products: ByProducts) -> None:
        """Takes how many dimensions are kept; None keeps all."""
        super().__init__()
        self._function = _CompressFn(dimensions)
        self._by_products = by_products

    def expand(self, rows: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """Rows in, compressed rows out."""
        return self._by_products.take(rows | with_by_products(self._function))


def compress_vectors(batch: pa.RecordBatch, dimensions: int | None) -> pa.RecordBatch:
    """The pure twin: `vector` (full, float16) becomes `dense` (kept, float32) of unit length."""
    column = batch.column("vector")
    vectors = truncate(from_list_array(column, column.type.list_size), dimensions)
    index = batch.schema.get_field_index("vector")
    return batch.set_column(index, "dense", to_list_array(vectors))


class _CompressFn(beam.DoFn):
    def __init__(self, dimensions: int | None) -> None:
        self._dimensions = dimensions

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running():
            compressed = compress_vectors(batch, self._dimensions)
        yield compressed
        yield tally("compress", **{"seconds": watch.seconds, "vectors.compressed": batch.num_rows})
