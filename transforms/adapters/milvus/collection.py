"""One collection of one server."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from pymilvus import MilvusClient, MilvusException

from transforms.adapters.crashpoints import durable
from transforms.adapters.milvus.calls import CALL_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS, call, text_of
from transforms.adapters.milvus.capabilities import capabilities_of
from transforms.adapters.milvus.query import Query
from transforms.adapters.milvus.schema import indexes_of, schema_of
from transforms.adapters.milvus.searching import Searcher
from transforms.adapters.milvus.servers import Target, token_of
from transforms.adapters.milvus.space import PROPERTY, CollectionSpace
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, TransientError
from transforms.logic.languages import DEFAULT_PARTITION

_EVERY_ROW = 'id != ""'


def connect(target: Target) -> "Collection":
    """The collection of a server that answered before: if it no longer does, that may pass, so `TransientError`."""
    try:
        return Collection(target)
    except ConfigurationError as error:
        raise TransientError(str(error)) from error


class Collection:
    """One collection of one server. Not picklable: workers open their own."""

    def __init__(self, target: Target) -> None:
        """Connects within seconds, or raises `ConfigurationError` naming the address."""
        self._name = target.collection
        self._partitions: set[str] = set()
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        try:
            self._client = MilvusClient(
                uri=target.uri,
                token=token_of(target.token_env),
                timeout=CONNECT_TIMEOUT_SECONDS,
                # Otherwise close() leaves the channel open, and pings without calls make a server drop it.
                dedicated=True,
                grpc_options={"grpc.keepalive_permit_without_calls": False},
            )
            self.version = str(self._client.get_server_version())
        except (MilvusException, grpc.RpcError) as error:
            message = (
                f"Milvus at {target.uri!r} does not answer within {CONNECT_TIMEOUT_SECONDS:g} seconds: {text_of(error)}; "
                "is it running?"
            )
            raise ConfigurationError(message) from error

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def exists(self) -> bool:
        """Whether the collection is there."""
        return bool(
            call("has_collection", lambda: self._client.has_collection(self._name, timeout=CALL_TIMEOUT_SECONDS))
        )

    def load(self) -> None:
        """Makes the collection searchable; Milvus Lite forgets that it was when its process ends."""
        call("load_collection", lambda: self._client.load_collection(self._name, timeout=CALL_TIMEOUT_SECONDS))

    def space(self) -> CollectionSpace:
        """What the collection records about itself; one not made by this project raises `ConfigurationError`."""
        described = call(
            "describe_collection", lambda: self._client.describe_collection(self._name, timeout=CALL_TIMEOUT_SECONDS)
        )
        text = described.get("properties", {}).get(PROPERTY) or described.get("description")
        if not text:
            message = f"collection {self._name!r} exists but was not made by corpus-embed; choose another --collection"
            raise ConfigurationError(message)
        return CollectionSpace.from_json(text)

    def create(self, space: CollectionSpace) -> None:
        """Creates and loads the collection with its fields and an index over each of its vector fields."""
        indexes = self._client.prepare_index_params()
        for field, settings in indexes_of(space).items():
            indexes.add_index(field, **settings)
        with durable("collection"):
            call(
                "create_collection",
                lambda: self._client.create_collection(
                    self._name,
                    schema=schema_of(space),
                    index_params=indexes,
                    properties={PROPERTY: space.to_json()},
                    timeout=CALL_TIMEOUT_SECONDS,
                ),
            )

    def record(self, space: CollectionSpace) -> None:
        """Lets the collection record this space in place of another with the same fields."""
        call(
            "alter_collection_properties",
            lambda: self._client.alter_collection_properties(
                self._name, {PROPERTY: space.to_json()}, timeout=CALL_TIMEOUT_SECONDS
            ),
        )

    def upsert(self, partition: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes rows with distinct ids into one partition, creating it if needed; repeating a call changes nothing."""
        self._ensure_partition(partition)
        with durable("upsert"):
            call(
                "upsert",
                lambda: self._client.upsert(
                    self._name, [dict(row) for row in rows], partition_name=partition, timeout=CALL_TIMEOUT_SECONDS
                ),
            )

    def delete(self, partition: str, ids: Sequence[str]) -> None:
        """Deletes rows of one partition by primary key; ids that are not there are no error."""
        if partition in self.partitions():
            with durable("delete"):
                call(
                    "delete",
                    lambda: self._client.delete(
                        self._name, ids=list(ids), partition_name=partition, timeout=CALL_TIMEOUT_SECONDS
                    ),
                )

    def partitions(self) -> list[str]:
        """Names of the partitions, ordered."""
        return sorted(
            call("list_partitions", lambda: self._client.list_partitions(self._name, timeout=CALL_TIMEOUT_SECONDS))
        )

    def counts(self) -> dict[str, int]:
        """Rows of each partition that has any, counted at strong consistency."""
        found = {partition: self._count(partition) for partition in self.partitions()}
        return {partition: count for partition, count in found.items() if count}

    def search(self, query: Query, top: int, fields: Sequence[str]) -> list[dict[str, Any]]:
        """The `top` best rows, best first: see `Searcher.search`."""
        return Searcher(self._client, self._name, capabilities_of(self.version)).search(query, top, fields)

    def _count(self, partition: str) -> int:
        if capabilities_of(self.version).kind == "lite":
            # It counts a query's answer row by row in Python, without a filter it ignores the partition; its statistics are exact.
            stated = call(
                "get_partition_stats",
                lambda: self._client.get_partition_stats(self._name, partition, timeout=CALL_TIMEOUT_SECONDS),
            )
            return int(stated["row_count"])
        answer = call(
            "count",
            lambda: self._client.query(
                self._name,
                filter=_EVERY_ROW,
                output_fields=["count(*)"],
                partition_names=[partition],
                consistency_level="Strong",
                timeout=CALL_TIMEOUT_SECONDS,
            ),
        )
        return int(answer[0]["count(*)"])

    def _ensure_partition(self, partition: str) -> None:
        if partition in self._partitions or partition == DEFAULT_PARTITION:
            return
        if partition not in self.partitions():
            try:
                with durable("partition"):
                    call(
                        "create_partition",
                        lambda: self._client.create_partition(self._name, partition, timeout=CALL_TIMEOUT_SECONDS),
                    )
            except CorpusEmbedError:
                # Another worker may have created it in between; anything else is the server's own refusal.
                if partition not in self.partitions():
                    raise
        self._partitions.add(partition)
