"""IdentifyLanguage: language, script and partition of each document."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.adapters.detectors import Detector
from transforms.logic.languages import Guess, decide, partition_of, sample_for_detection, script_shares
from transforms.logic.schemas import DOCUMENTS, with_columns
from transforms.metrics import ByProducts, Stopwatch, tally, with_by_products


@dataclass(frozen=True)
class Partitioning:
    """How documents are spread over Milvus partitions; an empty allow-list admits every language."""

    partition_by: Literal["language", "none"] = "language"
    languages: tuple[str, ...] = ()


class IdentifyLanguage(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Batches of the `RECORDS` schema to batches of the `DOCUMENTS` schema."""

    def __init__(self, detector: Callable[[], Detector], partitioning: Partitioning, by_products: ByProducts) -> None:
        """Takes a picklable factory of the detector; detectors themselves often do not pickle."""
        super().__init__()
        self._function = _IdentifyFn(detector, partitioning)
        self._by_products = by_products

    def expand(self, documents: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """Documents in, documents with language out."""
        return self._by_products.take(documents | with_by_products(self._function))


def identify_language(batch: pa.RecordBatch, detector: Detector, partitioning: Partitioning) -> pa.RecordBatch:
    """The pure twin: a batch of `RECORDS` to a batch of `DOCUMENTS`, row by row in order."""
    texts: Sequence[str] = batch.column("text").to_pylist()
    declared = batch.column("declared_language").to_pylist()
    guesses = [
        Guess(label, 1.0) if label else guess for label, guess in zip(declared, detector.identify(texts), strict=True)
    ]
    decided = [
        decide(guess, script_shares(sample_for_detection(text))) for guess, text in zip(guesses, texts, strict=True)
    ]
    partitions = [partition_of(one.language, partitioning.partition_by, partitioning.languages) for one in decided]
    return with_columns(
        batch,
        DOCUMENTS,
        language=pa.array([one.language for one in decided]),
        script=pa.array([one.script for one in decided]),
        language_score=pa.array([one.score for one in decided], pa.float32()),
        mixed=pa.array([False] * len(decided)),
        partition=pa.array(partitions),
    )


class _IdentifyFn(beam.DoFn):
    def __init__(self, detector: Callable[[], Detector], partitioning: Partitioning) -> None:
        self._factory = detector
        self._partitioning = partitioning

    def setup(self) -> None:
        self._detector = self._factory()

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        watch = Stopwatch()
        with watch.running():
            identified = identify_language(batch, self._detector, self._partitioning)
        yield identified
        languages = Counter(identified.column("language").to_pylist())
        counts = {f"language.{language}.documents": count for language, count in languages.items()}
        yield tally("identify", **{"seconds": watch.seconds, **counts})
