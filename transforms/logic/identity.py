"""Names that come from content and configuration, never from uuid, clock, `hash()` or arrival order.

All digests are BLAKE2b (RFC 7693) of 128 bits over length-prefixed fields, so that ("ab", "c") and ("a", "bc") differ. With 10^9
rows the chance of any collision is about 1.5e-21 (birthday bound n^2 / 2^129).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

_PREFIX_BITS = 32
PREFIXES = 1 << _PREFIX_BITS
"""How many prefixes of keys there are."""


def digest(*fields: str | bytes | int) -> bytes:
    """128-bit digest, 16 bytes, of the fields in order. Text must hold no lone surrogates (`UnicodeEncodeError`)."""
    parts: list[bytes] = []
    for field in fields:
        raw = field if isinstance(field, bytes) else str(field).encode()
        parts += (len(raw).to_bytes(8, "little"), raw)
    return hashlib.blake2b(b"".join(parts), digest_size=16).digest()


def chunk_id(document_id: str, ordinal: int, partition: str) -> str:
    """The Milvus primary key, 32 hexadecimal characters. The partition is part of it: an upsert never crosses partitions."""
    return digest("chunk", document_id, ordinal, partition).hex()


def content_key(space: str, text: str) -> bytes:
    """Names a vector: the embedding space and the exact chunk text."""
    return digest("content", space, text)


def row_key(content: bytes, *fields: str | int) -> bytes:
    """Names a chunk row: its vector and every stored field. Equal keys mean that nothing has to be written."""
    return digest("row", content, *fields)


def document_key(recipe: str, text: str, *fields: str | None) -> bytes:
    """Names a document as it was read, and how it becomes rows: equal keys mean equal rows."""
    return digest("document", recipe, text, repr(fields))


def fingerprint(description: Mapping[str, Any]) -> str:
    """32 hexadecimal characters over a JSON description, independent of key order."""
    return digest("fingerprint", json.dumps(description, sort_keys=True, ensure_ascii=False)).hex()


def key_prefixes(keys: pa.Array) -> np.ndarray:
    """The first 32 bits of each 128-bit key, shape (n,), uint32: the number by which keys are put into buckets."""
    combined = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    raw = np.frombuffer(combined.buffers()[1], np.uint8, len(combined) * 16, combined.offset * 16)
    return np.ascontiguousarray(raw.reshape(-1, 16)[:, :4]).view(">u4").ravel().astype(np.uint32)


def buckets_of(prefixes: np.ndarray, bucket_count: int) -> np.ndarray:
    """Bucket of each prefix, shape (n,), int64 in [0, bucket_count): equal, ordered ranges of the key space."""
    return ((prefixes.astype(np.uint64) * np.uint64(bucket_count)) >> np.uint64(_PREFIX_BITS)).astype(np.int64)


def bucket_of_prefix(prefix: int, bucket_count: int) -> int:
    """The bucket of one prefix, as `buckets_of`."""
    return prefix * bucket_count >> _PREFIX_BITS


def text_prefixes(texts: Sequence[str]) -> np.ndarray:
    """Prefixes, shape (n,), uint32, of the digests of texts such as document ids."""
    return np.array([int.from_bytes(digest(text)[:4], "big") for text in texts], np.uint32)
