"""Exact search that rows pass by once: the best documents of each query, a document being as good as its best chunk."""

from collections.abc import Sequence

import numpy as np

from transforms.logic.vectors import Float32

_BLOCK_ROWS = 4096
"""With a thousand queries their scores are 16 MB."""


class BestDocuments:
    """The `depth` best documents of n queries, of equals the ones with the smaller ids; memory does not grow with the rows."""

    def __init__(self, queries: Float32, depth: int) -> None:
        """Takes the vectors of the queries, shape (n, dimensions), float32, so that inner products order as is wanted; n may be 0."""
        self._queries = queries
        self._depth = depth
        self._best: list[dict[str, float]] = [{} for _ in queries]
        self._languages: list[dict[str, str]] = [{} for _ in queries]
        self._last: Float32 = np.full(len(queries), -np.inf, np.float32)

    def see(self, documents: Sequence[str], languages: Sequence[str], vectors: Float32) -> None:
        """Takes rows, each once: document and language of each, and vectors, shape (rows, dimensions), float32."""
        if not len(self._queries):
            return
        for start in range(0, len(vectors), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            self._see(documents[block], languages[block], vectors[block])

    def _see(self, documents: Sequence[str], languages: Sequence[str], vectors: Float32) -> None:
        names, rows, places = np.unique(np.array(documents, object), return_index=True, return_inverse=True)
        order = np.argsort(places, kind="stable")
        starts = np.searchsorted(places[order], np.arange(len(names)))
        scores = np.maximum.reduceat(self._queries @ vectors[order].T, starts, axis=1)
        depth = min(self._depth, len(names))
        enough = np.maximum(self._last, np.partition(scores, -depth, axis=1)[:, -depth])
        is_hopeful = scores >= enough[:, None]
        for query in np.flatnonzero(is_hopeful.any(axis=1)).tolist():
            best = self._best[query]
            for place in np.flatnonzero(is_hopeful[query]).tolist():
                name = names[place]
                best[name] = max(best.get(name, -np.inf), float(scores[query, place]))
                self._languages[query][name] = languages[rows[place]]
            kept = sorted(best, key=lambda name: (-best[name], name))[: self._depth]
            self._best[query] = {name: best[name] for name in kept}
            self._languages[query] = {name: self._languages[query][name] for name in kept}
            if len(kept) == self._depth:
                self._last[query] = best[kept[-1]]

    def found(self, query: int) -> list[tuple[str, str]]:
        """Ids and languages of a query's best documents, best first."""
        return [(name, self._languages[query][name]) for name in self._best[query]]
