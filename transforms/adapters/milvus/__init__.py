"""A Milvus collection: connected, created, written by upsert and primary key, counted back, searched.

`servers` says where it is and serves Milvus Lite, `calls` makes one request, retried, `requests` makes rows into upserts, `connections`
keeps one client for a process; `capabilities` is the table of what each version holds, `space` what a collection records about itself,
`schema` its fields, `query` what is asked, `collection` does the rest.
"""

from transforms.adapters.milvus.calls import CALL_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS
from transforms.adapters.milvus.capabilities import check_held, held_by
from transforms.adapters.milvus.collection import Collection, Refused, connect
from transforms.adapters.milvus.connections import Connection, borrow, give_back
from transforms.adapters.milvus.query import Query
from transforms.adapters.milvus.requests import ColumnBatch, RowList
from transforms.adapters.milvus.schema import MAX_TOKEN_VECTORS
from transforms.adapters.milvus.servers import Target, is_lite_path, release, served
from transforms.adapters.milvus.space import CollectionSpace

__all__ = [
    "CALL_TIMEOUT_SECONDS",
    "CONNECT_TIMEOUT_SECONDS",
    "MAX_TOKEN_VECTORS",
    "Collection",
    "CollectionSpace",
    "ColumnBatch",
    "Connection",
    "Query",
    "Refused",
    "RowList",
    "Target",
    "borrow",
    "check_held",
    "connect",
    "give_back",
    "held_by",
    "is_lite_path",
    "release",
    "served",
]
