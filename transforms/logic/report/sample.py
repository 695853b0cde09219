"""A sample of the chunks of a run's dataset, and what may be seen of a corpus in it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transforms.logic.vectors import Float32

MOST_EXAMPLES = 6
_MOST_NEIGHBOURS = 3


@dataclass(frozen=True)
class SampledChunk:
    """A chunk as a report shows it."""

    document_id: str
    ordinal: int
    language: str
    text: str


@dataclass(frozen=True)
class ReportSample:
    """Chunks with their vectors.

    Attributes:
        chunks: in order of their content keys, which is chance.
        vectors: shape (n, full), float32, of unit length; (0, 0) where a run makes no dense vectors.
        is_whole: whether it is all that the dataset holds.
    """

    chunks: Sequence[SampledChunk]
    vectors: Float32
    is_whole: bool = False

    def languages(self) -> list[str]:
        """Languages, the most frequent first, equal ones by name."""
        counts = Counter(chunk.language for chunk in self.chunks)
        return sorted(counts, key=lambda language: (-counts[language], language))


@dataclass(frozen=True)
class Neighbour:
    """A chunk near another one, and the cosine of the angle between their vectors, in [-1, 1]."""

    chunk: SampledChunk
    similarity: float


@dataclass(frozen=True)
class Example:
    """A chunk and the chunks of other languages that lie nearest to it, at most three, one of a language, the nearest first."""

    chunk: SampledChunk
    neighbours: Sequence[Neighbour]


def balanced(languages: Sequence[str], most: int) -> list[int]:
    """Places of at most so many of some chunks, in order: of each language equally many, as far as it has them."""
    places: dict[str, list[int]] = defaultdict(list)
    for index, language in enumerate(languages):
        places[language].append(index)
    # By turns, so that the first of every language comes before the second of any.
    turns = sorted((turn, language, place) for language, own in places.items() for turn, place in enumerate(own))
    return sorted(place for _, _, place in turns[:most])


def examples(sample: ReportSample, most: int = MOST_EXAMPLES) -> list[Example]:
    """The chunks whose nearest chunks of other languages are nearest, at most one of each language.

    These are the best that the sample has to show, not typical ones. Identical texts, such as numbers or names, are no translation of
    each other and are left out.
    """
    languages = np.array([chunk.language for chunk in sample.chunks], object)
    wanted = min(_MOST_NEIGHBOURS, len(set(languages.tolist())) - 1)
    if wanted < 1:
        return []
    found = []
    scores = sample.vectors @ sample.vectors.T
    for index, chunk in enumerate(sample.chunks):
        neighbours = _nearest(sample, scores[index], languages != chunk.language, chunk.text, wanted)
        if len(neighbours) == wanted:
            found.append(Example(chunk, neighbours))
    found.sort(key=lambda one: -sum(neighbour.similarity for neighbour in one.neighbours))
    chosen: list[Example] = []
    shown: set[str] = set()
    for one in found:
        documents = {one.chunk.document_id, *(neighbour.chunk.document_id for neighbour in one.neighbours)}
        if (
            len(chosen) < most
            and not documents & shown
            and one.chunk.language not in {old.chunk.language for old in chosen}
        ):
            chosen.append(one)
            shown |= documents
    return chosen


def _nearest(sample: ReportSample, scores: Float32, is_other: np.ndarray, text: str, wanted: int) -> list[Neighbour]:
    found: dict[str, Neighbour] = {}
    others = np.flatnonzero(is_other)
    for place in others[np.argsort(-scores[others], kind="stable")].tolist():
        chunk = sample.chunks[place]
        if chunk.language not in found and chunk.text != text:
            found[chunk.language] = Neighbour(chunk, float(np.clip(scores[place], -1, 1)))
            if len(found) == wanted:
                break
    return list(found.values())


def crossing_share(sample: ReportSample) -> float | None:
    """The share in [0, 1] of chunks whose nearest chunk is of another language; None for a sample of fewer than two languages."""
    languages = np.array([chunk.language for chunk in sample.chunks], object)
    if len(set(languages.tolist())) < 2:  # noqa: PLR2004
        return None
    scores = sample.vectors @ sample.vectors.T
    np.fill_diagonal(scores, -np.inf)
    return float(np.mean(languages[scores.argmax(axis=1)] != languages))
