"""A collection of four dimensions, rows for it, and questions to it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from transforms.adapters.milvus import Collection, CollectionSpace, Query

SPACE = CollectionSpace(
    embedding_space="e" * 32,
    model="some/model",
    revision="a" * 40,
    dtype="bfloat16",
    query_prompt='query: "ä" ',
    dimensions=4,
    vector_type="float32",
    partition_by="language",
    document_prompt="passage: ",
)
DIRECTIONS = {"de": [1.0, 0.0, 0.0, 0.0], "fr": [0.0, 1.0, 0.0, 0.0], "th": [0.6, 0.8, 0.0, 0.0]}


def row(number: int, language: str = "de", **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{number:032x}",
        "document_id": f"document {number}",
        "ordinal": 0,
        "start": 0,
        "end": 4,
        "text": f"text {number}",
        "language": language,
        "language_score": 0.75,
        "chunk_language": language,
        "chunk_language_score": 0.75,
        "unknown_fraction": 0.0,
        "script": "Latn",
        "tokens": 1,
        "source": "a.jsonl",
        "date": "2026-11-21",
        "metadata": {"title": "größer 🎉", "tags": ["a"], "n": None},
        "dense": DIRECTIONS[language],
        **changes,
    }


def asked(
    collection: Collection, vector: Sequence[float], top: int, fields: Sequence[str], **restriction: Any
) -> list[dict[str, Any]]:
    """What a search by a dense vector finds."""
    return collection.search(Query(np.array(vector, np.float32), **restriction), top, fields)


def found(collection: Collection, vector: Sequence[float], partitions: Sequence[str] | None = None) -> list[str]:
    """Ids that a search by a dense vector finds."""
    return [hit["id"] for hit in asked(collection, vector, 10, ["text"], partitions=partitions)]
