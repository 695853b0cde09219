"""Where backends differ: one table, each row of it shown on both sides. A difference that goes away fails here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusException

from tests.milvus.backends import SPACE, Backend
from tests.transforms.adapters.milvus.four import DIRECTIONS, row
from transforms.adapters.milvus import Collection
from transforms.logic.identity import digest

FOUR = replace(SPACE, dimensions=4)


@dataclass(frozen=True)
class Difference:
    """Something that one kind of backend does and the other does not."""

    says: str
    lite: bool
    real: bool
    shows: Callable[[Collection], bool]


def _takes(rows: list[dict[str, Any]]) -> Callable[[Collection], bool]:
    return lambda collection: collection.upsert("lang_de", rows) == []


def _insert_keeps_both(collection: Collection) -> bool:
    collection.upsert("lang_de", [row(1)])
    collection._client.insert(collection._name, [row(1, text="again")], partition_name="lang_de")
    return collection.counts() == {"lang_de": 2}


def _upsert_into_another_partition_keeps_both(collection: Collection) -> bool:
    collection.upsert("lang_de", [row(1)])
    collection.upsert("lang_fr", [row(1)])
    return collection.counts() == {"lang_de": 1, "lang_fr": 1}


def _delete_heeds_its_partition(collection: Collection) -> bool:
    collection.upsert("lang_de", [row(1)])
    collection.upsert("lang_fr", [row(2)])
    collection.delete("lang_de", [f"{2:032x}"])
    return collection.counts() == {"lang_de": 1, "lang_fr": 1}


def _count_without_filter_heeds_its_partition(collection: Collection) -> bool:
    collection.upsert("lang_de", [row(1)])
    collection.upsert("lang_fr", [row(2)])
    (found,) = collection._client.query(
        collection._name,
        filter="",
        output_fields=["count(*)"],
        partition_names=["lang_de"],
        consistency_level="Strong",
    )
    return bool(found["count(*)"] == 1)


def _a_duplicate_in_one_upsert_stays(collection: Collection) -> bool:
    request = {"partition_name": "lang_de", "timeout": 20}
    collection.upsert("lang_de", [row(9)])
    collection._client.upsert(collection._name, [row(1), row(1, text="again")], **request)
    return collection.counts() == {"lang_de": 3}


def _search_gives_every_field(collection: Collection) -> bool:
    collection.upsert("lang_de", [row(1)])
    (hits,) = collection._client.search(
        collection._name, [DIRECTIONS["de"]], anns_field="dense", limit=1, consistency_level="Strong"
    )
    return "text" in hits[0]["entity"]


def _a_loaded_partition_may_be_dropped(collection: Collection) -> bool:
    collection.upsert("lang_de", [row(1)])
    try:
        collection._client.drop_partition(collection._name, "lang_de")
    except MilvusException:
        return False
    return True


DIFFERENCES = [
    Difference("an insert of an id that is there keeps both rows", False, True, _insert_keeps_both),
    Difference(
        "an upsert of an id of another partition keeps both rows",
        False,
        True,
        _upsert_into_another_partition_keeps_both,
    ),
    Difference("an id twice in one upsert keeps both rows", False, True, _a_duplicate_in_one_upsert_stays),
    Difference("a delete leaves other partitions alone", False, True, _delete_heeds_its_partition),
    Difference(
        "count(*) without a filter counts the partition only", False, True, _count_without_filter_heeds_its_partition
    ),
    Difference(
        "a text may have as many characters as the limit has bytes",
        True,
        False,
        _takes([row(1, document_id="ä" * 1024)]),
    ),
    Difference("NaN is taken", True, False, _takes([row(1), row(2, dense=[np.nan] * 4)])),
    Difference("infinity is taken", True, False, _takes([row(1), row(2, dense=[np.inf] * 4)])),
    Difference("a search without output fields gives all fields", True, False, _search_gives_every_field),
    Difference("a loaded partition may be dropped", True, False, _a_loaded_partition_may_be_dropped),
]


@pytest.fixture(params=["lite", pytest.param("real", marks=pytest.mark.milvus)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def collection(kind: str, request: pytest.FixtureRequest) -> Iterator[Collection]:
    backend: Backend = request.getfixturevalue(kind)
    with backend.collection(f"c_{digest(request.node.name).hex()}", FOUR) as opened:
        yield opened


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: one.says)
def test_a_backend_does_as_the_table_says(kind: str, collection: Collection, difference: Difference) -> None:
    assert difference.lite != difference.real
    assert difference.shows(collection) is getattr(difference, kind)
