"""A Milvus that only knows which ids it holds."""

# ruff: noqa: N802, ARG002  the methods are named by the protocol, and so are their arguments

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2


class CountedMilvus(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]  # generated without types
    """What a run that deletes nothing asks of Milvus: one collection, that keeps the ids of each partition, so that rows count."""

    def __init__(self) -> None:
        self.partitions: dict[str, set[bytes]] = {"_default": set()}
        self._schema: Any = None
        self._properties: list[Any] = []

    def Connect(self, request: Any, context: Any) -> Any:
        return milvus_pb2.ConnectResponse(status=_OK, server_info=common_pb2.ServerInfo(build_tags="2.6.0"))

    def GetVersion(self, request: Any, context: Any) -> Any:
        return milvus_pb2.GetVersionResponse(status=_OK, version="2.6.0")

    def AllocTimestamp(self, request: Any, context: Any) -> Any:
        return milvus_pb2.AllocTimestampResponse(status=_OK, timestamp=1)

    def HasCollection(self, request: Any, context: Any) -> Any:
        return milvus_pb2.BoolResponse(status=_OK, value=self._schema is not None)

    def CreateCollection(self, request: Any, context: Any) -> Any:
        self._schema = schema_pb2.CollectionSchema.FromString(request.schema)
        self._properties = list(request.properties)
        return _OK

    def DescribeCollection(self, request: Any, context: Any) -> Any:
        if self._schema is None:
            return milvus_pb2.DescribeCollectionResponse(status=common_pb2.Status(code=100, reason="not found"))
        return milvus_pb2.DescribeCollectionResponse(
            status=_OK, schema=self._schema, properties=self._properties, collection_name=self._schema.name
        )

    def CreateIndex(self, request: Any, context: Any) -> Any:
        return _OK

    def DescribeIndex(self, request: Any, context: Any) -> Any:
        dense = milvus_pb2.IndexDescription(
            index_name="dense", field_name="dense", state=common_pb2.IndexState.Finished
        )
        return milvus_pb2.DescribeIndexResponse(status=_OK, index_descriptions=[dense])

    def LoadCollection(self, request: Any, context: Any) -> Any:
        return _OK

    def GetLoadingProgress(self, request: Any, context: Any) -> Any:
        return milvus_pb2.GetLoadingProgressResponse(status=_OK, progress=100)

    def ShowPartitions(self, request: Any, context: Any) -> Any:
        return milvus_pb2.ShowPartitionsResponse(status=_OK, partition_names=list(self.partitions))

    def CreatePartition(self, request: Any, context: Any) -> Any:
        self.partitions.setdefault(request.partition_name, set())
        return _OK

    def Upsert(self, request: Any, context: Any) -> Any:
        ids = next(field.scalars.string_data.data for field in request.fields_data if field.field_name == "id")
        self.partitions[request.partition_name or "_default"].update(map(bytes.fromhex, ids))
        return milvus_pb2.MutationResult(
            status=_OK, upsert_cnt=len(ids), IDs=schema_pb2.IDs(str_id=schema_pb2.StringArray(data=ids))
        )

    def Query(self, request: Any, context: Any) -> Any:
        count = sum(len(self.partitions[name]) for name in request.partition_names)
        column = schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=[count]))
        field = schema_pb2.FieldData(type=schema_pb2.DataType.Int64, field_name="count(*)", scalars=column)
        return milvus_pb2.QueryResults(status=_OK, fields_data=[field], output_fields=["count(*)"])


_OK = common_pb2.Status(code=0)


@contextmanager
def counted_milvus() -> Iterator[str]:
    """The address of such a server, on 127.0.0.1."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(CountedMilvus(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()
