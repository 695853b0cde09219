"""ReadDocuments: every record of the planned splits becomes a document or a reject."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.adapters.formats.groups import SplitGroup, read_group
from transforms.logic.records import Reading
from transforms.logic.schemas import RECORDS, batch_of
from transforms.logic.selection import Selection
from transforms.metrics import CLOCK, UNTIMED, ByProducts, Stopwatch, Timeline, rejected, tally, with_by_products


class ReadDocuments(beam.PTransform[PCollection[SplitGroup], PCollection[pa.RecordBatch]]):
    """Groups of splits to batches of the `RECORDS` schema. Groups are spread over workers first."""

    def __init__(
        self, reading: Reading, selection: Selection, by_products: ByProducts, timeline: Timeline = UNTIMED
    ) -> None:
        """Takes how the sources are read, which of their documents are taken, and the timeline that tells when."""
        super().__init__()
        self._function = _ReadFn(reading, selection, timeline)
        self._by_products = by_products

    def expand(self, groups: PCollection[SplitGroup]) -> PCollection[pa.RecordBatch]:
        """Groups of splits in, documents out."""
        return self._by_products.take(groups | "Spread splits" >> beam.Reshuffle() | with_by_products(self._function))


class _ReadFn(beam.DoFn):
    def __init__(self, reading: Reading, selection: Selection, timeline: Timeline) -> None:
        self._reading = reading
        self._selection = selection
        self._timeline = timeline

    def process(self, group: SplitGroup) -> Iterator[Any]:
        watch = Stopwatch()
        pages = read_group(group, self._reading, self._selection, CLOCK)
        while True:
            with watch.running():
                page = next(pages, None)
            if page is None:
                break
            if page.documents:
                yield batch_of(page.documents, RECORDS)
            yield from rejected(page.rejects)
            done = self._timeline.counts(documents=page.counts["documents.read"])
            yield tally("read", **page.counts, **page.seconds, **done)
        yield tally("read", seconds=watch.seconds)
