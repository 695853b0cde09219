"""EmbedChunks: chunks without vectors get them, or become rejects."""

from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection
from apache_beam.utils.shared import Shared

from transforms.adapters.encoders import Encoder
from transforms.logic.filling import Latest, Made, fill_vectors, latest_of, rows_to_encode
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.packing import token_budget_ranges
from transforms.logic.records import Place, reject
from transforms.logic.schemas import REUSED, Origin, Reason, slices
from transforms.logic.vector_columns import list_views, to_columns
from transforms.metrics import ByProducts, Stopwatch, rejected, tally, with_by_products

# A vector a token: 128 MB of float32 at 1,024 dimensions.
_MULTI_TOKENS = 1 << 15


class EmbedChunks(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Batches of the `REUSED` schema in and out; afterwards every row has its vectors, a place in the dataset, or is rejected."""

    def __init__(
        self, encoder: Callable[[], Encoder], by_products: ByProducts, outputs: tuple[Output, ...] = OUTPUTS[:1]
    ) -> None:
        """Takes a picklable factory, and which outputs its encoder makes.

        The model is loaded, and warmed up, when a chunk first needs it, so that a run that reuses every vector never pays for it;
        once in a process, whose threads share it.
        """
        super().__init__()
        self._function = _EmbedFn(encoder, outputs)
        self._by_products = by_products

    def expand(self, chunks: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """Chunks in, embedded chunks out."""
        return self._by_products.take(chunks | with_by_products(self._function))


class _EmbedFn(beam.DoFn):
    def __init__(self, encoder: Callable[[], Encoder], outputs: tuple[Output, ...]) -> None:
        self._factory = encoder
        self._makes_multi = "multi" in outputs
        self._shared = Shared()
        self._latest: Latest | None = None

    def start_bundle(self) -> None:
        self._latest = None

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        if not self._makes_multi:
            yield from self._embed(batch)
            return
        for part in token_budget_ranges(batch.column("tokens").to_pylist(), _MULTI_TOKENS):
            yield from self._embed(batch.slice(part.start, len(part)))

    def _embed(self, batch: pa.RecordBatch) -> Iterator[Any]:
        watch = Stopwatch()
        counts: dict[str, int] = {}
        made = Made()
        to_encode = rows_to_encode(batch)
        if len(to_encode):
            encoder = self._shared.acquire(self._factory)
            chosen = batch.take(pa.array(to_encode))
            token_ids = list_views(chosen.column("token_ids"))
            lengths = np.array([len(ids) for ids in token_ids])
            with watch.running():
                encoded = encoder.encode(chosen.column("text").to_pylist(), token_ids)
            made = Made(to_columns(encoded.outputs), encoded.faults)
            counts = {
                "vectors.encoded": len(to_encode) - len(encoded.faults),
                "tokens.encoded": int(lengths.sum()),
                "chunks.truncated": int(np.count_nonzero(lengths < chosen.column("tokens").to_numpy())),
                "budget.reductions": encoded.budget_reductions,
            }
        embedded, missing = fill_vectors(batch, made, self._latest)
        self._latest = latest_of(batch, made, self._latest)
        yield from slices(pa.Table.from_batches([embedded], REUSED))
        yield from rejected([bad_vector(batch, index, reason) for index, reason in sorted(missing.items())])
        counts["vectors.reused"] = pc.sum(pc.equal(embedded.column("origin"), Origin.REUSED.value)).as_py() or 0
        yield tally("embed", **{"seconds": watch.seconds, **counts})


def bad_vector(batch: pa.RecordBatch, index: int, reason: str) -> dict[str, Any]:
    """The reject of a row of the `CHUNKS` schema whose content got no sound vectors."""
    row = {name: batch.column(name)[index].as_py() for name in ("source", "position", "document_id", "ordinal", "text")}
    place = Place(row["source"], row["position"], "position")
    detail = f"chunk {row['ordinal']}: {reason}"
    described = reject("embed", Reason.BAD_VECTOR, place, detail, row["text"].encode(), row["document_id"])
    return {**described, "level": "chunk"}
