"""Arrow schemas of everything that flows between verbs, and the closed list of reject reasons.

Elements are record batches of these schemas, at most `MAX_BATCH_ROWS` rows and about `MAX_BATCH_BYTES` bytes. Keys are raw
128-bit digests (`identity.py`); only the primary key of Milvus is hexadecimal text.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import pyarrow as pa

from transforms.logic.outputs import OUTPUTS, Output

MAX_BATCH_ROWS = 512
MAX_BATCH_BYTES = 8 << 20
KEY = pa.binary(16)
SPARSE = pa.struct([pa.field("indices", pa.list_(pa.int32())), pa.field("values", pa.list_(pa.float16()))])
"""Vocabulary ids, ascending, and their weights."""
VECTOR_COLUMNS: Mapping[Output, str] = {"dense": "vector", "sparse": "sparse", "multi": "multi"}
"""The column of each output, here and in the dataset."""

RECORDS = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("declared_language", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("date", pa.string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
    ]
)
"""Documents as read: `text` is scrubbed NFC, `position` a byte offset or row number within `source`, `metadata` JSON."""

RECOGNISED = pa.schema([*RECORDS, pa.field("document_key", KEY)])
"""Documents that the ledger does not know as they are, with the key by which the next run may know them."""

KEPT = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("document_key", KEY, nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
    ]
)
"""Documents that the ledger knows as they are: their rows stay."""

NOTICES = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("known", pa.uint32(), nullable=False),
        pa.field("check", pa.uint64(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("gaps", pa.binary(), nullable=False),
        pa.field("ranks", pa.binary(), nullable=False),
    ]
)
"""`KEPT` documents of one source and one bucket, a row for many, as they cross a shuffle: see `notices`."""

DOCUMENTS = pa.schema(
    [
        *(field for field in RECOGNISED if field.name != "declared_language"),
        pa.field("language", pa.string(), nullable=False),
        pa.field("script", pa.string(), nullable=False),
        pa.field("language_score", pa.float32(), nullable=False),
        pa.field("mixed", pa.bool_(), nullable=False),
        pa.field("partition", pa.string(), nullable=False),
    ]
)
"""Documents with their language (BCP-47 primary subtag or `und`), ISO 15924 script and Milvus partition; `mixed` if another language
holds a good share of them."""

CHUNKS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("script", pa.string(), nullable=False),
        pa.field("language_score", pa.float32(), nullable=False),
        pa.field("chunk_language", pa.string(), nullable=False),
        pa.field("chunk_language_score", pa.float32(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
        pa.field("unknown_fraction", pa.float32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("date", pa.string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
        pa.field("partition", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("document_key", KEY),
        pa.field("content_key", KEY, nullable=False),
        pa.field("row_key", KEY, nullable=False),
        pa.field("token_ids", pa.list_(pa.int32()), nullable=False),
    ]
)
"""Chunks on their way to the encoder. `language` is the document's, `chunk_language` the chunk's own; `unknown_fraction` is the share of
`<unk>` among the tokens. `token_ids` are those of the chunk text alone: no prompt, no special tokens."""

REUSED = pa.schema(
    [
        *CHUNKS,
        pa.field("vector", pa.list_(pa.float16())),
        pa.field("sparse", SPARSE),
        pa.field("multi", pa.list_(pa.list_(pa.float16()))),
        pa.field("shard", pa.string()),
        pa.field("row", pa.int32()),
        pa.field("origin", pa.string(), nullable=False),
    ]
)
"""Chunks after the dataset was asked: a row already stored has `shard` and `row`, a known content has its vectors, else all are null.

