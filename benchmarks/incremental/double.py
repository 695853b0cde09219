"""A Milvus that only knows which ids it holds, and the part of it that the servers of the tests are made of too."""

# ruff: noqa: N802, ARG002  the methods are named by the protocol, and so are their arguments

from collections.abc import Callable, Iterator, MutableMapping
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

OK = common_pb2.Status(code=0)


class OneCollection(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]  # generated without types
    """What every double of a Milvus has: one collection that is created, described, loaded and parted."""

    def __init__(self, version: str, partitions: MutableMapping[str, Any], no_rows: Callable[[], Any]) -> None:
        """Takes the version that it states, what holds the rows of each partition, and what holds those of a new one."""
        self.version = version
        self.schema: Any = None
        self.properties: list[Any] = []
        self.partitions = partitions
        self._no_rows = no_rows

    def Connect(self, request: Any, context: Any) -> Any:
        return milvus_pb2.ConnectResponse(status=OK, server_info=common_pb2.ServerInfo(build_tags=self.version))

    def GetVersion(self, request: Any, context: Any) -> Any:
        return milvus_pb2.GetVersionResponse(status=OK, version=self.version)

    def AllocTimestamp(self, request: Any, context: Any) -> Any:
        return milvus_pb2.AllocTimestampResponse(status=OK, timestamp=1)

    def HasCollection(self, request: Any, context: Any) -> Any:
        return milvus_pb2.BoolResponse(status=OK, value=self.schema is not None)

    def CreateCollection(self, request: Any, context: Any) -> Any:
        self.schema = schema_pb2.CollectionSchema.FromString(request.schema)
        self.properties = list(request.properties)
        return OK

    def DescribeCollection(self, request: Any, context: Any) -> Any:
        if self.schema is None:
            return milvus_pb2.DescribeCollectionResponse(status=common_pb2.Status(code=100, reason="not found"))
        return milvus_pb2.DescribeCollectionResponse(
            status=OK, schema=self.schema, properties=self.properties, collection_name=self.schema.name
        )

    def CreateIndex(self, request: Any, context: Any) -> Any:
        return OK

    def LoadCollection(self, request: Any, context: Any) -> Any:
        return OK

    def GetLoadingProgress(self, request: Any, context: Any) -> Any:
        return milvus_pb2.GetLoadingProgressResponse(status=OK, progress=100)

    def ShowPartitions(self, request: Any, context: Any) -> Any:
        return milvus_pb2.ShowPartitionsResponse(status=OK, partition_names=list(self.partitions))

    def CreatePartition(self, request: Any, context: Any) -> Any:
        self.partitions.setdefault(request.partition_name, self._no_rows())
        return OK

    def Query(self, request: Any, context: Any) -> Any:
        return count_of(sum(len(self.partitions[name]) for name in request.partition_names))


class CountedMilvus(OneCollection):
    """What a run that deletes nothing asks of Milvus: it keeps the ids of each partition, so that rows count."""

    def __init__(self) -> None:
        super().__init__("2.6.0", {"_default": set()}, set)

    def DescribeIndex(self, request: Any, context: Any) -> Any:
        return index_descriptions("dense")

    def Upsert(self, request: Any, context: Any) -> Any:
        ids = next(field.scalars.string_data.data for field in request.fields_data if field.field_name == "id")
        self.partitions[request.partition_name or "_default"].update(map(bytes.fromhex, ids))
        return milvus_pb2.MutationResult(
            status=OK, upsert_cnt=len(ids), IDs=schema_pb2.IDs(str_id=schema_pb2.StringArray(data=ids))
        )


def index_descriptions(*fields: str) -> Any:
    """The answer that the indexes of some fields are built."""
    described = [
        milvus_pb2.IndexDescription(index_name=name, field_name=name, state=common_pb2.IndexState.Finished)
        for name in fields
    ]
    return milvus_pb2.DescribeIndexResponse(status=OK, index_descriptions=described)


def count_of(rows: int) -> Any:
    """The answer to a query for `count(*)`."""
    column = schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=[rows]))
    field = schema_pb2.FieldData(type=schema_pb2.DataType.Int64, field_name="count(*)", scalars=column)
    return milvus_pb2.QueryResults(status=OK, fields_data=[field], output_fields=["count(*)"])


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
