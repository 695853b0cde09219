"""Rows of the dataset as other stores take them.

- plain: the rows as they are, vectors in 32 bits;
- Pinecone: the columns that its import from object storage reads (https://docs.pinecone.io/guides/index-data/import-data): `id`, `values`,
  `metadata` as a flat JSON object in text, and `sparse_values` where the dataset has weights of tokens;
- Weaviate: a JSON object a line with `id`, `vector` and `properties` (https://docs.weaviate.io/weaviate/api/rest#tag/objects).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import regex

from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.outputs import Output
from transforms.logic.rows import STORED_FIELDS
from transforms.logic.schemas import VECTOR_COLUMNS
from transforms.logic.vector_columns import whole_column

MAX_PINECONE_METADATA_BYTES = 40 << 10
"""https://docs.pinecone.io/reference/api/database-limits"""
_FLOATS = pa.list_(pa.float32())
_PLAIN_TYPES: Mapping[Output, pa.DataType] = {
    "dense": _FLOATS,
    "sparse": pa.struct([pa.field("indices", pa.list_(pa.int32())), pa.field("values", _FLOATS)]),
    "multi": pa.list_(_FLOATS),
}
_PROPERTIES = tuple(name for name in STORED_FIELDS if name != "id")
# Names of properties become names of GraphQL; `id` and `vector` are Weaviate's own, names with a dollar Pinecone's operators.
_NAME = regex.compile(r"[A-Za-z_][A-Za-z0-9_]{0,229}")
_TAKEN = frozenset({*_PROPERTIES, "chunk_id", "id", "_id", "vector", "vectors", "metadata", "partition"})
_VERSION_8 = 0x8
_VARIANT = 0b10


def check_finite(rows: pa.Table) -> None:
    """Raises `CorruptDataError`, naming the first chunk, if a number of a vector is not finite."""
    for column in (VECTOR_COLUMNS[name] for name in _PLAIN_TYPES if VECTOR_COLUMNS[name] in rows.column_names):
        for batch in rows.select(["id", column]).to_batches():
            numbers = _numbers(batch.column(1))
            if np.isfinite(numbers).all():
                continue
            for index in range(batch.num_rows):
                if not np.isfinite(_numbers(batch.column(1).slice(index, 1))).all():
                    identity = batch.column(0)[index].as_py()
                    raise CorruptDataError(
                        f"chunk {identity} has a number in {column!r} that is not finite; nothing more is exported"
                    )


def _numbers(column: pa.Array) -> np.ndarray:
    """All numbers of a column of vectors, float32."""
    while not pa.types.is_floating(column.type):
        column = column.flatten()[1] if pa.types.is_struct(column.type) else column.flatten()
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float32)


def plain_rows(rows: pa.Table) -> pa.Table:
    """The rows with vectors in 32 bits, which every reader of Parquet knows."""
    fields, columns = [], []
    kinds = {VECTOR_COLUMNS[name]: kind for name, kind in _PLAIN_TYPES.items()}
    for field in rows.schema:
        kind = kinds.get(field.name, field.type)
        fields.append(pa.field(field.name, kind, field.nullable))
        columns.append(rows.column(field.name).cast(kind))
    return pa.table(columns, schema=pa.schema(fields))


def pinecone_rows(rows: pa.Table) -> pa.Table:
    """Columns `id`, `values`, `metadata` and, where the dataset has them, `sparse_values`; a row without weights has null there.

    Raises:
        ConfigurationError: the dataset has neither dense vectors nor weights, or a row's metadata is larger than Pinecone takes.
    """
    made = set(rows.column_names)
    columns = {"id": rows.column("id")}
    if VECTOR_COLUMNS["dense"] in made:
        columns["values"] = rows.column(VECTOR_COLUMNS["dense"]).cast(_FLOATS)
    if VECTOR_COLUMNS["sparse"] in made:
        weights = rows.column(VECTOR_COLUMNS["sparse"]).cast(_PLAIN_TYPES["sparse"]).to_pylist()
        values = [one if one["indices"] else None for one in weights]
        columns["sparse_values"] = pa.array(values, _PLAIN_TYPES["sparse"])
    if len(columns) == 1:
        raise ConfigurationError("Pinecone takes dense vectors or weights of tokens, and the dataset has neither")
    texts = [json.dumps(one, ensure_ascii=False) for one in _properties(rows)]
    for identity, text in zip(rows.column("id").to_pylist(), texts, strict=True):
        size_bytes = len(text.encode())
        if size_bytes > MAX_PINECONE_METADATA_BYTES:
            raise ConfigurationError(
                f"the metadata of chunk {identity} has {size_bytes:,} bytes, Pinecone takes {MAX_PINECONE_METADATA_BYTES:,}; "
                "run with fewer --metadata-columns, or export as parquet"
            )
    columns["metadata"] = pa.array(texts, pa.string())
    return pa.table(columns)


def weaviate_lines(rows: pa.Table) -> bytes:
    """A JSON object a line.

    Raises:
        ConfigurationError: the dataset has no dense vectors.
    """
    if VECTOR_COLUMNS["dense"] not in rows.column_names:
        raise ConfigurationError("Weaviate's objects have dense vectors, and the dataset has none")
    vectors = rows.column(VECTOR_COLUMNS["dense"]).cast(_FLOATS).to_pylist()
    lines = []
    for identity, vector, properties in zip(rows.column("id").to_pylist(), vectors, _properties(rows), strict=True):
        values = {"id": as_uuid(identity), "vector": vector, "properties": {"chunk_id": identity, **properties}}
        lines.append(json.dumps(values, ensure_ascii=False).encode() + b"\n")
    return b"".join(lines)


def as_uuid(chunk_id: str) -> str:
    """The chunk id, 32 hexadecimal characters, as a UUID of version 8 (RFC 9562, 5.8): 122 of its 128 bits, always the same ones."""
    number = int(chunk_id, 16)
    number = number & ~(0xF << 76) | _VERSION_8 << 76
    number = number & ~(0b11 << 62) | _VARIANT << 62
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _properties(rows: pa.Table) -> Iterable[dict[str, Any]]:
    """The stored fields of each row, and of its metadata what a flat store takes; the rest of it as JSON text under `metadata`.

    Taken are texts, numbers, booleans and lists of texts whose name is an identifier and free.
    """
    columns = [whole_column(rows.column(name)).to_pylist() for name in _PROPERTIES]
    metadata = rows.column("metadata").to_pylist()
    for values, text in zip(zip(*columns, strict=True), metadata, strict=True):
        properties = dict(zip(_PROPERTIES, values, strict=True))
        rest = {}
        for name, value in json.loads(text).items():
            if _is_flat(value) and name not in _TAKEN and _NAME.fullmatch(name):
                properties[name] = value
            elif value is not None:
                rest[name] = value
        if rest:
            properties["metadata"] = json.dumps(rest, ensure_ascii=False, sort_keys=True)
        yield properties


def _is_flat(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str | int | float)