`vector` is the dense vector, `multi` one vector a token; what the run does not make is null in every row.
"""

POINTERS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("document_key", KEY),
        pa.field("source", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("partition", pa.string(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
        pa.field("row_key", KEY, nullable=False),
        pa.field("shard", pa.string()),
        pa.field("row", pa.int32()),
        pa.field("origin", pa.string(), nullable=False),
    ]
)
"""Where each chunk row lies in the dataset; `shard` is null for a chunk that was rejected on the way."""

LEDGER = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("partition", pa.string(), nullable=False),
        pa.field("row_key", KEY, nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("document_key", KEY),
    ]
)
"""One held row of a collection, and where its full-precision vector lies.

`document_key` is null for a document that is to go through the pipeline again: one of its chunks was rejected.
"""

INTENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("partition", pa.string(), nullable=False),
    ]
)
"""Rows a run is about to write or delete: what Milvus may hold of them is uncertain until the run is committed."""

REJECTS = pa.schema(
    [
        pa.field("level", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("locator", pa.string(), nullable=False),
        pa.field("document_id", pa.string()),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("hash", pa.string(), nullable=False),
        pa.field("length_bytes", pa.int64(), nullable=False),
        pa.field("text", pa.string()),
    ]
)
"""What could not be processed; `level` is file, record or chunk, `hash` and `length_bytes` describe its bytes.

`text` is how it begins, as text, and null in what is kept unless that was asked for.
"""


class Origin(StrEnum):
    """Where the vector of a chunk row came from in this run."""

    ENCODED = "encoded"
    REUSED = "reused"
    STORED = "stored"
    REJECTED = "rejected"


class Reason(StrEnum):
    """Why something became a reject. The list is closed: reports, limits and replays rely on it."""

    UNREADABLE_FILE = "unreadable_file"
    MISSING_COLUMN = "missing_column"
    MALFORMED_RECORD = "malformed_record"
    BAD_ENCODING = "bad_encoding"
    MISSING_ID = "missing_id"
    WRONG_TYPE = "wrong_type"
    EMPTY_TEXT = "empty_text"
    TOO_LARGE = "too_large"
    UNKNOWN_FORMAT = "unknown_format"
    CHANGED_FILE = "changed_file"
    DECOMPRESSION_BOMB = "decompression_bomb"
    UNKNOWN_TOKENS = "unknown_tokens"
    DUPLICATE_ID = "duplicate_id"
    BAD_VECTOR = "bad_vector"
    REFUSED_ROW = "refused_row"


def row_schema(dimensions: int, outputs: Collection[Output] = OUTPUTS[:1]) -> pa.Schema:
    """Schema of a dataset shard: a chunk row with its full-precision vectors, each of `dimensions` numbers where it is dense."""
    kept = [field for field in CHUNKS if field.name not in {"token_ids", "position", "document_key"}]
    types = {
        "dense": pa.list_(pa.float16(), dimensions),
        "sparse": SPARSE,
        "multi": pa.list_(pa.list_(pa.float16())),
    }
    made = [pa.field(VECTOR_COLUMNS[name], types[name], nullable=False) for name in OUTPUTS if name in outputs]
    return pa.schema([*kept, *made])


def batch_of(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Builds one batch from row mappings; a missing key of a required field raises `KeyError`."""
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def with_columns(batch: pa.RecordBatch, schema: pa.Schema, **columns: pa.Array) -> pa.RecordBatch:
    """A batch of `schema` that takes each column from `columns`, else from `batch`; one that neither has is null."""
    given = set(batch.schema.names)
    found = [
        columns[field.name]
        if field.name in columns
        else batch.column(field.name)
        if field.name in given
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(found, schema=schema)


def slices(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Cuts a table into batches within the row and byte limits, in order; an empty table gives none."""
    rows = table.num_rows
    if not rows:
        return
    step = max(1, min(MAX_BATCH_ROWS, rows * MAX_BATCH_BYTES // max(1, table.nbytes)))
    for start in range(0, rows, step):
        yield from table.slice(start, step).combine_chunks().to_batches()


def concatenate(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """One table of all batches; without any, an empty table of `schema`."""
    return pa.Table.from_batches(batches, schema=schema)
