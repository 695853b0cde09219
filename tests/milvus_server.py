"""A server that speaks Milvus's protocol, states any version, and remembers every request: for versions that cannot be had here.

It keeps the schema, and ids by partition, so that rows count; it does not search, so what it finds are the first ids it has. Of values it
checks what a real server checks before it takes them: that each vector field has as many bytes as rows and dimensions need.

It fails when it is told to (`fail`): as a server that says no, as a connection that is lost before or after the work, or by doing half.
"""

# ruff: noqa: N802  the methods are named by the protocol

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias, TypeVar

import grpc
import numpy as np
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

from benchmarks.incremental.double import OK, OneCollection, count_of, index_descriptions

_BITS = {
    schema_pb2.DataType.FloatVector: 32,
    schema_pb2.DataType.Float16Vector: 16,
    schema_pb2.DataType.BFloat16Vector: 16,
    schema_pb2.DataType.Int8Vector: 8,
    schema_pb2.DataType.BinaryVector: 1,
}


class Odd(Enum):
    """Faults of a server that does something and says something else."""

    LOST_REPLY = "it does all, and the connection is gone before it can say so"
    HALF = "it does half, and says how much where the protocol has a word for it"


Fault: TypeAlias = Any
"""A `grpc.StatusCode`, a `common_pb2.Status` or an `Odd`."""


