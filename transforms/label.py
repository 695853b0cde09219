"""LabelChunks: chunk rows get the zero-shot label that lies nearest to them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.pvalue import PCollection
from apache_beam.utils.shared import Shared

from transforms.adapters.encoders import Encoder
from transforms.logic.errors import ConfigurationError
from transforms.logic.vector_columns import from_list_array
from transforms.logic.vectors import Float32
from transforms.logic.zero_shot import label_vectors, with_labels
from transforms.metrics import ByProducts, Stopwatch, tally, with_by_products


@dataclass(frozen=True)
class Labelling:
    """How chunks are labelled.

    Attributes:
        encoder: picklable factory of the model with the prompt of the label texts, making dense vectors.
        texts: of each label by name, in order.
        token_ids: of each text alone, by label, shape (tokens,), int32.
        floor: a chunk whose best cosine is lower has the label "".
    """

    encoder: Callable[[], Encoder]
    texts: Mapping[str, Sequence[str]]
    token_ids: Mapping[str, Sequence[npt.NDArray[np.int32]]]
    floor: float


class LabelChunks(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Dataset rows with full-precision vectors in; the same rows with `label` and `label_score` out."""

    def __init__(self, labelling: Labelling, by_products: ByProducts) -> None:
        """Takes the label texts, which are embedded once in a process, when the first rows come."""
        super().__init__()
        self._function = _LabelFn(labelling)
        self._by_products = by_products

    def expand(self, rows: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """Rows in, labelled rows out."""
        return self._by_products.take(rows | with_by_products(self._function))


def embed_labels(labelling: Labelling) -> Float32:
    """One unit vector a label, shape (labels, dimensions), float32; a text without a sound vector raises `ConfigurationError`."""
    texts = [text for of_label in labelling.texts.values() for text in of_label]
    token_ids = [ids for of_label in labelling.token_ids.values() for ids in of_label]
    encoded = labelling.encoder().encode(texts, token_ids)
    for index, reason in encoded.faults.items():
        raise ConfigurationError(
            f"--labels: the model makes no sound vector of {texts[index]!r}: {reason}; word it otherwise"
        )
    dense = encoded.outputs.dense
    if dense is None:
        raise ConfigurationError("--labels needs dense vectors; add dense to --outputs")
    return label_vectors(dense, {name: len(of_label) for name, of_label in labelling.texts.items()})


class _LabelFn(beam.DoFn):
    def __init__(self, labelling: Labelling) -> None:
        self._labelling = labelling
        self._shared = Shared()

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running():
            # Only the vectors are shared: the model is let go again.
            of_labels = self._shared.acquire(lambda: embed_labels(self._labelling))
            column = batch.column("vector")
            vectors = from_list_array(column, column.type.list_size)
            names = tuple(self._labelling.texts)
            labelled = with_labels(batch, vectors, of_labels, names, self._labelling.floor)
        yield labelled
        yield tally("label", **{"seconds": watch.seconds, "chunks.labelled": batch.num_rows})
