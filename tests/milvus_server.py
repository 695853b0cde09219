"""A server that speaks Milvus's protocol, states any version, and remembers every request: for versions that cannot be had here.

It keeps the schema, and ids by partition, so that rows count; it does not search, so what it finds are the first ids it has. Of values it
checks what a real server checks before it takes them: that each vector field has as many bytes as rows and dimensions need.
"""

# ruff: noqa: N802  the methods are named by the protocol

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

_BITS = {
    schema_pb2.DataType.FloatVector: 32,
    schema_pb2.DataType.Float16Vector: 16,
    schema_pb2.DataType.BFloat16Vector: 16,
    schema_pb2.DataType.Int8Vector: 8,
    schema_pb2.DataType.BinaryVector: 1,
}


@dataclass
class MilvusServer(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]  # generated without types
    """One collection."""

    version: str
    requests: list[Any] = field(default_factory=list)
    schema: Any = None
    properties: list[Any] = field(default_factory=list)
    partitions: dict[str, dict[str, None]] = field(default_factory=lambda: {"_default": {}})
    uri: str = ""

    def of(self, kind: str) -> list[Any]:
        """Requests of one kind, such as `Upsert`, in order."""
        return [request for request in self.requests if type(request).__name__ == f"{kind}Request"]

    def Connect(self, request: Any, context: Any) -> Any:
        return milvus_pb2.ConnectResponse(status=_OK, server_info=common_pb2.ServerInfo(build_tags=self.version))

    def GetVersion(self, request: Any, context: Any) -> Any:
        return milvus_pb2.GetVersionResponse(status=_OK, version=self.version)

    def AllocTimestamp(self, request: Any, context: Any) -> Any:
        return milvus_pb2.AllocTimestampResponse(status=_OK, timestamp=1)

    def HasCollection(self, request: Any, context: Any) -> Any:
        return milvus_pb2.BoolResponse(status=_OK, value=self.schema is not None)

    def CreateCollection(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        self.schema = schema_pb2.CollectionSchema.FromString(request.schema)
        self.properties = list(request.properties)
        return _OK

    def DescribeCollection(self, request: Any, context: Any) -> Any:
        if self.schema is None:
            return milvus_pb2.DescribeCollectionResponse(status=common_pb2.Status(code=100, reason="not found"))
        return milvus_pb2.DescribeCollectionResponse(
            status=_OK, schema=self.schema, properties=self.properties, collection_name=self.schema.name
        )

    def CreateIndex(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return _OK

    def DescribeIndex(self, request: Any, context: Any) -> Any:
        name = self.of("CreateIndex")[-1].field_name
        description = milvus_pb2.IndexDescription(
            index_name=name, field_name=name, state=common_pb2.IndexState.Finished
        )
        return milvus_pb2.DescribeIndexResponse(status=_OK, index_descriptions=[description])

    def LoadCollection(self, request: Any, context: Any) -> Any:
        return _OK

    def GetLoadingProgress(self, request: Any, context: Any) -> Any:
        return milvus_pb2.GetLoadingProgressResponse(status=_OK, progress=100)

    def ShowPartitions(self, request: Any, context: Any) -> Any:
        return milvus_pb2.ShowPartitionsResponse(status=_OK, partition_names=list(self.partitions))

    def CreatePartition(self, request: Any, context: Any) -> Any:
        self.partitions.setdefault(request.partition_name, {})
        return _OK

    def Upsert(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        for data in request.fields_data:
            if data.type in _BITS:
                wanted = request.num_rows * self._dimensions(data.field_name) * _BITS[data.type]
                if 8 * len(vector_bytes(data)) != wanted:
                    return milvus_pb2.MutationResult(status=common_pb2.Status(code=1100, reason=data.field_name))
        ids = next(data.scalars.string_data.data for data in request.fields_data if data.field_name == "id")
        self.partitions[request.partition_name or "_default"].update(dict.fromkeys(ids))
        return milvus_pb2.MutationResult(
            status=_OK, upsert_cnt=len(ids), IDs=schema_pb2.IDs(str_id=schema_pb2.StringArray(data=ids))
        )

    def Query(self, request: Any, context: Any) -> Any:
        count = sum(len(self.partitions[name]) for name in request.partition_names)
        data = schema_pb2.FieldData(
            type=schema_pb2.DataType.Int64,
            field_name="count(*)",
            scalars=schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=[count])),
        )
        return milvus_pb2.QueryResults(status=_OK, fields_data=[data], output_fields=["count(*)"])

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
        return milvus_pb2.SearchResults(status=_OK, results=results)

    def _dimensions(self, name: str) -> int:
        found = next(one for one in self.schema.fields if one.name == name)
        return int(next(pair.value for pair in found.type_params if pair.key == "dim"))


_OK = common_pb2.Status(code=0)


def vector_bytes(data: Any) -> bytes:
    """The vectors of a field, as they would lie in memory."""
    kind = data.vectors.WhichOneof("data")
    if kind == "float_vector":
        return np.array(data.vectors.float_vector.data, "<f4").tobytes()
    return bytes(getattr(data.vectors, kind))


@contextmanager
def milvus_server(version: str) -> Iterator[MilvusServer]:
    """A server of this version on 127.0.0.1."""
    servicer = MilvusServer(version)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    servicer.uri = f"http://127.0.0.1:{port}"
    try:
        yield servicer
    finally:
        server.stop(grace=None).wait()
