"""A collection as an audit sees it: what is there is counted, listed, fetched and searched, and nothing is changed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy.typing as npt
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from transforms.adapters.milvus.collection import Collection
from transforms.adapters.milvus.servers import Target
from transforms.logic.errors import ConfigurationError, TransientError
from transforms.logic.filters import Condition, expression
from transforms.logic.rows import on_the_wire

MAX_ROWS = 16_384
"""The most that Milvus gives for one query."""
UNFINISHED = frozenset({"Unissued", "InProgress", "Retry"})
"""States of an index that is being built."""
_LOOK_SECONDS = 1.0
_EVERY_ROW = 'id != ""'


def audited(target: Target) -> "AuditedCollection":
    """A collection of a server that answered before: if it no longer does, that may pass, so `TransientError`."""
    try:
        return AuditedCollection(target)
    except ConfigurationError as error:
        raise TransientError(str(error)) from error


class AuditedCollection(Collection):
    """A collection that is only read."""

    def wait_until_ready(self, most_seconds: float) -> None:
        """Waits, but for so long, while the collection is being loaded or an index is being built."""
        waiting = Retrying(
            retry=retry_if_result(lambda is_ready: not is_ready),
            stop=stop_after_delay(most_seconds),
            wait=wait_fixed(_LOOK_SECONDS),
            retry_error_callback=lambda _: None,
        )
        waiting(self._is_ready)

    def _is_ready(self) -> bool:
        built = all(index.get("state") not in UNFINISHED for index in self.indexes().values())
        return built and self.load_state() != "Loading"

    def indexes(self) -> dict[str, Mapping[str, Any]]:
        """The index of each field that has one, as the server describes it."""
        names = self._call("list_indexes", lambda: self._client.list_indexes(self._name, **self._once))
        described = [self._call("describe_index", self._describe(name)) for name in names]
        return {str(one["field_name"]): one for one in described if one}

    def ids(self, partition: str, lower: str | None, upper: str | None) -> list[str]:
        """Ids of a partition, `lower` included and `upper` not, in any order; None for no end."""
        chosen = _between(lower, upper)
        found = self._query(partition, chosen, ["id"])
        if len(found) < MAX_ROWS:
            return [row["id"] for row in found]
        iterator = self._call(
            "query_iterator",
            lambda: self._client.query_iterator(
                self._name,
                batch_size=MAX_ROWS // 2,
                filter=chosen,
                output_fields=["id"],
                partition_names=[partition],
                consistency_level="Strong",
                **self._once,
            ),
        )
        try:
            listed: list[str] = []
            while page := self._call("query_iterator", iterator.next):
                listed += [row["id"] for row in page]
            return listed
        finally:
            iterator.close()

    def count_between(self, partition: str, lower: str | None, upper: str | None) -> int:
        """Rows of a partition in a range of ids, as `ids` takes it, counted at strong consistency: a row that is there twice is two."""
        return self._counted(partition, _between(lower, upper))

    def count_of(self, partition: str, ids: Sequence[str]) -> int:
        """Rows of a partition with one of these ids."""
        return self._counted(partition, _among(ids)) if ids else 0

    def rows(self, partition: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Those rows of a partition, or of all if it is empty, with one of these ids, by id."""
        found = self._query(partition, _among(ids), list(fields)) if ids else []
        return {row["id"]: row for row in found}

    def nearest(
        self, partition: str, vectors: npt.NDArray[Any], metric: str, top: int
    ) -> list[list[tuple[str, float]]]:
        """For each vector, as `representations.represent` gives it, the `top` nearest rows of a partition: id and distance."""
        return self._search(partition, "dense", on_the_wire(vectors), metric, top)

    def heaviest(
        self, partition: str, weights: Sequence[Mapping[int, float]], top: int
    ) -> list[list[tuple[str, float]]]:
        """For each sparse vector, none of them empty, the `top` rows of a partition with the greatest inner product: id and product."""
        return self._search(partition, "sparse", [dict(one) for one in weights], "IP", top)

    def _search(
        self, partition: str, field: str, data: list[Any], metric: str, top: int
    ) -> list[list[tuple[str, float]]]:
        hits = self._call(
            "search",
            lambda: self._client.search(
                self._name,
                data,
                anns_field=field,
                search_params={"metric_type": metric},
                limit=top,
                output_fields=["id"],
                partition_names=[partition],
                consistency_level="Strong",
                **self._once,
            ),
        )
        return [[(hit["id"], float(hit["distance"])) for hit in of_query] for of_query in hits]

    def _describe(self, index: str) -> Callable[[], Mapping[str, Any]]:
        return lambda: self._client.describe_index(self._name, index, **self._once)

    def _counted(self, partition: str, chosen: str) -> int:
        return int(self._query(partition, chosen, ["count(*)"])[0]["count(*)"])

    def _query(self, partition: str, chosen: str, fields: list[str]) -> list[dict[str, Any]]:
        limit = {} if fields == ["count(*)"] else {"limit": MAX_ROWS}
        return list(
            self._call(
                "query",
                lambda: self._client.query(
                    self._name,
                    filter=chosen,
                    output_fields=fields,
                    partition_names=[partition] if partition else None,
                    consistency_level="Strong",
                    **self._once,
                    **limit,
                ),
            )
        )


def _between(lower: str | None, upper: str | None) -> str:
    """The expression for a range of ids; the bounds are hexadecimal."""
    parts = [f'id >= "{lower}"'] if lower else []
    parts += [f'id < "{upper}"'] if upper else []
    return " and ".join(parts) or _EVERY_ROW


def _among(ids: Sequence[str]) -> str:
    # As a literal: every Milvus reads it, and digests hold nothing that needs more.
    return expression([Condition("id", "in", tuple(ids))], "literals").text
