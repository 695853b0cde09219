"""A Milvus collection: connected, created, written by upsert and primary key, counted back, searched.

`servers` says where it is and serves Milvus Lite, `calls` makes one request, retried; `capabilities` is the table of what each version
holds, `space` what a collection records about itself, `schema` its fields, `query` what is asked, `collection` does the rest.
"""

from transforms.adapters.milvus.calls import CALL_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS
from transforms.adapters.milvus.capabilities import check_held, held_by
from transforms.adapters.milvus.collection import Collection, connect
from transforms.adapters.milvus.query import Query
from transforms.adapters.milvus.schema import MAX_TOKEN_VECTORS
from transforms.adapters.milvus.servers import Target, is_lite_path, release, served
from transforms.adapters.milvus.space import CollectionSpace

__all__ = [
    "CALL_TIMEOUT_SECONDS",
    "CONNECT_TIMEOUT_SECONDS",
    "MAX_TOKEN_VECTORS",
    "Collection",
    "CollectionSpace",
    "Query",
    "Target",
    "check_held",
    "connect",
    "held_by",
    "is_lite_path",
    "release",
    "served",
]
