"""IdentifyLanguage: language, script and partition of each document."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.adapters.detectors import Detector
from transforms.logic.labels import UNDETERMINED
from transforms.logic.languages import (
    LANGUAGE_FLOOR,
    Guess,
    Identified,
    chunk_sample,
    decide,
    decide_chunk,
    document_sample,
    partition_of,
)
from transforms.logic.schemas import DOCUMENTS, with_columns
from transforms.logic.scripts import prepare
from transforms.metrics import ByProducts, Stopwatch, tally, with_by_products


@dataclass(frozen=True)
class Partitioning:
    """What follows from a document's language.

    Attributes:
        partition_by: whether languages have partitions.
        languages: folded languages with their own partition; None gives every language one.
        floor: the score in [0, 1] below which a language becomes `und`.
        keep_languages: folded languages whose documents are taken, `und` among them if named; empty takes all.
    """

    partition_by: Literal["language", "none"] = "language"
    languages: tuple[str, ...] | None = None
    floor: float = LANGUAGE_FLOOR
    keep_languages: tuple[str, ...] = ()


class IdentifyLanguage(beam.PTransform[PCollection[pa.RecordBatch], PCollection[pa.RecordBatch]]):
    """Batches of the `RECORDS` schema to batches of the `DOCUMENTS` schema, without the documents of languages that are not kept."""

    def __init__(self, detector: Callable[[], Detector], partitioning: Partitioning, by_products: ByProducts) -> None:
        """Takes a picklable factory of the detector; detectors themselves often do not pickle."""
        super().__init__()
        self._function = _IdentifyFn(detector, partitioning)
        self._by_products = by_products

    def expand(self, documents: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """Documents in, documents with language out."""
        return self._by_products.take(documents | with_by_products(self._function))


def identify_language(batch: pa.RecordBatch, detector: Detector, partitioning: Partitioning) -> pa.RecordBatch:
    """The pure twin: a batch of `RECORDS` to a batch of `DOCUMENTS`, row by row in order, all of them."""
    texts: Sequence[str] = batch.column("text").to_pylist()
    decided = identify_documents(texts, batch.column("declared_language").to_pylist(), detector, partitioning.floor)
    partitions = [partition_of(one.language, partitioning.partition_by, partitioning.languages) for one in decided]
    return with_columns(
        batch,
        DOCUMENTS,
        language=pa.array([one.language for one in decided], pa.string()),
        script=pa.array([one.script for one in decided], pa.string()),
        language_score=pa.array([one.score for one in decided], pa.float32()),
        mixed=pa.array([one.mixed for one in decided], pa.bool_()),
        partition=pa.array(partitions, pa.string()),
    )


def identify_documents(
    texts: Sequence[str], declared: Sequence[str | None], detector: Detector, floor: float = LANGUAGE_FLOOR
) -> list[Identified]:
    """The language of each document, in order: as declared, or by the detector where the declaration gives none.

    Args:
        texts: whole documents; of long ones the beginning, middle and end are looked at.
        declared: what a trusted column says of each, any label or None.
        detector: asked about the rest.
        floor: the score in [0, 1] below which a language becomes `und`.
    """
    samples, letters = prepare([document_sample(text) for text in texts])
    found: dict[int, Identified] = {}
    for place, label in enumerate(declared):
        if label and (one := decide(Guess(label, 1.0), letters[place], floor)).language != UNDETERMINED:
            found[place] = one
    rest = [place for place in range(len(texts)) if place not in found]
    for place, guess in zip(rest, detector.identify([samples[place] for place in rest]), strict=True):
        found[place] = decide(guess, letters[place], floor)
    return [found[place] for place in range(len(texts))]


def identify_chunks(texts: Sequence[str], parents: Sequence[Identified], detector: Detector) -> list[Identified]:
    """The language of each chunk, in order: its own where `languages.decide_chunk` finds it sure, else its document's.

    A detector that does not judge text (a column, a constant) leaves every chunk its document's. So does a document of one chunk:
    leave its chunk out.

    Args:
        texts: chunks; of long ones the beginning and end are looked at.
        parents: the decision for the document of each.
        detector: the one that judged the documents.
    """
    if not detector.judges_text:
        return list(parents)
    samples, letters = prepare([chunk_sample(text) for text in texts])
    guesses = detector.identify(samples)
    return [decide_chunk(*one) for one in zip(guesses, letters, parents, strict=True)]


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
            kept = keep_languages(identified, self._partitioning.keep_languages)
        if kept.num_rows:
            yield kept
        yield tally("identify", seconds=watch.seconds, **language_counts(kept))
        yield tally("identify", **{"left_out.language": batch.num_rows - kept.num_rows})


def keep_languages(batch: pa.RecordBatch, languages: Sequence[str]) -> pa.RecordBatch:
    """The rows of a batch of `DOCUMENTS` whose language is among `languages`; all if there are none."""
    if not languages:
        return batch
    return batch.filter(pa.array([language in languages for language in batch.column("language").to_pylist()]))


def language_counts(batch: pa.RecordBatch) -> dict[str, int]:
    """Tallies of a batch of `DOCUMENTS`: documents, and mixed ones among them, in all and of each language."""
    languages = batch.column("language").to_pylist()
    mixed = [
        language for language, is_mixed in zip(languages, batch.column("mixed").to_pylist(), strict=True) if is_mixed
    ]
    counts = {f"language.{language}.documents": count for language, count in Counter(languages).items()}
    counts |= {f"language.{language}.mixed": count for language, count in Counter(mixed).items()}
    return counts | {"documents.mixed": len(mixed)}
