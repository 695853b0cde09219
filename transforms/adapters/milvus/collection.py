"""One collection of one server."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import grpc
from pymilvus import MilvusClient, MilvusException
from pymilvus.exceptions import SchemaMismatchRetryableException

from transforms.adapters.crashpoints import durable
from transforms.adapters.milvus.calls import (
    CONNECT_TIMEOUT_SECONDS,
    ONE_ATTEMPT,
    PATIENT,
    IncompleteError,
    Patience,
    Result,
    Verdict,
    attempt,
    call,
    make_one_attempt,
    text_of,
    verdict_on,
)
from transforms.adapters.milvus.capabilities import capabilities_of
from transforms.adapters.milvus.certificates import Certificates, token_of
from transforms.adapters.milvus.query import Query
from transforms.adapters.milvus.requests import MAX_REQUEST_BYTES, RowList, Upsertable
from transforms.adapters.milvus.schema import indexes_of, schema_of
from transforms.adapters.milvus.searching import Searcher
from transforms.adapters.milvus.servers import Target
from transforms.adapters.milvus.space import PROPERTY, CollectionSpace
from transforms.adapters.secrets import cause_of
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, CorruptDataError, TransientError
from transforms.logic.languages import DEFAULT_PARTITION

_EVERY_ROW = 'id != ""'
_ID = re.compile(r"[0-9a-f]{32}")
_IDS_PER_DELETE = 4096
_ASKED_AT_ONCE = 8
_HOPELESS = 16
"""So many rows refused and none taken: it is not the rows."""
# gRPC's own are 20 seconds to 2 minutes: a server that is back would not be noticed.
_CHANNEL = {
    # Pings without calls make a server drop the connection.
    "grpc.keepalive_permit_without_calls": False,
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 5000,
}


class _TooLargeError(ValueError):
    """The request would be above `MAX_REQUEST_BYTES`."""


class Refused(NamedTuple):
    """A row that the server will not take: its place among the rows of the call, and what was said of it."""

    row: int
    said: str


def connect(target: Target) -> "Collection":
    """The collection of a server that answered before: if it no longer does, that may pass, so `TransientError`."""
    try:
        return Collection(target)
    except ConfigurationError as error:
        raise TransientError(str(error)) from error


class Collection:
    """One collection of one server. Not picklable: workers open their own."""

    def __init__(self, target: Target, patience: Patience = PATIENT) -> None:
        """Connects within seconds, or raises `ConfigurationError` naming the address; what readers ask is repeated for `patience`."""
        self._name = target.collection
        self._patience = patience
        self._once = patience.one_attempt
        self._partitions: set[str] = set()
        self._described: Mapping[str, Any] | None = None
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        token = token_of(target.access)
        self._certificates = Certificates(target.access)
        try:
            self._client = MilvusClient(
                uri=target.uri,
                token=token,
                timeout=CONNECT_TIMEOUT_SECONDS,
                # Otherwise close() leaves the channel open.
                dedicated=True,
                grpc_options=_CHANNEL,
                **self._certificates.client_settings(),
            )
            make_one_attempt(self._client)
            self.version = str(self._client.get_server_version())
        except (MilvusException, grpc.RpcError) as error:
            self._certificates.close()
            # The client says that it could not connect; why, says its cause.
            cause = error.__cause__ if isinstance(error.__cause__, grpc.RpcError) else error
            message = (
                f"Milvus at {target.uri!r} refuses the connection: {text_of(cause)}; check --milvus-token"
                if verdict_on(cause) is Verdict.CONFIGURATION
                else f"Milvus at {target.uri!r} does not answer within {CONNECT_TIMEOUT_SECONDS:g} seconds: {text_of(error)}; "
                "is it running?"
            )
            raise ConfigurationError(message) from cause_of(error)

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()
        self._certificates.close()

    @property
    def is_lite(self) -> bool:
        """Whether this is Milvus Lite."""
        return capabilities_of(self.version).kind == "lite"

    def exists(self) -> bool:
        """Whether the collection is there."""
        return bool(self._call("has_collection", lambda: self._client.has_collection(self._name, **self._once)))

    def meant(self) -> str:
        """The name of the collection that this name means: its own, or what the alias points at."""
        return str(self._described_now()["collection_name"])

    def load(self) -> None:
        """Makes the collection searchable; Milvus Lite forgets that it was when its process ends.

        Raises:
            ConfigurationError: the server refuses, as it does where an index was dropped.
        """
        try:
            # Readers wait for this, too.
            attempt("load_collection", lambda: self._client.load_collection(self._name, **ONE_ATTEMPT))
        except (MilvusException, grpc.RpcError) as error:
            raise ConfigurationError(
                f"Milvus does not load collection {self._name!r}: {text_of(error)}; corpus-embed verify says what it lacks, "
                "and corpus-embed load, or run --publish, fills a fresh one from the dataset"
            ) from cause_of(error)

    def load_state(self) -> str:
        """`Loaded`, `Loading`, `NotLoad` or `NotExist`."""
        found = self._call("get_load_state", lambda: self._client.get_load_state(self._name, **self._once))
        return str(found["state"].name)

    def space(self) -> CollectionSpace:
        """What the collection records about itself; one not made by this project raises `ConfigurationError`."""
        return self.meaning()[1]

    def meaning(self) -> tuple[str, CollectionSpace]:
        """What `meant` and `space` give, at one moment: an alias may move between two requests."""
        described = self._described_now()
        text = described.get("properties", {}).get(PROPERTY) or described.get("description")
        if not text:
            message = f"collection {self._name!r} exists but was not made by corpus-embed; choose another --collection"
            raise ConfigurationError(message)
        return str(described["collection_name"]), CollectionSpace.from_json(text)

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
                    **ONE_ATTEMPT,
                ),
            )

    def record(self, space: CollectionSpace) -> None:
        """Lets the collection record this space in place of another with the same fields."""
        self._described = None
        call(
            "alter_collection_properties",
            lambda: self._client.alter_collection_properties(self._name, {PROPERTY: space.to_json()}, **ONE_ATTEMPT),
        )

    def upsert(self, partition: str, rows: Upsertable | Sequence[Mapping[str, Any]]) -> list[Refused]:
        """Writes rows into one partition, creating it if needed; repeating a call changes nothing.

        They go in requests of at most 16 MiB. When one is refused its halves are tried, so that a row that the server does not take is
        found and its neighbours are written; it keeps what the server held under its id before.

        Args:
            partition: where the rows belong.
            rows: with distinct ids: real servers would hold a row twice, or refuse all.

        Returns:
            The rows that were refused.

        Raises:
            CorruptDataError: an id comes twice; nothing was written.
            TransientError: the server was away, or throttled, for longer than `calls` allows.
            ConfigurationError: credentials are not valid, or the collection is gone.
            CorpusEmbedError: the server takes no row at all.
        """
        given = RowList(rows) if isinstance(rows, Sequence) else rows
        ids = given.ids
        if len(set(ids)) != len(ids):
            twice = next(one for place, one in enumerate(ids) if one in ids[:place])
            raise CorruptDataError(
                f"row {twice} is to be written twice at once; start anew with another workspace and collection"
            )
        self._ensure_partition(partition)
        refused: list[Refused] = []
        took_some = False
        spans = [(0, len(ids))] if ids else []
        while spans:
            start, stop = spans.pop()
            said = self._upsert(given, partition, start, stop)
            if said is None:
                took_some = True
            elif stop - start == 1:
                refused.append(Refused(start, said))
            else:
                middle = (start + stop) // 2
                spans += [(middle, stop), (start, middle)]
            if len(refused) == _HOPELESS and not took_some:
                raise CorpusEmbedError(f"Milvus refused upsert: it took none of {_HOPELESS} rows: {refused[0].said}")
        return refused

    def delete(self, partition: str, ids: Sequence[str]) -> None:
        """Deletes rows of one partition by primary key; ids that are not there are no error.

        Raises:
            ValueError: an id is not one of ours, 32 lower-case hexadecimal digits: it would be put into an expression.
        """
        if not all(_ID.fullmatch(one) for one in ids):
            raise ValueError("an id to delete is not 32 hexadecimal digits")
        if partition not in self.partitions():
            return
        for start in range(0, len(ids), _IDS_PER_DELETE):
            some = list(ids[start : start + _IDS_PER_DELETE])
            request = partial(self._client.delete, self._name, ids=some, partition_name=partition, **ONE_ATTEMPT)
            with durable("delete"):
                call("delete", request)

    def partitions(self) -> list[str]:
        """Names of the partitions, ordered."""
        return sorted(self._call("list_partitions", lambda: self._client.list_partitions(self._name, **self._once)))

    @property
    def asked_at_once(self) -> int:
        """How many strong reads are best made at once: a server lets each wait for its next time tick, Lite lets none wait."""
        return 1 if self.is_lite else _ASKED_AT_ONCE

    def counts(self) -> dict[str, int]:
        """Rows of each partition that has any, counted at strong consistency."""
        partitions = self.partitions()
        with ThreadPoolExecutor(self.asked_at_once) as threads:
            found = dict(zip(partitions, threads.map(self._count, partitions), strict=True))
        return {partition: count for partition, count in found.items() if count}

    def search(self, query: Query, top: int, fields: Sequence[str]) -> list[dict[str, Any]]:
        """The `top` best rows, best first: see `Searcher.search`."""
        return Searcher(self._client, self._name, capabilities_of(self.version), self._patience).search(
            query, top, fields
        )

    def _described_now(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._call(
            "describe_collection", lambda: self._client.describe_collection(self._name, **self._once)
        )
        return found

    def _call(self, name: str, function: Callable[[], Result]) -> Result:
        return call(name, function, self._patience)

    def _count(self, partition: str) -> int:
        if self.is_lite:
            # It counts a query's answer row by row in Python, without a filter it ignores the partition; its statistics are exact.
            stated = call(
                "get_partition_stats",
                lambda: self._client.get_partition_stats(self._name, partition, **ONE_ATTEMPT),
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
                **ONE_ATTEMPT,
            ),
        )
        return int(answer[0]["count(*)"])

    def max_bytes(self) -> dict[str, int]:
        """How many bytes of UTF-8 each text field holds: Milvus Lite counts characters, servers count bytes."""
        lengths = {field["name"]: field.get("params", {}).get("max_length") for field in self._fields()["fields"]}
        return {name: int(length) for name, length in lengths.items() if length is not None}

    def _fields(self) -> Mapping[str, Any]:
        if self._described is None:
            # The client's own method rewrites what `Prepare` needs.
            handler = self._client._get_connection()  # noqa: SLF001
            found = call("describe_collection", lambda: handler.describe_collection(self._name, **ONE_ATTEMPT))
            # An alias is described under the collection's own name.
            self._described = {**found, "collection_name": self._name}
        return self._described

    def _upsert(self, rows: Upsertable, partition: str, start: int, stop: int) -> str | None:
        """One request; what the server, or the client that builds the request, said if it refused, else None."""

        def send() -> None:
            request = rows.request(self._fields(), partition, start, stop)
            if request.ByteSize() > MAX_REQUEST_BYTES and stop - start > 1:
                raise _TooLargeError
            try:
                sent = self._client._get_connection().upsert(  # noqa: SLF001  the client itself takes nothing but rows
                    self._name, [], partition, upsert_param=request, schema=self._described, **ONE_ATTEMPT
                )
            except SchemaMismatchRetryableException:
                # Somebody altered the collection since its fields were looked up.
                self._described = None
                raise
            if sent.upsert_count != stop - start or sent.err_count:
                raise IncompleteError(message=f"{sent.upsert_count} of {stop - start} rows were taken")

        try:
            with durable("upsert"):
                attempt("upsert", send)
        except (MilvusException, grpc.RpcError, ValueError) as error:
            return text_of(error)
        return None

    def _ensure_partition(self, partition: str) -> None:
        if partition in self._partitions or partition == DEFAULT_PARTITION:
            return
        if partition not in self.partitions():
            try:
                with durable("partition"):
                    call(
                        "create_partition",
                        lambda: self._client.create_partition(self._name, partition, **ONE_ATTEMPT),
                    )
            except CorpusEmbedError:
                # Another worker may have created it in between; anything else is the server's own refusal.
                if partition not in self.partitions():
                    raise
        self._partitions.add(partition)
