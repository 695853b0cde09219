"""ReadDocuments: every record of the planned splits becomes a document or a reject."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.adapters.formats import Split, read_split
from transforms.logic.records import Columns
from transforms.logic.schemas import RECORDS, batch_of
from transforms.metrics import ByProducts, Stopwatch, rejected, tally, with_by_products


class ReadDocuments(beam.PTransform[PCollection[Split], PCollection[pa.RecordBatch]]):
    """Splits to batches of the `RECORDS` schema. Splits are spread over workers first."""

    def __init__(self, columns: Columns, max_document_bytes: int, by_products: ByProducts) -> None:
        """Takes the columns' names and the size above which a document is a reject."""
        super().__init__()
        self._function = _ReadFn(columns, max_document_bytes)
        self._by_products = by_products

    def expand(self, splits: PCollection[Split]) -> PCollection[pa.RecordBatch]:
        """Splits in, documents out."""
        return self._by_products.take(splits | "Spread splits" >> beam.Reshuffle() | with_by_products(self._function))


class _ReadFn(beam.DoFn):
    def __init__(self, columns: Columns, max_document_bytes: int) -> None:
        self._columns = columns
        self._max_document_bytes = max_document_bytes

    def process(self, split: Split) -> Iterator[Any]:
        watch = Stopwatch()
        pages = read_split(split, self._columns, self._max_document_bytes)
        while True:
            with watch.running():
                page = next(pages, None)
            if page is None:
                break
            if page.documents:
                yield batch_of(page.documents, RECORDS)
            yield from rejected(page.rejects)
            yield tally("read", **{"documents.read": page.records_read, "bytes.read": page.bytes_read})
        yield tally("read", **{"seconds": watch.seconds, "splits.read": 1})
