"""A Milvus collection: connected, created, written by upsert and primary key, counted back, searched.

Milvus Lite (a path ending in `.db`) is served from the process that opens it first: the files know one process only, so workers
in other processes are given the address of that server instead of the path.
"""

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc
from pymilvus import DataType, MilvusClient, MilvusException
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from transforms.logic.errors import ConfigurationError, CorpusEmbedError, TransientError
from transforms.logic.languages import DEFAULT_PARTITION
from transforms.logic.records import MAX_DOCUMENT_ID_BYTES
from transforms.logic.rows import STORED_FIELDS

CONNECT_TIMEOUT_SECONDS = 5.0
CALL_TIMEOUT_SECONDS = 120.0
MAX_VARCHAR_BYTES = 65_535
_ATTEMPTS = 6
_GRACE_SECONDS = 2.0
_SERVERS: dict[Path, tuple[Any, Any, str]] = {}
"""Server, database and address of each Milvus Lite that this process has open."""
_SERVERS_LOCK = threading.Lock()
_PROPERTY = "corpus_embed.space"
_SPACE_FORMAT = 2
# Its rows lack the languages of chunks, so this version could not write to it.
_FORMAT_WITHOUT_LANGUAGES = 1
_EVERY_ROW = 'id != ""'
_VARCHAR_BYTES = {
    "id": 32,
    "document_id": MAX_DOCUMENT_ID_BYTES,
    "language": 16,
    "chunk_language": 16,
    "script": 8,
    "date": 256,
}
_INTEGERS = frozenset({"ordinal", "start", "end", "tokens"})
_FLOATS = frozenset({"language_score", "chunk_language_score", "unknown_fraction"})
# By message, because one failure has different codes in Lite, 2.3 and later servers.
_TRANSIENT_WORDS = (
    "rate limit",
    "quota",
    "unavailable",
    "not ready",
    "timeout",
    "deadline",
    "connection",
    "not loaded",
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class CollectionSpace:
    """What a collection records about itself, so that spaces never mix.

    Attributes:
        embedding_space: fingerprint of the model, prompt and computation.
        model: name or directory of the model, for queries.
        revision: the hub commit, if any.
        dtype: number type of the model's computation.
        query_prompt: what a query is prefixed with.
        dimensions: length of the stored vectors.
        vector_type: number type of the stored vectors.
        partition_by: `language` or `none`.
        document_prompt: what every chunk was prefixed with.
        languages: folded languages with a partition of their own; None if every language has one.
    """

    embedding_space: str
    model: str
    revision: str | None
    dtype: str
    query_prompt: str
    dimensions: int
    vector_type: str
    partition_by: str
    document_prompt: str = ""
    languages: tuple[str, ...] | None = None

    def to_json(self) -> str:
        """One line of JSON with its format version."""
        return json.dumps({"format": _SPACE_FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "CollectionSpace":
        """Reads `to_json`; anything else raises `ConfigurationError`."""
        try:
            values = json.loads(text)
            version = values.pop("format")
            if version == _SPACE_FORMAT:
                languages = values.pop("languages")
                return cls(**values, languages=None if languages is None else tuple(languages))
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            message = f"the collection's property {_PROPERTY} is not of this project: {text[:80]!r}"
            raise ConfigurationError(message) from error
        remedy = (
            "choose another --collection; vectors in the workspace are reused"
            if version == _FORMAT_WITHOUT_LANGUAGES
            else "use a newer corpus-embed"
        )
        message = f"the collection was written in format {version}, this version reads {_SPACE_FORMAT}; {remedy}"
        raise ConfigurationError(message)


@dataclass(frozen=True)
class Target:
    """Where the rows go. The token is named by the environment variable that holds it, never held itself."""

    uri: str
    collection: str
    token_env: str | None = None


def served(target: Target) -> Target:
    """A target that every process can connect to: a Lite path becomes the address of a server in this process."""
    if not is_lite_path(target.uri):
        return target
    from milvus_lite.adapter.grpc.server import start_server_in_thread  # noqa: PLC0415  heavy, and only for Lite
    from milvus_lite.exceptions import MilvusLiteError  # noqa: PLC0415

    # Lite lacks calls that pymilvus tries and does without; its server would print a traceback for each.
    for name in ("milvus_lite", "grpc._server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    path = Path(target.uri).absolute()
    with _SERVERS_LOCK:
        if path not in _SERVERS:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                # One thread: Lite takes no lock when it writes, and two writers at once would spoil its write-ahead log.
                server, database, port = start_server_in_thread(str(path), max_workers=1)
            except (MilvusLiteError, OSError) as error:
                message = (
                    f"Milvus Lite cannot open {target.uri!r}: the path is not writable, or another process has it open; "
                    f"close that process ({_text(error)})"
                )
                raise ConfigurationError(message) from error
            _SERVERS[path] = (server, database, f"http://127.0.0.1:{port}")
        return Target(_SERVERS[path][2], target.collection, target.token_env)


def release(uri: str) -> None:
    """Closes the Lite server that `served` started for this path; nothing for a server's address."""
    if is_lite_path(uri):
        with _SERVERS_LOCK:
            server, database, _ = _SERVERS.pop(Path(uri).absolute(), (None, None, ""))
        if server is not None:
            server.stop(grace=_GRACE_SECONDS).wait()
            database.close()


def is_lite_path(uri: str) -> bool:
    """Whether the URI is a Milvus Lite directory; neither this nor a server's address raises `ConfigurationError`."""
    if "://" not in uri and uri.endswith(".db"):
        return True
    if uri.startswith(("http://", "https://", "tcp://", "unix:")):
        return False
    message = f"--milvus {uri!r} is neither a path ending in .db (Milvus Lite) nor an http:// or https:// address"
    raise ConfigurationError(message)


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
                token=_token(target.token_env),
                timeout=CONNECT_TIMEOUT_SECONDS,
                # Otherwise close() leaves the channel open, and pings without calls make a server drop it.
                dedicated=True,
                grpc_options={"grpc.keepalive_permit_without_calls": False},
            )
            self.version = str(self._client.get_server_version())
        except (MilvusException, grpc.RpcError) as error:
            message = f"Milvus at {target.uri!r} does not answer within {CONNECT_TIMEOUT_SECONDS:g} seconds: {_text(error)}; is it running?"
            raise ConfigurationError(message) from error

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def exists(self) -> bool:
        """Whether the collection is there."""
        return bool(
            _call("has_collection", lambda: self._client.has_collection(self._name, timeout=CALL_TIMEOUT_SECONDS))
        )

    def load(self) -> None:
        """Makes the collection searchable; Milvus Lite forgets that it was when its process ends."""
        _call("load_collection", lambda: self._client.load_collection(self._name, timeout=CALL_TIMEOUT_SECONDS))

    def space(self) -> CollectionSpace:
        """What the collection records about itself; one not made by this project raises `ConfigurationError`."""
        described = _call(
            "describe_collection", lambda: self._client.describe_collection(self._name, timeout=CALL_TIMEOUT_SECONDS)
        )
        text = described.get("properties", {}).get(_PROPERTY) or described.get("description")
        if not text:
            message = f"collection {self._name!r} exists but was not made by corpus-embed; choose another --collection"
            raise ConfigurationError(message)
        return CollectionSpace.from_json(text)

    def create(self, space: CollectionSpace) -> None:
        """Creates and loads the collection with its schema and a cosine index over `dense`."""
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False, description=space.to_json())
        for name in STORED_FIELDS:
            if name in _INTEGERS:
                schema.add_field(name, DataType.INT64)
            elif name in _FLOATS:
                schema.add_field(name, DataType.FLOAT)
            else:
                max_length = _VARCHAR_BYTES.get(name, MAX_VARCHAR_BYTES)
                schema.add_field(name, DataType.VARCHAR, max_length=max_length, is_primary=name == "id")
        schema.add_field("metadata", DataType.JSON)
        schema.add_field("dense", DataType.FLOAT_VECTOR, dim=space.dimensions)
        index = self._client.prepare_index_params()
        index.add_index("dense", index_type="AUTOINDEX", metric_type="COSINE")
        properties = {_PROPERTY: space.to_json()}
        _call(
            "create_collection",
            lambda: self._client.create_collection(
                self._name, schema=schema, index_params=index, properties=properties, timeout=CALL_TIMEOUT_SECONDS
            ),
        )

    def upsert(self, partition: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes rows with distinct ids into one partition, creating it if needed; repeating a call changes nothing."""
        self._ensure_partition(partition)
        _call(
            "upsert",
            lambda: self._client.upsert(
                self._name, [dict(row) for row in rows], partition_name=partition, timeout=CALL_TIMEOUT_SECONDS
            ),
        )

    def delete(self, partition: str, ids: Sequence[str]) -> None:
        """Deletes rows of one partition by primary key; ids that are not there are no error."""
        if partition in self.partitions():
            _call(
                "delete",
                lambda: self._client.delete(
                    self._name, ids=list(ids), partition_name=partition, timeout=CALL_TIMEOUT_SECONDS
                ),
            )

    def partitions(self) -> list[str]:
        """Names of the partitions, ordered."""
        return sorted(
            _call("list_partitions", lambda: self._client.list_partitions(self._name, timeout=CALL_TIMEOUT_SECONDS))
        )

    def counts(self) -> dict[str, int]:
        """Rows of each partition that has any, counted at strong consistency."""
        found = {partition: self._count(partition) for partition in self.partitions()}
        return {partition: count for partition, count in found.items() if count}

    def search(
        self,
        vector: Sequence[float],
        top: int,
        partitions: Sequence[str] | None,
        fields: Sequence[str],
        languages: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """The `top` nearest rows, best first, each with `id`, `score` (cosine) and the named fields.

        Args:
            vector: the query, of the collection's dimensions.
            top: how many.
            partitions: only these; all if None.
            fields: what is given of each row.
            languages: only rows of documents in these; all if empty.
        """
        hits = _call(
            "search",
            lambda: self._client.search(
                self._name,
                [list(vector)],
                anns_field="dense",
                limit=top,
                filter=f"language in {json.dumps(list(languages))}" if languages else "",
                output_fields=list(fields),
                partition_names=None if partitions is None else list(partitions),
                search_params={"metric_type": "COSINE"},
                timeout=CALL_TIMEOUT_SECONDS,
                consistency_level="Strong",
            ),
        )[0]
        return [{**hit["entity"], "id": hit["id"], "score": float(hit["distance"])} for hit in hits]

    def _count(self, partition: str) -> int:
        # Without a filter Milvus Lite ignores the partition and counts the collection.
        answer = _call(
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
                _call(
                    "create_partition",
                    lambda: self._client.create_partition(self._name, partition, timeout=CALL_TIMEOUT_SECONDS),
                )
            except CorpusEmbedError:
                # Another worker may have created it in between; anything else is the server's own refusal.
                if partition not in self.partitions():
                    raise
        self._partitions.add(partition)


def _token(variable: str | None) -> str:
    if variable is None:
        return ""
    if variable not in os.environ:
        message = f"the environment variable {variable!r} named by --milvus-token-env is not set"
        raise ConfigurationError(message)
    return os.environ[variable]


def _call(name: str, function: Callable[[], Result]) -> Result:
    """Runs one request, retried with full jitter while the failure may pass; then `TransientError`, otherwise at once an error."""
    retrying = Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2, max=20),
        reraise=True,
    )
    try:
        return retrying(function)
    except (MilvusException, grpc.RpcError) as error:
        if _may_pass(error):
            message = f"Milvus {name} failed {_ATTEMPTS} times: {_text(error)}; run again when the server answers"
            raise TransientError(message) from error
        message = f"Milvus refused {name}: {_text(error)}"
        raise CorpusEmbedError(message) from error


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, MilvusException):
        return any(word in str(error.message).lower() for word in _TRANSIENT_WORDS)
    if isinstance(error, grpc.RpcError):
        status = cast("Any", error).code()
        return status in {
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        }
    return False


def _text(error: BaseException) -> str:
    return str(getattr(error, "message", error)).splitlines()[0][:300] if str(error) else type(error).__name__
