"""One ranking of several, made here and not by the server: every Milvus then gives the same rows and scores.

Milvus's own weighted ranker maps scores by an arctangent on servers (optional from 2.5 on) and by minimum and maximum in Milvus Lite, and
2.3 has no hybrid search at all.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

RANK_CONSTANT = 60
"""Cormack, Clarke and Buettcher 2009 (SIGIR), who found 60 to serve everywhere."""

Ranking = Sequence[tuple[str, float]]
"""Ids and scores, best first."""


def reciprocal_ranks(rankings: Sequence[Ranking]) -> dict[str, float]:
    """Reciprocal rank fusion: the sum of 1 / (60 + rank), rank from 1, over the rankings that have the id; best first, of equals by id."""
    scores: dict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, (name, _) in enumerate(ranking, 1):
            scores[name] += 1 / (RANK_CONSTANT + rank)
    return _ordered(scores)


def weighted_scores(rankings: Sequence[Ranking], least: Sequence[float], weights: Sequence[float]) -> dict[str, float]:
    """Weighted sum of scores, each in [0, 1]; best first, of equals by id.

    A score is scaled so that the least possible one of its kind becomes 0 and the best of its ranking 1; an id that a ranking lacks has 0
    there (the convex combination with theoretical minimum of Bruch, Gai and Ingber 2023, ACM TOIS 42(1), section 4).

    Args:
        rankings: one of each kind.
        least: the least possible score of each kind: -1 of a cosine, 0 of an inner product of weights above 0.
        weights: of each kind, at least 0; only their proportion counts.
    """
    total = sum(weights)
    scores: dict[str, float] = defaultdict(float)
    for ranking, lowest, weight in zip(rankings, least, weights, strict=True):
        width = ranking[0][1] - lowest if ranking else 0
        for name, score in ranking:
            scores[name] += weight / total * ((score - lowest) / width if width > 0 else 0)
    return _ordered(scores)


def _ordered(scores: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(scores.items(), key=lambda one: (-one[1], one[0])))
