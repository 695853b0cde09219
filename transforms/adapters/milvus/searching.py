"""A question put to a collection: filtered, fused, ranked again, one row of each document; the same rows and scores on every Milvus."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pymilvus import MilvusClient
from pymilvus.client.embedding_list import EmbeddingList

from transforms.adapters.milvus.calls import PATIENT, Patience, call
from transforms.adapters.milvus.capabilities import Capabilities
from transforms.adapters.milvus.indexes import GROUPING
from transforms.adapters.milvus.query import Query, Search
from transforms.adapters.milvus.schema import VECTORS_OF_TOKENS
from transforms.logic.filters import Condition, Dialect, expression
from transforms.logic.fusion import reciprocal_ranks, weighted_scores
from transforms.logic.vectors import Float32

MAX_TOP = 16_384
"""The most rows that Milvus gives for one search."""
FUSED = 100
"""Rows of each kind that are fused, or ranked again, at least."""
_OVERSAMPLED = 4

Row = dict[str, Any]


@dataclass(frozen=True)
class Searcher:
    """Searches of one collection of one server."""

    client: MilvusClient
    collection: str
    there: Capabilities
    patience: Patience = PATIENT

    def search(self, query: Query, top: int, fields: Sequence[str]) -> list[Row]:
        """The `top` best rows, best first and of equals by id, each with `id`, `score` and the named fields.

        The score is the cosine of dense vectors (of binary ones that of their signs), the inner product of sparse ones, of both the
        reciprocal rank fusion or the weighted sum (`logic.fusion`), or for vectors of tokens the mean over the query's tokens of the
        greatest cosine.
        """
        if not query.by_document:
            return self._ranked(query, top, fields)
        if self._groups(query):
            return self._near(query, query.searches[0], top, fields)
        wanted = fields if "document_id" in fields else [*fields, "document_id"]
        return [
            {name: value for name, value in row.items() if name in {"id", "score", *fields}}
            for row in first_of_documents(lambda depth: self._ranked(query, depth, wanted), top)
        ]

    def _groups(self, query: Query) -> bool:
        """Whether the server itself gives one row of each document: for one search by numbers, and under some index types."""
        alone = query.dense is not None and query.sparse is None and query.multi is None and not query.is_binary
        return alone and self.there.can("grouping") and query.index is not None and query.index.type in GROUPING

    def _ranked(self, query: Query, top: int, fields: Sequence[str]) -> list[Row]:
        if query.multi is None:
            return self._found(query, top, fields)
        if not query.searches:
            return self._by_tokens(query.multi, query, top, fields)
        found = tuple(row["id"] for row in self._found(query, max(top, FUSED), ["id"]))
        # By id alone: what else is asked holds for all of them.
        again = replace(query, languages=(), labels=(), where=[Condition("id", "in", found)])
        return self._by_tokens(query.multi, again, top, fields) if found else []

    def _found(self, query: Query, top: int, fields: Sequence[str]) -> list[Row]:
        searches = query.searches
        if len(searches) == 1:
            return self._near(query, searches[0], top, fields)
        depth = max(top, FUSED)
        found = [self._near(query, one, depth, fields) for one in searches]
        rankings = [[(row["id"], row["score"]) for row in rows] for rows in found]
        if query.weights is None:
            scores = reciprocal_ranks(rankings)
        else:
            scores = weighted_scores(rankings, [one.least_score for one in searches], query.weights)
        rows = {row["id"]: row for of_search in found for row in of_search}
        return [{**rows[name], "score": score} for name, score in list(scores.items())[:top]]

    def _near(self, query: Query, search: Search, top: int, fields: Sequence[str]) -> list[Row]:
        index = query.index if search.field == "dense" else None
        settings = {} if index is None else index.search_settings(top)
        rows = self._ask(
            query,
            [search.vector],
            search.field,
            {"metric_type": search.metric, **({"params": settings} if settings else {})},
            limit=top,
            output_fields=list(fields),
            **({"group_by_field": "document_id"} if query.by_document and self._groups(query) else {}),
        )
        if search.metric == "HAMMING":
            rows = [{**row, "score": 1 - 2 * row["score"] / (8 * len(search.vector))} for row in rows]
        return in_order(rows)

    def _by_tokens(self, tokens: Float32, query: Query, top: int, fields: Sequence[str]) -> list[Row]:
        parameters = {"metric_type": "MAX_SIM_COSINE"}
        rows = self._ask(
            query, [EmbeddingList(tokens)], VECTORS_OF_TOKENS, parameters, limit=top, output_fields=list(fields)
        )
        return in_order([{**row, "score": row["score"] / len(tokens)} for row in rows])

    def _ask(
        self, query: Query, data: list[Any], field: str, parameters: Mapping[str, Any], **settings: Any
    ) -> list[Row]:
        wanted = expression(query.conditions, self._dialect)
        hits = call(
            "search",
            lambda: self.client.search(
                self.collection,
                data,
                anns_field=field,
                search_params=dict(parameters),
                filter=wanted.text,
                filter_params=dict(wanted.parameters),
                partition_names=None if query.partitions is None else list(query.partitions),
                consistency_level=query.consistency,
                **self.patience.one_attempt,
                **settings,
            ),
            self.patience,
        )
        return [{**hit["entity"], "id": hit["id"], "score": float(hit["distance"])} for hit in hits[0]]

    @property
    def _dialect(self) -> Dialect:
        return "templates" if self.there.can("filter templates") else "literals"


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Rows best first, of equals by id: a server gives these in any order."""
    return sorted(rows, key=lambda row: (-row["score"], row["id"]))


def first_of_documents(find: Callable[[int], list[Row]], top: int) -> list[Row]:
    """The best row of each of the `top` best documents, for servers that cannot be asked for it.

    `find` gives so many of the best rows. It is asked for four times as many as are needed, and for more until enough documents are
    among them or there are no more rows.
    """
    depth = min(MAX_TOP, _OVERSAMPLED * top)
    while True:
        rows = find(depth)
        best: dict[str, Row] = {}
        for row in rows:
            best.setdefault(row["document_id"], row)
        if len(best) >= top or len(rows) < depth or depth == MAX_TOP:
            return list(best.values())[:top]
        depth = min(MAX_TOP, _OVERSAMPLED * depth)
