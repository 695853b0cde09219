"""What rankings are worth: by language pair, over the whole collection, before and after compression, and which language they prefer.

A question is asked twice. Within the documents of one answer language it is what a filtered search gives, and what Roy et al. 2020
(LAReQA, arXiv:2004.05484) call weak alignment; among those of all languages an answer competes with wrong documents in the question's own
language, which only strong alignment survives. The measures of a ranking come from `adapters.relevance`; here they are put together.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.logic.questions import Question

FULL_PRECISION = "full precision"
RESAMPLES = 2000
CONFIDENCE = 0.95
_DRAWN_AT_ONCE = 200
_SEED = 8
_DIGITS = 4

Measures = Mapping[str, float]
Pool = tuple[int, str]
"""Number of a question, and the answer language; empty for all languages."""
ALL_LANGUAGES = ""


@dataclass(frozen=True)
class Ranking:
    """Distinct documents, best first, with their languages."""

    documents: tuple[str, ...]
    languages: tuple[str, ...]

    @classmethod
    def of(cls, found: Iterable[tuple[str, str]], itself: str | None, depth: int) -> "Ranking":
        """The first `depth` of (document, language), without the document that asks."""
        kept = [one for one in found if one[0] != itself][:depth]
        return cls(tuple(name for name, _ in kept), tuple(language for _, language in kept))


def measure_names(k: int) -> tuple[str, ...]:
    """Names of the measures of the first k documents, in the order in which they are shown."""
    return ("top_1", f"recall_at_{k}", f"ndcg_at_{k}", "mrr")


def pools(questions: Sequence[Question], languages: Mapping[str, str]) -> list[Pool]:
    """What is searched: each question in each language that it has an answer in, and in all.

    Args:
        questions: with answers that are held.
        languages: language by document id.
    """
    found: list[Pool] = []
    for number, question in enumerate(questions):
        wanted = sorted({languages[name] for name in question.relevant})
        found += [(number, language) for language in (*wanted, ALL_LANGUAGES)]
    return found


def grades_of(pool: Pool, questions: Sequence[Question], languages: Mapping[str, str]) -> dict[str, int]:
    """Grade by document id, of the answers that are in a pool."""
    number, language = pool
    return {
        name: grade for name, grade in questions[number].answers.items() if language in {ALL_LANGUAGES, languages[name]}
    }


@dataclass(frozen=True)
class Evaluated:
    """Measures by pool and representation, of the same pools each; representations in the order in which they are compared."""

    questions: Sequence[Question]
    k: int
    measures: Mapping[str, Mapping[Pool, Measures]]

    def results(self) -> list[dict[str, Any]]:
        """A row for each pair of languages and representation: how many queries, and the mean of each measure over them."""
        return self._rows(lambda pool: (self._language(pool), pool[1]) if pool[1] else None)

    def of_all_languages(self) -> list[dict[str, Any]]:
        """The same for queries of a language that search all languages; `answer_language` is None."""
        return self._rows(lambda pool: None if pool[1] else (self._language(pool), None))

    def overall(self) -> list[dict[str, Any]]:
        """Means over all queries: within each answer language, then among all languages; `pool` says which."""
        within = self._rows(lambda pool: (None, None) if pool[1] else None)
        among = self._rows(lambda pool: None if pool[1] else (None, None))
        return [
            {"pool": name, **{key: value for key, value in row.items() if not key.endswith("_language")}}
            for name, rows in (("answer language", within), ("all languages", among))
            for row in rows
        ]

    def differences(self) -> list[dict[str, Any]]:
        """The last representation against the first: for all pairs of languages together, then for each.

        Each measure has a difference of means, and with two groups of questions or more the bounds of its 95 % bootstrap interval, else
        None. Nothing without a second representation.
        """
        if len(self.measures) < 2:  # noqa: PLR2004
            return []
        first, *_, last = self.measures
        chosen = [pool for pool in self.measures[first] if pool[1]]
        by_pair: dict[tuple[str, str], list[Pool]] = defaultdict(list)
        for pool in chosen:
            by_pair[self._language(pool), pool[1]].append(pool)
        cells: list[tuple[str | None, str | None, list[Pool]]] = [(None, None, chosen)]
        cells += [(*pair, by_pair[pair]) for pair in sorted(by_pair)]
        return [
            {
                "query_language": asking,
                "answer_language": answering,
                "from": first,
                "to": last,
                "queries": len(some),
                **self._differences(some, first, last),
            }
            for asking, answering, some in cells
        ]

    def _differences(self, some: Sequence[Pool], first: str, last: str) -> dict[str, dict[str, float | None]]:
        names = measure_names(self.k)
        values = np.array(
            [[self.measures[last][pool][name] - self.measures[first][pool][name] for name in names] for pool in some]
        )
        lows, highs = bootstrap(values, [self._group(pool) for pool in some])
        return {
            name: {"difference": _rounded(mean), "low": _rounded(low), "high": _rounded(high)}
            for name, mean, low, high in zip(names, values.mean(axis=0).tolist(), lows, highs, strict=True)
        }

    def _rows(self, cell_of: Any) -> list[dict[str, Any]]:
        rows = []
        for place, (representation, measures) in enumerate(self.measures.items()):
            cells: dict[tuple[str | None, str | None], list[Measures]] = defaultdict(list)
            for pool, values in measures.items():
                cell = cell_of(pool)
                if cell is not None:
                    cells[cell].append(values)
            for (asking, answering), some in cells.items():
                means = {name: _rounded(float(np.mean([one[name] for one in some]))) for name in measure_names(self.k)}
                row = {
                    "query_language": asking,
                    "answer_language": answering,
                    "representation": representation,
                    "queries": len(some),
                    **means,
                }
                rows.append(((asking or "", answering or "", place), row))
        return [row for _, row in sorted(rows, key=lambda one: one[0])]

    def _language(self, pool: Pool) -> str:
        return self.questions[pool[0]].language

    def _group(self, pool: Pool) -> str:
        return self.questions[pool[0]].group or str(pool[0])


Bounds = list[float | None]


def bootstrap(values: npt.NDArray[np.float64], groups: Sequence[str]) -> tuple[Bounds, Bounds]:
    """The 95 % percentile interval of the mean of each column (Efron and Tibshirani 1993, chapter 13); None for fewer than two groups.

    Whole groups are drawn with replacement, as translations of one question rise and fall together (Davison and Hinkley 1997, section
    3.8); with few groups the interval is too narrow. The draws are seeded: equal values give equal bounds.

    Args:
        values: shape (n, columns).
        groups: of each row, the group that it belongs to.

    Returns:
        The lower bounds and the upper bounds, one of each column.
    """
    names, places = np.unique(np.array(groups), return_inverse=True)
    columns = values.shape[1]
    if len(names) < 2:  # noqa: PLR2004
        return [None] * columns, [None] * columns
    sums, counts = [np.bincount(places, one) for one in values.T], np.bincount(places)
    generator = np.random.default_rng(_SEED)
    means = []
    for _ in range(RESAMPLES // _DRAWN_AT_ONCE):
        drawn = generator.integers(0, len(names), (_DRAWN_AT_ONCE, len(names)))
        drawn_counts = counts[drawn].sum(axis=1)
        means.append(np.stack([one[drawn].sum(axis=1) / drawn_counts for one in sums]))
    low, high = np.quantile(np.concatenate(means, axis=1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=1)
    return low.tolist(), high.tolist()


def language_bias(
    questions: Sequence[Question],
    rankings: Mapping[int, Ranking],
    languages: Mapping[str, str],
    documents: Mapping[str, int],
) -> list[dict[str, Any]]:
    """By query language, how much more often the first k documents are of that language than a ranking blind to languages gives.

    Such a ranking puts at each place any of the answers, or any of the other documents, whatever their language; how many of the first k
    are answers is taken from the ranking itself, so that a bad ranking is not taken for a biased one. That expected share is 0 on the
    scale of the bias, and as many documents of the query's language as there can be are 1 (corrected for chance as in Cohen 1960,
    doi:10.1177/001316446002000104). Where languages differ in what they write about, a part of it is the topic.

    Args:
        questions: with answers that are held.
        rankings: of some questions among all languages, by number, the first k documents each.
        languages: language by document id, of every answer.
        documents: how many the collection holds, by language.

    Returns:
        A row for each query language: queries, `share` and `expected_share` of its own documents, means over the queries, and `bias`,
        None where the collection leaves no choice.
    """
    sums: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    total = sum(documents.values())
    for number, ranking in sorted(rankings.items()):
        question = questions[number]
        own = question.language
        relevant = question.relevant
        is_held = question.itself is not None
        own_documents = documents.get(own, 0) - is_held
        own_relevant = sum(languages[name] == own for name in relevant)
        others = total - is_held - len(relevant)
        found = len(ranking.documents)
        right = len(relevant.intersection(ranking.documents))
        expected = right * own_relevant / len(relevant)
        if found > right:
            expected += (found - right) * (own_documents - own_relevant) / others
        most = min(found, own_documents)
        sums[own].append((sum(language == own for language in ranking.languages), expected, most, found))
    rows = []
    for language, some in sorted(sums.items()):
        shown, expected, most, found = np.array(some, np.float64).sum(axis=0)
        rows.append(
            {
                "query_language": language,
                "queries": len(some),
                "share": _rounded(shown / found) if found else None,
                "expected_share": _rounded(expected / found) if found else None,
                "bias": _rounded((shown - expected) / (most - expected)) if most - expected > 1e-9 else None,  # noqa: PLR2004
            }
        )
    return rows


def below_floors(rows: Iterable[Mapping[str, Any]], representation: str, floors: Mapping[str, float]) -> list[str]:
    """What is below a floor, in words.

    Args:
        rows: of `Evaluated.results` or `overall`.
        representation: that is looked at.
        floors: least value by name of the measure.
    """
    found = []
    for row in rows:
        if row["representation"] != representation:
            continue
        pair = f"{row['query_language']} to {row['answer_language']}" if row.get("query_language") else "overall"
        found += [
            f"{pair}: {name} {row[name]:.4f} is below {floor:g}" for name, floor in floors.items() if row[name] < floor
        ]
    return found


def _rounded(value: float | None) -> float | None:
    # Adding zero makes -0.0 what it is.
    return None if value is None else round(float(value), _DIGITS) + 0.0
