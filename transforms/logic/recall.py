"""What a representation loses, measured: recall@10 against exact search in full precision, overall and by language.

An answer is right if its exact score reaches that of the last exact neighbour, so that equal texts are no loss (ANN-Benchmarks, Aumüller
et al. 2020, doi:10.1016/j.is.2019.02.006, section 2.1). A sample is easier than the corpus it stands for, whose neighbours lie closer
together, and chunks search for chunks, as no queries are known: figures compare representations, they promise no recall to users.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from transforms.logic.representations import Representation, represent, restore
from transforms.logic.vectors import Float32

TOP = 10
MIN_LANGUAGE_CHUNKS = 20
"""A language with fewer chunks in the sample is measured together with the others like it."""
OTHERS = "others"
MIN_SAMPLE = 100
"""Fewer vectors say nothing about ten neighbours."""
_OVERALL_QUERIES = 1000
_LANGUAGE_QUERIES = 100
_OVERSAMPLING = 4
_BLOCK_QUERIES = 256
# Far below what tells neighbours apart, above the noise of summing float32 in another order.
_SAME_SCORE = 1e-6
_MIN_DIMENSIONS = 32


@dataclass(frozen=True)
class Sample:
    """Distinct contents of a corpus, in order of their content keys, which is chance.

    Attributes:
        vectors: shape (n, full), float32, full precision, of unit length.
        languages: of each, that of its document.
    """

    vectors: Float32
    languages: Sequence[str]

    def __len__(self) -> int:
        """How many contents."""
        return len(self.vectors)


@dataclass(frozen=True)
class Measured:
    """What a representation keeps: recall@10 in [0, 1].

    Attributes:
        representation: what was measured.
        recall: mean over queries of all languages.
        worst_language: the language with the lowest recall, `others` for the rare ones together, and its recall.
        worst_recall: see there.
        rescored_recall: overall, if four times as many answers are fetched and ranked again in full precision.
    """

    representation: Representation
    recall: float
    worst_language: str
    worst_recall: float
    rescored_recall: float

    def keeps(self, floor: float) -> bool:
        """Whether recall reaches a floor, overall and in the worst language."""
        return min(self.recall, self.worst_recall) >= floor

    def describe(self) -> dict[str, Any]:
        """Plain values for the run record."""
        return {
            "vector_type": self.representation.vector_type,
            "dimensions": self.representation.dimensions,
            "bytes_per_vector": self.representation.bytes_per_vector,
            "recall": round(self.recall, 4),
            "worst_language": self.worst_language,
            "worst_recall": round(self.worst_recall, 4),
            "rescored_recall": round(self.rescored_recall, 4),
        }


def measure(sample: Sample, representations: Iterable[Representation]) -> list[Measured]:
    """The recall of each representation on a sample of at least two, every query searching all others, in exact search.

    Queries are the first thousand contents and the first hundred of each language.
    """
    top = min(TOP, len(sample) - 1)
    groups = _query_groups(sample.languages)
    queries = np.unique(np.concatenate(list(groups.values())))
    last_scores = _last_scores(sample.vectors, queries, top)
    return [_measure_one(sample, one, groups, queries, last_scores, top) for one in representations]


def choose(measured: Sequence[Measured], floor: float) -> tuple[Measured, bool]:
    """The smallest that keeps the floor, of equals the one that keeps more, and True; without any, the one that keeps most, and False."""
    good = [one for one in measured if one.keeps(floor)]
    if good:
        return min(good, key=lambda one: (one.representation.bytes_per_vector, -one.worst_recall, -one.recall)), True
    return max(measured, key=lambda one: (one.worst_recall, one.recall, -one.representation.bytes_per_vector)), False


def halvings(dimensions: int) -> tuple[int, ...]:
    """All dimensions, then half of them again and again, in multiples of 8 and at least 32."""
    found = [dimensions]
    while found[-1] // 2 >= _MIN_DIMENSIONS and found[-1] % 16 == 0:
        found.append(found[-1] // 2)
    return tuple(found)


def recall_table(measured: Sequence[Measured], chosen: Measured | None = None) -> str:
    """A line for each representation, smallest first; the chosen one is marked."""
    lines = [f"  {'type':<10}{'dimensions':>10}{'bytes':>7}{'recall@10':>11}{'worst language':>18}{'rescored':>10}"]
    order = sorted(measured, key=lambda one: (one.representation.bytes_per_vector, -one.recall))
    for one in order:
        kept = one.representation
        worst = f"{one.worst_recall:.3f} {one.worst_language:<6}"
        line = (
            f"{'> ' if one is chosen else '  '}{kept.vector_type:<10}{kept.dimensions:>10}{kept.bytes_per_vector:>7}"
            f"{one.recall:>11.3f}{worst:>18}{one.rescored_recall:>10.3f}"
        )
        lines.append(line.rstrip())
    return "\n".join(lines) + "\n"


def nearest(vectors: Float32, queries: npt.NDArray[np.int64], top: int) -> npt.NDArray[np.int64]:
    """Row numbers of the `top` greatest inner products of some rows with all others, shape (queries, top), best first.

    Of equal scores the first rows are taken.

    Args:
        vectors: shape (n, dimensions).
        queries: row numbers of those that search.
        top: at most n - 1.
    """
    blocks = []
    for scores in _scores(vectors, queries):
        last = np.partition(scores, -top, axis=1)[:, -top]
        is_found = scores >= last[:, None]
        for row in np.flatnonzero(is_found.sum(axis=1) > top):
            tied = np.flatnonzero(scores[row] == last[row])
            is_found[row, tied[top - np.count_nonzero(is_found[row]) :]] = False
        found = np.nonzero(is_found)[1].reshape(-1, top)
        order = np.argsort(-np.take_along_axis(scores, found, axis=1), axis=1, kind="stable")
        blocks.append(np.take_along_axis(found, order, axis=1))
    return np.concatenate(blocks)


def _measure_one(
    sample: Sample,
    representation: Representation,
    groups: Mapping[str, npt.NDArray[np.int64]],
    queries: npt.NDArray[np.int64],
    last_scores: Float32,
    top: int,
) -> Measured:
    stored = restore(represent(sample.vectors, representation), representation)
    found = nearest(stored, queries, min(_OVERSAMPLING * top, len(sample) - 1))
    exact = _exact_scores(sample.vectors, queries, found)
    enough = last_scores[:, None] - _SAME_SCORE
    by_query = (exact[:, :top] >= enough).mean(axis=1)
    after_rescoring = (np.sort(exact, axis=1)[:, -top:] >= enough).mean(axis=1)
    places = {name: np.searchsorted(queries, members) for name, members in groups.items()}
    overall = places.pop("")
    worst, lowest = min(((name, float(by_query[own].mean())) for name, own in places.items()), key=lambda one: one[1])
    return Measured(
        representation, float(by_query[overall].mean()), worst, lowest, float(after_rescoring[overall].mean())
    )


def _query_groups(languages: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
    """Row numbers of the queries of each language, and under no name those that stand for all."""
    names = np.asarray(languages)
    found, counts = np.unique(names, return_counts=True)
    common = found[counts >= MIN_LANGUAGE_CHUNKS]
    groups = {str(name): np.flatnonzero(names == name)[:_LANGUAGE_QUERIES] for name in common}
    rare = np.flatnonzero(~np.isin(names, common))
    if len(rare):
        groups[OTHERS] = rare[:_LANGUAGE_QUERIES]
    return {"": np.arange(min(_OVERALL_QUERIES, len(names))), **groups}


def _last_scores(vectors: Float32, queries: npt.NDArray[np.int64], top: int) -> Float32:
    """The exact score of each query's last neighbour, shape (queries,)."""
    blocks = [np.partition(scores, -top, axis=1)[:, -top] for scores in _scores(vectors, queries)]
    return cast("Float32", np.concatenate(blocks))


def _scores(vectors: Float32, queries: npt.NDArray[np.int64]) -> Iterator[Float32]:
    """Scores of a block of queries with all vectors, shape (block, n); minus infinity of each with itself."""
    for own in _blocks(queries):
        scores = vectors[own] @ vectors.T
        scores[np.arange(len(own)), own] = -np.inf
        yield scores


def _exact_scores(vectors: Float32, queries: npt.NDArray[np.int64], found: npt.NDArray[np.int64]) -> Float32:
    """Scores of each query with the rows that it found, shape of `found`."""
    pairs = zip(_blocks(queries), _blocks(found), strict=True)
    blocks = [np.einsum("qd,qkd->qk", vectors[own], vectors[rows]) for own, rows in pairs]
    return cast("Float32", np.concatenate(blocks))


def _blocks(rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, len(rows), _BLOCK_QUERIES):
        yield rows[start : start + _BLOCK_QUERIES]
