"""EmbedChunks: chunks without vectors get them, or become rejects."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection
from apache_beam.utils.multi_process_shared import MultiProcessShared
from apache_beam.utils.shared import Shared

from transforms.adapters.encoders import Encoder, is_gpu
from transforms.logic.filling import Latest, Made, fill_vectors, latest_of, rows_to_encode
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.packing import token_budget_ranges
from transforms.logic.records import Place, reject
from transforms.logic.schemas import REUSED, Origin, Reason, slices
from transforms.logic.vector_columns import list_views, to_columns
from transforms.metrics import (
    UNTIMED,
    ByProducts,
    Stopwatch,
    Timeline,
    at_end_of_bundle,
    rejected,
    tally,
    with_by_products,
)

# A vector a token: 128 MB of float32 at 1,024 dimensions.
_MULTI_TOKENS = 1 << 15
# Rows that have their vectors wait too, for those before them.
_MOST_WAITING_BYTES = 64 << 20


class EmbedChunks(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Batches of the `REUSED` schema in and out; afterwards every row has a vector, a place in the dataset, or is rejected."""

    def __init__(
        self,
        encoder: Callable[[], Encoder],
        by_products: ByProducts,
        outputs: tuple[Output, ...] = OUTPUTS[:1],
        *,
        device: str = "cpu",
        space: str = "",
        timeline: Timeline = UNTIMED,
    ) -> None:
        """Takes a picklable factory, which outputs its encoder makes, the device as asked for, the embedding space, and the timeline.

        The model is loaded, and warmed up, when a chunk first needs it, so that a run that reuses every vector never pays for it: once
        in a process, whose threads share it, and on a GPU once for all processes of the machine.
        """
        super().__init__()
        self._function = _EmbedFn(_Model(encoder, device, space), outputs, timeline)
        self._by_products = by_products

    def expand(self, chunks: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """Chunks in, embedded chunks out."""
        return self._by_products.take(chunks | with_by_products(self._function))


class _Model:
    """The encoder of a worker, loaded on first need."""

    def __init__(self, factory: Callable[[], Encoder], device: str, space: str) -> None:
        self._factory = factory
        self._device = device
        self._shared = Shared()
        self._tag = f"corpus-embed {space} {device}"

    def acquire(self) -> Encoder:
        """The encoder; in a process that has it already, at once."""
        if is_gpu(self._device):
            encoder: Encoder = MultiProcessShared(self._factory, tag=self._tag).acquire()
            return encoder
        return self._shared.acquire(self._factory)


class _EmbedFn(beam.DoFn):
    """Gathers batches until there is enough to encode: a device that is given little runs empty between two calls."""

    def __init__(self, model: _Model, outputs: tuple[Output, ...], timeline: Timeline = UNTIMED) -> None:
        self._model = model
        self._timeline = timeline
        self._most_tokens = _MULTI_TOKENS if "multi" in outputs else None
        self._encoder: Encoder | None = None
        self._enough_tokens = 0
        self._latest: Latest | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = self._tokens = 0

    def start_bundle(self) -> None:
        self._latest, self._waiting = None, []
        self._waiting_bytes = self._tokens = 0

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        lengths = batch.column("tokens").to_pylist()
        parts = token_budget_ranges(lengths, self._most_tokens) if self._most_tokens else [range(batch.num_rows)]
        for rows in parts:
            part = batch.slice(rows.start, len(rows))
            self._waiting.append(part)
            self._waiting_bytes += part.nbytes
            self._tokens += pc.sum(part.column("tokens").take(pa.array(rows_to_encode(part)))).as_py() or 0
            if self._tokens:
                yield from self._load()
            has_enough = self._tokens >= self._enough_tokens or self._waiting_bytes >= _MOST_WAITING_BYTES
            if not self._tokens or has_enough:
                yield from self._embed()

    def finish_bundle(self) -> Iterator[Any]:
        return at_end_of_bundle(self._embed())

    def _load(self) -> Iterator[Any]:
        if self._encoder is None:
            watch = Stopwatch()
            with watch.running():
                self._encoder = self._model.acquire()
            enough = self._encoder.call_tokens()
            self._enough_tokens = min(enough, self._most_tokens or enough)
            yield tally("model", seconds=watch.seconds)

    def _embed(self) -> Iterator[Any]:
        """Encodes what waits, in one call."""
        parts, self._waiting = self._waiting, []
        self._waiting_bytes = self._tokens = 0
        chosen = [part.take(pa.array(rows_to_encode(part))) for part in parts]
        made = Made()
        if self._encoder is not None and any(one.num_rows for one in chosen):
            made, counts, seconds = _encode(self._encoder, pa.Table.from_batches(chosen))
            done = self._timeline.counts(seconds, tokens=counts["tokens.encoded"])
            yield tally("embed", seconds=seconds, **counts, **done)
        first = 0
        for part, one in zip(parts, chosen, strict=True):
            yield from self._fill(part, made.slice(first, one.num_rows))
            first += one.num_rows

    def _fill(self, batch: pa.RecordBatch, made: Made) -> Iterator[Any]:
        embedded, missing = fill_vectors(batch, made, self._latest)
        self._latest = latest_of(batch, made, self._latest)
        yield from slices(pa.Table.from_batches([embedded], REUSED))
        yield from rejected([bad_vector(batch, index, reason) for index, reason in sorted(missing.items())])
        yield tally("embed", **rejects_of_languages(batch, missing))
        reused = pc.sum(pc.equal(embedded.column("origin"), Origin.REUSED.value)).as_py() or 0
        yield tally("embed", **{"vectors.reused": reused})


def _encode(encoder: Encoder, chunks: pa.Table) -> tuple[Made, dict[str, float], float]:
    """What is made of chunks, its counts, and the seconds it took."""
    watch = Stopwatch()
    batch = chunks.combine_chunks().to_batches()[0]
    token_ids = list_views(batch.column("token_ids"))
    lengths = np.array([len(ids) for ids in token_ids])
    with watch.running():
        encoded = encoder.encode(batch.column("text").to_pylist(), token_ids)
    counts: dict[str, float] = {
        "vectors.encoded": batch.num_rows - len(encoded.faults),
        "tokens.encoded": int(lengths.sum()),
        "chunks.truncated": int(np.count_nonzero(lengths < batch.column("tokens").to_numpy())),
        "budget.reductions": encoded.budget_reductions,
        "tokens.computed": encoded.computed_tokens,
        "tokens.padding": encoded.padding_tokens,
        "device.seconds": encoded.device_seconds,
    }
    return Made(to_columns(encoded.outputs), encoded.faults), counts, watch.seconds


def rejects_of_languages(batch: pa.RecordBatch, rows: Iterable[int]) -> dict[str, int]:
    """Tallies of rejected rows of a batch of the `CHUNKS` schema, or of one with more fields, by the language of their documents."""
    languages = batch.column("language")
    return dict(Counter(f"language.{languages[row].as_py()}.rejects" for row in rows))


def bad_vector(batch: pa.RecordBatch, index: int, reason: str) -> dict[str, Any]:
    """The reject of a row of the `CHUNKS` schema whose content got no sound vectors."""
    row = {name: batch.column(name)[index].as_py() for name in ("source", "position", "document_id", "ordinal", "text")}
    place = Place(row["source"], row["position"], "position")
    detail = f"chunk {row['ordinal']}: {reason}"
    described = reject("embed", Reason.BAD_VECTOR, place, detail, row["text"].encode(), row["document_id"])
    return {**described, "level": "chunk"}
