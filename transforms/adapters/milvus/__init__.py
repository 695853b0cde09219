"""A Milvus collection: connected, created, written by upsert and primary key, counted back, searched.

`servers` says where it is and serves Milvus Lite, `certificates` reads token and certificates, `calls` makes one request, repeated,
`requests` makes rows into upserts, `connections` keeps one client for a process; `capabilities` is the table of what each version can do,
`space` what a collection records about itself, `schema` its fields, `indexes` by what they are found, `query` what is asked, `searching`
how that is answered, `collection` does the rest.
"""

from transforms.adapters.milvus.calls import BRIEF, CALL_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS, PATIENT, Patience
from transforms.adapters.milvus.capabilities import Capabilities, capabilities_of, capability_table, check_held, held_by
from transforms.adapters.milvus.collection import Collection, Refused, connect
from transforms.adapters.milvus.connections import Connection, borrow, give_back
from transforms.adapters.milvus.indexes import Index, choose_index, read_index
from transforms.adapters.milvus.query import Query
from transforms.adapters.milvus.requests import ColumnBatch, RowList
from transforms.adapters.milvus.schema import MAX_TOKEN_VECTORS, index_of
from transforms.adapters.milvus.searching import MAX_TOP
from transforms.adapters.milvus.servers import Target, is_lite_path, release, served
from transforms.adapters.milvus.space import CollectionSpace

__all__ = [
    "BRIEF",
    "CALL_TIMEOUT_SECONDS",
    "CONNECT_TIMEOUT_SECONDS",
    "MAX_TOKEN_VECTORS",
    "MAX_TOP",
    "PATIENT",
    "Capabilities",
    "Collection",
    "CollectionSpace",
    "ColumnBatch",
    "Connection",
    "Index",
    "Patience",
    "Query",
    "Refused",
    "RowList",
    "Target",
    "borrow",
    "capabilities_of",
    "capability_table",
    "check_held",
    "choose_index",
    "connect",
    "give_back",
    "held_by",
    "index_of",
    "is_lite_path",
    "read_index",
    "release",
    "served",
]
