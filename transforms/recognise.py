"""RecogniseDocuments: a document that the collection holds as it is skips the pipeline."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsMultiMap, PCollection, TaggedOutput

from transforms.adapters.workspace import Workspace
from transforms.logic.recognition import KEY_COLUMNS, KnownKeys, known_by_source, recognise, with_keys
from transforms.logic.schemas import KEPT, with_columns
from transforms.metrics import REJECTED, TALLIED, ByProducts, Stopwatch, Tally, tally

_KEPT = "kept"

_KeysOfSource = tuple[str, bytes]


class Recognised(NamedTuple):
    """Documents that are new or changed (`RECOGNISED`), and those whose rows stay (`KEPT`)."""

    changed: PCollection[pa.RecordBatch]
    kept: PCollection[pa.RecordBatch]


class RecogniseDocuments(beam.PTransform[PCollection[pa.RecordBatch], Any]):
    """Batches of the `RECORDS` schema, parted by whether the ledger knows each document as it is.

    The ledger's keys are brought to the workers by source, so that each holds those of the files that it reads and no others: 16 bytes a
    document. Nothing of a document crosses a shuffle for it.
    """

    def __init__(self, workspace: Workspace, parts: tuple[str, ...], recipe: str, by_products: ByProducts) -> None:
        """Takes parts of a committed ledger, none to know no document, and the fingerprint of how documents become rows."""
        super().__init__()
        self._workspace = workspace
        self._parts = parts
        self._function = _RecogniseFn(recipe)
        self._by_products = by_products

    def expand(self, documents: PCollection[pa.RecordBatch]) -> Any:
        """Documents in, `Recognised` out."""
        known = (
            documents.pipeline
            | "Parts" >> beam.Create(self._parts, reshuffle=False)
            | "Read keys" >> beam.ParDo(_ReadKeysFn(self._workspace)).with_output_types(_KeysOfSource)
        )
        typed = beam.ParDo(self._function, AsMultiMap(known)).with_output_types(
            pa.RecordBatch, **{_KEPT: pa.RecordBatch, REJECTED: pa.RecordBatch, TALLIED: Tally}
        )
        outputs = documents | typed.with_outputs(_KEPT, REJECTED, TALLIED, main="main")
        return Recognised(self._by_products.take(outputs), outputs[_KEPT])


class _ReadKeysFn(beam.DoFn):
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def process(self, name: str) -> Iterator[_KeysOfSource]:
        yield from known_by_source(self._workspace.read_ledger_part(name, KEY_COLUMNS)).items()


class _RecogniseFn(beam.DoFn):
    def __init__(self, recipe: str) -> None:
        self._recipe = recipe
        self._known: dict[str, KnownKeys] = {}

    def start_bundle(self) -> None:
        self._known = {}

    def process(self, batch: pa.RecordBatch, known: Mapping[str, Iterable[bytes]]) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running():
            documents = with_keys(batch, self._recipe)
            # Batches of a file follow one another; of the files before nothing is needed any more.
            self._known = {
                source: self._known.get(source) or KnownKeys(b"".join(known[source]))
                for source in batch.column("source").unique().to_pylist()
            }
            is_known = recognise(documents, self._known)
            kept = documents.filter(pa.array(is_known))
        if kept.num_rows < documents.num_rows:
            yield documents.filter(pa.array(~is_known))
        if kept.num_rows:
            yield TaggedOutput(_KEPT, with_columns(kept, KEPT))
        yield tally("recognise", seconds=watch.seconds, **{"documents.recognised": kept.num_rows})
