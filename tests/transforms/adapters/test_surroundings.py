"""Neighbours of a chunk, by computed keys, in the chunk's own partition."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from transforms.adapters.milvus.audit import AuditedCollection
from transforms.adapters.surroundings import surroundings
from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import chunk_id


class _Rows:
    """What `surroundings` asks of a collection: rows by partition and id."""

    def __init__(self, held: dict[str, list[tuple[str, int]]]) -> None:
        self._held = {
            partition: {
                chunk_id(document, ordinal, partition): _row(document, ordinal, partition) for document, ordinal in rows
            }
            for partition, rows in held.items()
        }

    def partitions(self) -> list[str]:
        return sorted(self._held)

    def rows(self, partition: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        of = {name: row for one, rows in self._held.items() if partition in {"", one} for name, row in rows.items()}
        return {name: {field: of[name][field] for field in fields} for name in ids if name in of}


def _row(document: str, ordinal: int, partition: str) -> dict[str, Any]:
    fields = dict.fromkeys(("language", "script", "source", "date", "metadata"), "")
    place = {"ordinal": ordinal, "start": 10 * ordinal, "end": 10 * ordinal + 9, "text": f"{partition} {ordinal}"[:9]}
    return {"id": chunk_id(document, ordinal, partition), "document_id": document, **place, **fields}


COLLECTION = cast(
    "AuditedCollection",
    _Rows({"lang_de": [("a", number) for number in range(6) if number != 3], "lang_th": [("a", 1), ("b", 2)]}),
)


def _ordinals(ordinal: int, before: int, after: int, partition: str = "lang_de") -> tuple[list[int], bool, bool]:
    found = surroundings(COLLECTION, chunk_id("a", ordinal, partition), before, after)
    assert (found.row["document_id"], found.row["ordinal"]) == ("a", ordinal)
    return [one.ordinal for one in found.passages], found.starts, found.ends


def test_neighbours_are_of_the_same_document_and_partition() -> None:
    assert _ordinals(1, 1, 1) == ([0, 1, 2], True, True)
    assert _ordinals(1, 0, 0) == ([1], False, False)
    assert _ordinals(1, 9, 9, "lang_th") == ([1], True, True)
    assert _ordinals(2, 0, 2) == ([2, 4], False, False)
    assert _ordinals(5, 9, 9) == ([0, 1, 2, 4, 5], True, True)


@pytest.mark.parametrize("name", ["", "x", "0" * 32, chunk_id("a", 3, "lang_de"), chunk_id("a", 1, "lang_de").upper()])
def test_a_chunk_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="the collection holds no chunk"):
        surroundings(COLLECTION, name, 1, 1)
