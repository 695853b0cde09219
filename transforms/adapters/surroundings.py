"""Chunks beside a chunk in its document, fetched from Milvus by primary keys."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transforms.adapters.milvus.audit import AuditedCollection
from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import chunk_id
from transforms.logic.passages import Passage, read_on

_ID = re.compile(r"[0-9a-f]{32}")
_SHOWN = ("document_id", "ordinal", "start", "end", "text", "language", "script", "source", "date", "metadata")


@dataclass(frozen=True)
class Surroundings:
    """A chunk in its document.

    Attributes:
        row: the chunk, with its document's fields.
        passages: the chunk and its neighbours, in the order of the document, no character twice.
        starts: whether the first passage is the document's first chunk.
        ends: whether the collection holds no chunk that comes next after the last passage.
    """

    row: dict[str, Any]
    passages: Sequence[Passage]
    starts: bool
    ends: bool


def surroundings(collection: AuditedCollection, name: str, before: int, after: int) -> Surroundings:
    """A chunk with so many chunks before and after it.

    Keys are hashes of document id, ordinal and partition, so those of neighbours are computed and no filter holds a document's id.

    Raises:
        ConfigurationError: there is no such chunk.
        TransientError: the server does not answer.
    """
    found = collection.rows("", [name], ("id", *_SHOWN)) if _ID.fullmatch(name) else {}
    if name not in found:
        raise ConfigurationError(f"the collection holds no chunk {name!r} (any more); search again")
    row = found[name]
    document, ordinal = row["document_id"], row["ordinal"]
    partitions = [one for one in collection.partitions() if chunk_id(document, ordinal, one) == name]
    first, last = max(0, ordinal - before), ordinal + after
    rows = {name: row}
    for partition in partitions:
        ids = [chunk_id(document, number, partition) for number in range(first, last + 2)]
        rows.update(collection.rows(partition, ids, ("id", *_SHOWN)))
    shown = [one for one in rows.values() if one["ordinal"] <= last]
    return Surroundings(row, read_on(shown, name), first == 0, len(shown) == len(rows))
