"""EmbedChunks: chunks without a vector get one, or become rejects."""

from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection
from apache_beam.utils.shared import Shared

from transforms.adapters.encoders import Encoder
from transforms.logic.records import Place, reject
from transforms.logic.schemas import REUSED, Origin, Reason, with_columns
from transforms.logic.vectors import sound_rows
from transforms.metrics import ByProducts, Stopwatch, rejected, tally, with_by_products


class EmbedChunks(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Batches of the `REUSED` schema in and out; afterwards every row has a vector, a place in the dataset, or is rejected."""

    def __init__(self, encoder: Callable[[], Encoder], by_products: ByProducts) -> None:
        """Takes a picklable factory; the model is loaded once in a process and shared by its threads."""
        super().__init__()
        self._function = _EmbedFn(encoder)
        self._by_products = by_products

    def expand(self, chunks: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """Chunks in, embedded chunks out."""
        return self._by_products.take(chunks | with_by_products(self._function))


class _EmbedFn(beam.DoFn):
    def __init__(self, encoder: Callable[[], Encoder]) -> None:
        self._factory = encoder
        self._shared = Shared()
        self._last: tuple[bytes, np.ndarray | None] | None = None

    def start_bundle(self) -> None:
        self._last = None

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        watch = Stopwatch()
        to_encode = np.flatnonzero(
            pc.equal(batch.column("origin"), Origin.ENCODED.value).to_numpy(zero_copy_only=False)
        )
        tokens = truncated = 0
        vectors: list[np.ndarray | None] = []
        if len(to_encode):
            # Loaded on first need, so that a run that reuses every vector never pays for the model.
            encoder = self._shared.acquire(self._factory)
            chosen = batch.take(pa.array(to_encode))
            token_ids = chosen.column("token_ids").to_pylist()
            lengths = [len(ids) for ids in token_ids]
            tokens = sum(lengths)
            truncated = sum(
                length < split for length, split in zip(lengths, chosen.column("tokens").to_pylist(), strict=True)
            )
            with watch.running():
                encoded = encoder.encode(chosen.column("text").to_pylist(), token_ids)
            sound = sound_rows(encoded)
            vectors = [vector if good else None for vector, good in zip(encoded.astype(np.float16), sound, strict=True)]
        embedded, failed = self._fill(batch, dict(zip(to_encode.tolist(), vectors, strict=True)))
        yield embedded
        yield from rejected(failed)
        counts = {
            "vectors.encoded": sum(vector is not None for vector in vectors),
            "vectors.reused": pc.sum(pc.equal(embedded.column("origin"), Origin.REUSED.value)).as_py() or 0,
            "tokens.encoded": tokens,
            "chunks.truncated": truncated,
        }
        yield tally("embed", **{"seconds": watch.seconds, **counts})

    def _fill(
        self, batch: pa.RecordBatch, encoded: dict[int, np.ndarray | None]
    ) -> tuple[pa.RecordBatch, list[dict[str, Any]]]:
        """Puts vectors in place: an encoded one also serves the rows of the same content that follow it, across batches too."""
        origins = batch.column("origin").to_pylist()
        vectors = batch.column("vector").to_pylist()
        failed = []
        for index, content in enumerate(batch.column("content_key").to_pylist()):
            if index in encoded:
                self._last = (content, encoded[index])
                vectors[index] = encoded[index]
            elif origins[index] == Origin.REUSED and vectors[index] is None:
                vectors[index] = self._last[1] if self._last and self._last[0] == content else None
            if origins[index] != Origin.STORED and vectors[index] is None:
                origins[index] = Origin.REJECTED.value
                failed.append(bad_vector(batch, index))
        filled = with_columns(
            batch, REUSED, vector=pa.array(vectors, REUSED.field("vector").type), origin=pa.array(origins)
        )
        return filled, failed


def bad_vector(batch: pa.RecordBatch, index: int) -> dict[str, Any]:
    """The reject of a row of the `CHUNKS` schema whose content got no sound vector."""
    row = {name: batch.column(name)[index].as_py() for name in ("source", "position", "document_id", "ordinal", "text")}
    place = Place(row["source"], row["position"], "position")
    detail = f"the vector of chunk {row['ordinal']} is not finite or not of unit length"
    described = reject("embed", Reason.BAD_VECTOR, place, detail, row["text"].encode(), row["document_id"])
    return {**described, "level": "chunk"}
