"""What an index finds of what exact search finds: recall@10, from rows that pass by once.

Chunks search for chunks, as no queries are known. An answer is right if its exact score reaches that of the last exact neighbour, so that
equal texts are no loss (ANN-Benchmarks, Aumüller et al. 2020, doi:10.1016/j.is.2019.02.006, section 2.1).
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.logic.recall import TOP
from transforms.logic.vectors import Float32

# Far below what tells neighbours apart, above the noise of summing float32 in another order.
_SAME_SCORE = 1e-5


class IndexRecall:
    """Some rows search all others of their partition."""

    def __init__(self, ids: Sequence[str], queries: Float32, answers: Sequence[Sequence[str]], top: int = TOP) -> None:
        """Takes who searches, by what, and what the index answers.

        Args:
            ids: of the rows that search.
            queries: shape (n, dimensions): their vectors, so that inner products order as the metric does.
            answers: ids that the index gave to each, best first; the row itself does not count.
            top: how many answers count.
        """
        self._ids = list(ids)
        self._queries = queries
        self._answers = [
            [one for one in of_query if one != own][:top] for own, of_query in zip(ids, answers, strict=True)
        ]
        self._best: Float32 = np.full((len(queries), top), -np.inf, np.float32)
        self._scores: list[dict[str, float]] = [{} for _ in ids]
        self._watched = pa.array(sorted({*self._ids, *(one for some in self._answers for one in some)}), pa.string())

    def see(self, ids: pa.Array, vectors: Float32) -> None:
        """Takes rows of the partition, each once: ids and vectors of shape (n, dimensions)."""
        scores = self._queries @ vectors.T
        watched = np.flatnonzero(pc.is_in(ids, self._watched).to_numpy(zero_copy_only=False))
        places = {ids[int(place)].as_py(): int(place) for place in watched}
        for query, own in enumerate(self._ids):
            for answer in self._answers[query]:
                if answer in places:
                    self._scores[query][answer] = float(scores[query, places[answer]])
            if own in places:
                scores[query, places[own]] = -np.inf
        together = np.concatenate([self._best, scores], axis=1)
        top = self._best.shape[1]
        self._best = cast("Float32", np.partition(together, -top, axis=1)[:, -top:])

    def recall(self) -> float | None:
        """Mean over the queries, in [0, 1]; None if there was nothing to find."""
        shares = []
        for query, best in enumerate(self._best):
            there = best[np.isfinite(best)]
            if len(there):
                enough = there.min() - _SAME_SCORE
                right = sum(score >= enough for score in self._scores[query].values())
                shares.append(min(right, len(there)) / len(there))
        return float(np.mean(shares)) if shares else None
