"""ReadDocuments: every record of the planned splits becomes a document or a reject."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.adapters.formats import Split, read_split
from transforms.logic.records import Reading
from transforms.logic.schemas import RECORDS, batch_of
from transforms.metrics import ByProducts, Stopwatch, rejected, tally, with_by_products


class ReadDocuments(beam.PTransform[PCollection[Split], PCollection[pa.RecordBatch]]):
    """Splits to batches of the `RECORDS` schema. Splits are spread over workers first."""

    def __init__(self, reading: Reading, by_products: ByProducts) -> None:
        """Takes how the sources are read."""
        super().__init__()
        self._function = _ReadFn(reading)
        self._by_products = by_products

    def expand(self, splits: PCollection[Split]) -> PCollection[pa.RecordBatch]:
        """Splits in, documents out."""
        return self._by_products.take(splits | "Spread splits" >> beam.Reshuffle() | with_by_products(self._function))


class _ReadFn(beam.DoFn):
    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def process(self, split: Split) -> Iterator[Any]:
        watch = Stopwatch()
        pages = read_split(split, self._reading)
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
