"""ReuseVectors: chunks meet the dataset, so that no vector is encoded twice."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.adapters.dataset import KnownVectors
from transforms.adapters.workspace import Shard, Workspace
from transforms.group import KeyByContent, Keyed
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.reuse import blocks_of_contents, in_order, reuse_vectors
from transforms.logic.schemas import CHUNKS, REUSED, Origin, concatenate, slices
from transforms.metrics import ByProducts, Stopwatch, tally, with_by_products

# With a vector a token, known vectors of a whole bucket would not fit into memory.
_MULTI_BLOCK_ROWS = 512


class Reused(NamedTuple):
    """Chunks with what is known of them (`REUSED`), and repeats of their contents (keyed `CHUNKS`) for `ShareVectors`."""

    chunks: PCollection[pa.RecordBatch]
    repeats: PCollection[Keyed]


class ReuseVectors(beam.PTransform[PCollection[pa.RecordBatch], Any]):
    """Batches of the `CHUNKS` schema to batches of the `REUSED` schema, each bucket ordered by content key.

    This is the shuffle that carries the pipeline: it brings equal chunks together, to the part of the dataset that may know them,
    and parts the workers that read from those that encode.
    """

    def __init__(
        self,
        workspace: Workspace,
        shards: Sequence[Shard],
        bucket_count: int,
        by_products: ByProducts,
        outputs: tuple[Output, ...] = OUTPUTS[:1],
    ) -> None:
        """Takes the shards as they were when the run was planned, and the outputs of their embedding space."""
        super().__init__()
        self._bucket_count = bucket_count
        self._function = _ReuseFn(KnownVectors(workspace, tuple(shards), outputs))
        self._by_products = by_products

    def expand(self, chunks: PCollection[pa.RecordBatch]) -> Any:
        """Chunks in, `Reused` out."""
        keyed = chunks | "By content key" >> KeyByContent(self._bucket_count)
        grouped = keyed.rows | beam.GroupByKey()
        return Reused(self._by_products.take(grouped | with_by_products(self._function)), keyed.repeats)


class _ReuseFn(beam.DoFn):
    def __init__(self, known: KnownVectors) -> None:
        self._known = known

    def process(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        chunks = concatenate(element[1], CHUNKS)
        has_multi = "multi" in self._known.outputs
        for block in blocks_of_contents(in_order(chunks), _MULTI_BLOCK_ROWS) if has_multi else [chunks]:
            watch = Stopwatch()
            with watch.running():
                rows = reuse_vectors(block, self._known.of_chunks(block))
            yield from slices(pa.Table.from_batches([rows], REUSED))
            counts = {
                "chunks.looked_up": rows.num_rows,
                "chunks.duplicates": rows.num_rows - len(pc.unique(rows.column("content_key"))),
                "tokens.spared": pc.sum(rows.filter(_is_spared(rows)).column("tokens")).as_py() or 0,
            }
            yield tally("reuse", **{"seconds": watch.seconds, **counts})


def _is_spared(rows: pa.RecordBatch) -> pa.Array:
    return pc.not_equal(rows.column("origin"), Origin.ENCODED.value)
