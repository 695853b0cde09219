"""The fields of a collection and their indexes, by what it holds."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pymilvus import DataType, MilvusClient

from transforms.adapters.milvus.indexes import Index, read_index
from transforms.adapters.milvus.space import CollectionSpace
from transforms.logic.filters import FLOAT_FIELDS, INTEGER_FIELDS
from transforms.logic.records import MAX_DOCUMENT_ID_BYTES
from transforms.logic.rows import LABEL_FIELDS, STORED_FIELDS
from transforms.logic.zero_shot import MAX_NAME_BYTES

MAX_VARCHAR_BYTES = 65_535
MAX_TOKEN_VECTORS = 4096
"""The most elements that Milvus admits in an array field."""
VECTORS_OF_TOKENS = "multi[vector]"
"""The vectors of tokens, as a search names them."""
_VARCHAR_BYTES = {
    "id": 32,
    "document_id": MAX_DOCUMENT_ID_BYTES,
    "language": 16,
    "chunk_language": 16,
    "script": 8,
    "date": 256,
    "label": MAX_NAME_BYTES,
}
_GRAPH: Mapping[str, Any] = MappingProxyType({"index_type": "HNSW", "params": {"M": 16, "efConstruction": 200}})
_DENSE: Mapping[str, DataType] = MappingProxyType(
    {
        "float32": DataType.FLOAT_VECTOR,
        "float16": DataType.FLOAT16_VECTOR,
        "bfloat16": DataType.BFLOAT16_VECTOR,
        "int8": DataType.INT8_VECTOR,
        "binary": DataType.BINARY_VECTOR,
    }
)
_FORMER_INDEXES = {"int8": "HNSW M=16 efConstruction=200", "binary": "BIN_FLAT"}
"""Of collections that do not record theirs; all others had AUTOINDEX."""
_SPARSE: Mapping[str, Any] = MappingProxyType({"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "IP"})
_MULTI: Mapping[str, Any] = MappingProxyType({**_GRAPH, "metric_type": "MAX_SIM_COSINE"})


def schema_of(space: CollectionSpace) -> Any:
    """The fields: those that the dataset has, metadata, labels where chunks have them, and a vector field for each output."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False, description=space.to_json())
    for name in (*STORED_FIELDS, *(LABEL_FIELDS if space.labels else ())):
        if name in INTEGER_FIELDS:
            schema.add_field(name, DataType.INT64)
        elif name in FLOAT_FIELDS:
            schema.add_field(name, DataType.FLOAT)
        else:
            max_length = _VARCHAR_BYTES.get(name, MAX_VARCHAR_BYTES)
            schema.add_field(name, DataType.VARCHAR, max_length=max_length, is_primary=name == "id")
    schema.add_field("metadata", DataType.JSON)
    if "dense" in space.milvus_outputs:
        schema.add_field("dense", _DENSE[str(space.vector_type)], dim=space.dimensions)
    if "sparse" in space.milvus_outputs:
        schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    if "multi" in space.milvus_outputs:
        token = MilvusClient.create_struct_field_schema()
        token.add_field("vector", DataType.FLOAT_VECTOR, dim=space.multi_dimensions)
        schema.add_field(
            "multi",
            DataType.ARRAY,
            element_type=DataType.STRUCT,
            struct_schema=token,
            max_capacity=MAX_TOKEN_VECTORS,
        )
    return schema


def index_of(space: CollectionSpace) -> Index | None:
    """The index of the dense vectors; None where the collection holds none."""
    if space.vector_type is None:
        return None
    return read_index(space.index or _FORMER_INDEXES.get(space.vector_type, "AUTOINDEX"))


def indexes_of(space: CollectionSpace) -> dict[str, Mapping[str, Any]]:
    """The index of each vector field, as arguments of `add_index`."""
    dense = index_of(space)
    metric = "HAMMING" if space.vector_type == "binary" else "COSINE"
    of_outputs: dict[str, tuple[str, Mapping[str, Any]]] = {
        "dense": ("dense", {} if dense is None else {**dense.settings, "metric_type": metric}),
        "sparse": ("sparse", _SPARSE),
        "multi": (VECTORS_OF_TOKENS, _MULTI),
    }
    return dict(of_outputs[output] for output in space.milvus_outputs)
