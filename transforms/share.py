"""ShareVectors: repeats of a content get the vector that another row of it was encoded for."""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import AsMultiMap, AsSingleton, PCollection

from transforms.adapters.dataset import KnownVectors
from transforms.adapters.workspace import Shard, Workspace
from transforms.embed import bad_vector, rejects_of_languages
from transforms.group import Keyed
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.repeats import share_vectors
from transforms.logic.schemas import CHUNKS, REUSED, Origin, concatenate, slices
from transforms.logic.vector_columns import VECTORS
from transforms.metrics import ByProducts, Stopwatch, rejected, tally, with_by_products

_BLOCK_BYTES = 32 << 20
# Each row gets vectors of its own, which may be a hundred times as large as its text.
_MULTI_BLOCK_BYTES = 1 << 20
_REASON = "it repeats a content that got no sound vector"


class ShareVectors(beam.PTransform[PCollection[Keyed], PCollection[pa.RecordBatch]]):
    """Keyed repeats of `ReuseVectors` to batches of the `REUSED` schema; afterwards every row has a vector, a place, or is rejected.

    Only the vectors of contents that have repeats cross over from the encoder, as a side input that is asked by content key.
    """

    def __init__(
        self,
        workspace: Workspace,
        shards: list[Shard],
        embedded: PCollection[pa.RecordBatch],
        by_products: ByProducts,
        outputs: tuple[Output, ...] = OUTPUTS[:1],
    ) -> None:
        """Takes the shards as they were when the run was planned, what `EmbedChunks` gave, and the outputs of both."""
        super().__init__()
        self._function = _ShareFn(KnownVectors(workspace, tuple(shards), outputs))
        self._embedded = embedded
        self._by_products = by_products

    def expand(self, repeats: PCollection[Keyed]) -> PCollection[pa.RecordBatch]:
        """Keyed repeats in, repeats with vectors out."""
        contents = (
            repeats
            | "Contents" >> beam.Map(_contents).with_output_types(frozenset[bytes])
            | "Repeated contents" >> beam.CombineGlobally(_union)
        )
        made = beam.FlatMap(_made_vectors, AsSingleton(contents)).with_output_types(tuple[bytes, bytes])
        vectors = self._embedded | "Their vectors" >> made
        grouped = repeats | beam.GroupByKey()
        return self._by_products.take(grouped | with_by_products(self._function, side_inputs=[AsMultiMap(vectors)]))


def _contents(keyed: Keyed) -> frozenset[bytes]:
    return frozenset(pc.unique(keyed[1].column("content_key")).to_pylist())


def _union(sets: Iterable[frozenset[bytes]]) -> frozenset[bytes]:
    return frozenset().union(*sets)


def _made_vectors(batch: pa.RecordBatch, wanted: frozenset[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Vectors of the wanted contents, each a row of the `VECTORS` schema in Arrow's format, no bytes for one that was not sound."""
    if not wanted:
        return
    # Others were known before the run, so that who repeats them finds them in the dataset.
    made = batch.filter(pc.is_in(batch.column("origin"), pa.array([Origin.ENCODED.value, Origin.REJECTED.value])))
    vectors = made.select(VECTORS.names)
    found = {}
    origins = made.column("origin").to_pylist()
    for index, content in enumerate(made.column("content_key").to_pylist()):
        if content in wanted and content not in found:
            is_sound = origins[index] == Origin.ENCODED
            found[content] = vectors.slice(index, 1).serialize().to_pybytes() if is_sound else b""
    yield from found.items()


class _ShareFn(beam.DoFn):
    def __init__(self, known: KnownVectors) -> None:
        self._known = known

    def process(self, element: tuple[int, Iterable[pa.RecordBatch]], vectors: Any) -> Iterator[Any]:
        def encoded(content: bytes) -> pa.RecordBatch | None:
            raw = next(iter(vectors[content]), None)
            if raw is None:
                raise LookupError(f"no row of content key {content.hex()} reached the encoder, but repeats of it did")
            return pa.ipc.read_record_batch(pa.py_buffer(raw), VECTORS) if raw else None

        block_bytes = _MULTI_BLOCK_BYTES if "multi" in self._known.outputs else _BLOCK_BYTES
        for block in _blocks(element[1], block_bytes):
            watch = Stopwatch()
            with watch.running():
                chunks = concatenate(block, CHUNKS)
                rows = share_vectors(chunks, self._known.of_chunks(chunks), encoded)
                without = np.flatnonzero(
                    pc.equal(rows.column("origin"), Origin.REJECTED.value).to_numpy(zero_copy_only=False)
                )
            yield from slices(pa.Table.from_batches([rows], REUSED))
            yield from rejected([bad_vector(rows, index, _REASON) for index in without.tolist()])
            yield tally("share", **rejects_of_languages(rows, without.tolist()))
            counts = dict.fromkeys(("chunks.looked_up", "chunks.duplicates", "chunks.hot"), rows.num_rows)
            counts["vectors.reused"] = pc.sum(pc.equal(rows.column("origin"), Origin.REUSED.value)).as_py()
            counts["tokens.spared"] = pc.sum(rows.column("tokens")).as_py()
            yield tally("share", **{"seconds": watch.seconds, **counts})


def _blocks(batches: Iterable[pa.RecordBatch], block_bytes: int) -> Iterator[list[pa.RecordBatch]]:
    """Batches in order, as many as a worker may hold: a group may be of any size."""
    block: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if block and size + batch.nbytes > block_bytes:
            yield block
            block, size = [], 0
        block.append(batch)
        size += batch.nbytes
    if block:
        yield block
