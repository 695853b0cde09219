"""SplitIntoChunks: documents to chunks bounded by the model's own tokenizer."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.logic.chunking import Encoding, Limits, split_texts
from transforms.logic.records import Place, reject
from transforms.logic.rows import chunk_rows
from transforms.logic.schemas import CHUNKS, Reason, batch_of, slices
from transforms.metrics import ByProducts, Stopwatch, rejected, tally, with_by_products


class Tokenizer(Protocol):
    """What splitting needs of a model's tokenizer."""

    splits_at_whitespace: bool

    def encode(self, texts: Sequence[str]) -> Sequence[Encoding]:
        """Ids and offsets of each text alone."""
        ...


class SplitIntoChunks(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Batches of the `DOCUMENTS` schema to batches of the `CHUNKS` schema."""

    def __init__(self, tokenizer: Callable[[], Tokenizer], limits: Limits, space: str, by_products: ByProducts) -> None:
        """Takes a picklable factory of the tokenizer, the limits, and the embedding space that the content keys are of."""
        super().__init__()
        self._function = _SplitFn(tokenizer, limits, space)
        self._by_products = by_products

    def expand(self, documents: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """Documents in, chunks out."""
        return self._by_products.take(documents | with_by_products(self._function))


def split_into_chunks(
    batch: pa.RecordBatch, tokenizer: Tokenizer, limits: Limits, space: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The pure twin: rows of `CHUNKS`, and a reject for each document without a single token."""
    documents = batch.to_pylist()
    texts = [document["text"] for document in documents]
    found = split_texts(texts, tokenizer.encode, limits, splits_at_whitespace=tokenizer.splits_at_whitespace)
    rows: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    for document, spans in zip(documents, found, strict=True):
        rows.extend(chunk_rows(document, spans, space))
        if not spans:
            place = Place(document["source"], document["position"], "position")
            detail = "the model's tokenizer finds no token in the text"
            rejects.append(
                reject("split", Reason.EMPTY_TEXT, place, detail, document["text"].encode(), document["document_id"])
            )
    return rows, rejects


class _SplitFn(beam.DoFn):
    def __init__(self, tokenizer: Callable[[], Tokenizer], limits: Limits, space: str) -> None:
        self._factory = tokenizer
        self._limits = limits
        self._space = space

    def setup(self) -> None:
        self._tokenizer = self._factory()

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running():
            rows, rejects = split_into_chunks(batch, self._tokenizer, self._limits, self._space)
            batches = list(slices(pa.Table.from_batches([batch_of(rows, CHUNKS)])))
        yield from batches
        yield from rejected(rejects)
        counts: Counter[str] = Counter()
        for row in rows:
            counts[f"language.{row['language']}.chunks"] += 1
            counts[f"language.{row['language']}.tokens"] += row["tokens"]
        tokens = sum(row["tokens"] for row in rows)
        yield tally("split", **{"seconds": watch.seconds, "chunks.split": len(rows), "tokens.split": tokens, **counts})