@dataclass
class MilvusServer(OneCollection):
    """One collection."""

    version: str
    requests: list[Any] = field(default_factory=list)
    partitions: dict[str, dict[str, None]] = field(default_factory=lambda: {"_default": {}})
    uri: str = ""
    aliases: dict[str, str] = field(default_factory=dict)
    accepts: Callable[[str], bool] = lambda _: True
    """Whether a row with this id is taken; if one of a request is not, none is."""
    _faults: dict[str, deque[Fault]] = field(default_factory=dict)
    _calls: Counter[str] = field(default_factory=Counter)
    _halving: bool = False

    def fail(self, method: str, fault: Fault, times: int = 1) -> None:
        """Lets the next calls of a method, such as `Upsert`, go wrong: lost by a status of gRPC, refused by one of Milvus, or odd."""
        self._faults.setdefault(method, deque()).extend([fault] * times)

    def calls(self, method: str) -> int:
        """How often a method was called."""
        return self._calls[method]

    def of(self, kind: str) -> list[Any]:
        """Requests of one kind, such as `Upsert`, in order."""
        return [request for request in self.requests if type(request).__name__ == f"{kind}Request"]

    def __post_init__(self) -> None:
        super().__init__(self.version, self.partitions, dict)

    def CreateCollection(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return super().CreateCollection(request, context)

    def CreateIndex(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return super().CreateIndex(request, context)

    def DescribeIndex(self, request: Any, context: Any) -> Any:
        return index_descriptions(self.of("CreateIndex")[-1].field_name)

    def Upsert(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        for data in request.fields_data:
            if data.type in _BITS:
                wanted = request.num_rows * self._dimensions(data.field_name) * _BITS[data.type]
                if 8 * len(vector_bytes(data)) != wanted:
                    return milvus_pb2.MutationResult(status=common_pb2.Status(code=1100, reason=data.field_name))
        given = next(data.scalars.string_data.data for data in request.fields_data if data.field_name == "id")
        if not all(self.accepts(one) for one in given):
            return milvus_pb2.MutationResult(status=common_pb2.Status(code=1100, reason="invalid parameter"))
        ids = self._half(list(given))
        self.partitions[request.partition_name or "_default"].update(dict.fromkeys(ids))
        return milvus_pb2.MutationResult(
            status=OK, upsert_cnt=len(ids), IDs=schema_pb2.IDs(str_id=schema_pb2.StringArray(data=ids))
        )

    def Delete(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        ids = self._half(re.findall(r"'([0-9a-f]{32})'", request.expr))
        held = self.partitions[request.partition_name or "_default"]
        for one in ids:
            held.pop(one, None)
        return milvus_pb2.MutationResult(status=OK, delete_cnt=len(ids))

    def Query(self, request: Any, context: Any) -> Any:
        return count_of(len(self._half([one for name in request.partition_names for one in self.partitions[name]])))

    def GetLoadState(self, request: Any, context: Any) -> Any:
        is_loaded = self.calls("LoadCollection") > 0
        state = common_pb2.LoadStateLoaded if is_loaded else common_pb2.LoadStateNotLoad
        return milvus_pb2.GetLoadStateResponse(status=OK, state=state)

    def CreateAlias(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        if request.alias in self.aliases:
            return common_pb2.Status(code=1602, reason=f"alias already exist[alias={request.alias}]")
        self.aliases[request.alias] = request.collection_name
        return OK

    def AlterAlias(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        if request.alias not in self.aliases:
            return common_pb2.Status(code=1600, reason=f"alias not found[alias={request.alias}]")
        self.aliases[request.alias] = request.collection_name
        return OK

    def DropAlias(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        self.aliases.pop(request.alias, None)
        return OK

    def DescribeAlias(self, request: Any, context: Any) -> Any:
        if request.alias not in self.aliases:
            status = common_pb2.Status(code=1600, reason=f"alias not found[alias={request.alias}]")
            return milvus_pb2.DescribeAliasResponse(status=status)
        return milvus_pb2.DescribeAliasResponse(status=OK, alias=request.alias, collection=self.aliases[request.alias])

    def Search(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self._found()

    def HybridSearch(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self._found()

    def _found(self) -> Any:
        ids = [one for of_partition in self.partitions.values() for one in of_partition][:2]
        results = schema_pb2.SearchResultData(
            num_queries=1,
            top_k=len(ids),
            topks=[len(ids)],
            ids=schema_pb2.IDs(str_id=schema_pb2.StringArray(data=ids)),
            scores=[float(len(ids) - rank) for rank in range(len(ids))],
        )
        return milvus_pb2.SearchResults(status=OK, results=results)

    def answer(self, method: str, request: Any, context: Any) -> Any:
        """What the protocol's method gives, or what goes wrong instead."""
        self._calls[method] += 1
        waiting = self._faults.get(method)
        fault = waiting.popleft() if waiting else None
        if isinstance(fault, grpc.StatusCode):
            context.abort(fault, f"{fault.name} as told")
        if isinstance(fault, common_pb2.Status):
            name = _METHODS[method].output_type.name
            kind = getattr(common_pb2 if name == "Status" else milvus_pb2, name)
            return fault if kind is common_pb2.Status else kind(status=fault)
        self._halving = fault is Odd.HALF
        try:
            done = getattr(self, method)(request, context)
        finally:
            self._halving = False
        if fault is Odd.LOST_REPLY:
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset by peer")
        return done

    def _half(self, some: list[Any]) -> list[Any]:
        return some[: len(some) // 2] if self._halving else some

    def _dimensions(self, name: str) -> int:
        found = next(one for one in self.schema.fields if one.name == name)
        return int(next(pair.value for pair in found.type_params if pair.key == "dim"))


AnyServer = TypeVar("AnyServer", bound=MilvusServer)


class _Answering(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    def __init__(self, server: MilvusServer) -> None:
        self._server = server

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        method = details.method.rsplit("/", 1)[-1]
        handler = continuation(details)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._server.answer(method, request, context),
            handler.request_deserializer,
            handler.response_serializer,
        )


_METHODS = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"].methods_by_name


def vector_bytes(data: Any) -> bytes:
    """The vectors of a field, as they would lie in memory."""
    kind = data.vectors.WhichOneof("data")
    if kind == "float_vector":
        return np.array(data.vectors.float_vector.data, "<f4").tobytes()
    return bytes(getattr(data.vectors, kind))


@contextmanager
def milvus_server(version: str, max_request_bytes: int = 64 << 20) -> Iterator[MilvusServer]:
    """A server of this version on 127.0.0.1."""
    with serving(MilvusServer(version), max_request_bytes) as started:
        yield started


@contextmanager
def serving(servicer: AnyServer, max_request_bytes: int = 64 << 20) -> Iterator[AnyServer]:
    """A server's answers on 127.0.0.1, from its start to its end."""
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=2),
        interceptors=[_Answering(servicer)],
        options=[("grpc.max_receive_message_length", max_request_bytes)],
    )
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    servicer.uri = f"http://127.0.0.1:{port}"
    try:
        yield servicer
    finally:
        server.stop(grace=None).wait()
