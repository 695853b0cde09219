"""CompressVectors: from full precision to the representation that Milvus holds."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.logic.representations import Representation, represent
from transforms.logic.vector_columns import from_list_array, to_list_array
from transforms.metrics import ByProducts, Stopwatch, tally, with_by_products


class CompressVectors(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Dataset rows in; the same rows with `dense`, the representation, instead of `vector` out."""

    def __init__(self, representation: Representation, by_products: ByProducts) -> None:
        """Takes how a vector is stored."""
        super().__init__()
        self._function = _CompressFn(representation)
        self._by_products = by_products

    def expand(self, rows: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """Rows in, compressed rows out."""
        return self._by_products.take(rows | with_by_products(self._function))


def compress_vectors(batch: pa.RecordBatch, representation: Representation) -> pa.RecordBatch:
    """The pure twin: `vector` (full, float16) becomes `dense`, what `represent` gives; a batch without `vector` passes as it is."""
    index = batch.schema.get_field_index("vector")
    if index < 0:
        return batch
    column = batch.column(index)
    vectors = from_list_array(column, column.type.list_size)
    return batch.set_column(index, "dense", to_list_array(represent(vectors, representation)))


class _CompressFn(beam.DoFn):
    def __init__(self, representation: Representation) -> None:
        self._representation = representation

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running():
            compressed = compress_vectors(batch, self._representation)
        yield compressed
        count = batch.num_rows if compressed is not batch else 0
        yield tally("compress", **{"seconds": watch.seconds, "vectors.compressed": count})
