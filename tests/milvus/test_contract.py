"""What the sink promises, the same on every backend."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.milvus.backends import SPACE, Backend, batch_of_texts, held
from tests.transforms.adapters.milvus.four import row
from transforms.adapters.milvus import Collection, ColumnBatch, Query, Target, held_by
from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import chunk_id, digest
from transforms.logic.outputs import Output
from transforms.logic.representations import VECTOR_TYPES
from transforms.logic.rows import milvus_rows

FOUR = replace(SPACE, dimensions=4)
TEXTS = {
    "plain": "one two three",
    "": "no id",
    "quotes": 'it\'s "quoted" \\ and\nbroken\tup',
    "scripts": "น้ำ 水 ماء नमस्ते",
    "emoji": "🎉👩‍👩‍👧",
    "empty": "",
}


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A collection name of its own."""
    return f"c_{digest(request.node.name).hex()}"


@pytest.fixture
def collection(backend: Backend, name: str) -> Iterator[Collection]:
    """An empty collection of four dimensions."""
    with backend.collection(name, FOUR) as opened:
        yield opened


def test_rows_are_counted_at_once_and_written_again_change_nothing(collection: Collection) -> None:
    for _ in range(2):
        assert collection.upsert("lang_de", [row(number) for number in range(700)]) == []
        assert collection.upsert("lang_fr", [row(number, "fr") for number in range(1000, 1300)]) == []
        assert collection.counts() == {"lang_de": 700, "lang_fr": 300}


def test_a_changed_row_takes_the_place_of_the_old(collection: Collection) -> None:
    collection.upsert("lang_de", [row(number) for number in range(5)])
    collection.upsert("lang_de", [row(3, text="new"), row(9, text="added")])
    texts = {one["id"]: one["text"] for one in held(collection).values()}
    assert texts == {f"{number:032x}": f"text {number}" for number in range(5)} | {
        f"{3:032x}": "new",
        f"{9:032x}": "added",
    }
    assert collection.counts() == {"lang_de": 6}


def test_deleted_rows_are_gone_at_once_and_deleting_again_is_no_error(collection: Collection) -> None:
    collection.upsert("lang_de", [row(number) for number in range(10)])
    collection.upsert("lang_fr", [row(number, "fr") for number in range(20, 25)])
    for _ in range(2):
        collection.delete("lang_de", [f"{number:032x}" for number in (0, 4, 9, 77)])
        collection.delete("lang_nowhere", [f"{1:032x}"])
        assert collection.counts() == {"lang_de": 7, "lang_fr": 5}
    collection.upsert("lang_de", [row(4)])
    assert collection.counts() == {"lang_de": 8, "lang_fr": 5}


def test_a_document_that_changed_its_language_leaves_nothing_behind(collection: Collection) -> None:
    """An id has its partition in it: a real server would hold a row of one id in two partitions."""
    moved = {partition: chunk_id("moved", 0, partition) for partition in ("lang_de", "lang_fr")}
    stays = row(1)
    collection.upsert("lang_de", [stays, row(2) | {"id": moved["lang_de"]}])
    collection.upsert("lang_fr", [row(3, "fr") | {"id": moved["lang_fr"]}])
    collection.delete("lang_de", [moved["lang_de"]])
    assert set(held(collection)) == {f"lang_de/{stays['id']}", f"lang_fr/{moved['lang_fr']}"}
    assert collection.counts() == {"lang_de": 1, "lang_fr": 1}


def test_a_row_with_a_vector_of_another_length_is_refused_alone(collection: Collection) -> None:
    rows = [row(number) for number in range(20)]
    rows[5]["dense"] = [1.0, 2.0]
    assert [one.row for one in collection.upsert("lang_de", rows)] == [5]
    assert collection.counts() == {"lang_de": 19}


def test_the_longest_row_fits(collection: Collection) -> None:
    longest = row(1, document_id="ä" * 512, text="ก" * 21_845, source="s" * 65_535, metadata={"a": "x" * 59_000})
    assert collection.upsert("lang_de", [longest]) == []
    (read,) = held(collection).values()
    assert {name: read[name] for name in ("document_id", "text", "source", "metadata")} == {
        name: longest[name] for name in ("document_id", "text", "source", "metadata")
    }


def test_the_space_is_remembered(collection: Collection) -> None:
    assert collection.space() == FOUR


def test_a_collection_that_is_not_there_is_named(backend: Backend) -> None:
    absent = Collection(Target(backend.uri, "absent"))
    assert not absent.exists()
    with pytest.raises(ConfigurationError, match=r"(?i)not ?found|not exist"):
        absent.partitions()
    absent.close()


def _kinds(backend: Backend) -> set[str]:
    asked = Collection(Target(backend.uri, "absent"))
    try:
        return set(held_by(asked.version))
    finally:
        asked.close()


def test_columns_leave_the_rows_that_rows_leave(backend: Backend, name: str) -> None:
    """For every kind of vector that this backend holds."""
    texts = {f"{key} {n}": f"{text} {n}" for n in range(40) for key, text in TEXTS.items()}
    metadata = json.dumps({"b": [1, None, 2.5], "a": "it's ไทย \" \\ 🎉"}, ensure_ascii=False)
    compared = []
    for vector_type in (one for one in VECTOR_TYPES if one in _kinds(backend)):
        batch = batch_of_texts(texts, vector_type=vector_type, metadata=metadata)
        space = replace(SPACE, vector_type=vector_type)
        with backend.collection(name, space) as collection:
            assert collection.upsert("lang_de", milvus_rows(batch)) == []
            by_rows = held(collection)
        with backend.collection(name, space) as collection:
            # The columns of a slice begin elsewhere in memory.
            for start, count in ((0, 7), (7, 100), (107, batch.num_rows - 107)):
                assert collection.upsert("lang_de", ColumnBatch(batch.slice(start, count))) == []
            assert held(collection) == by_rows
            assert collection.counts() == {"lang_de": batch.num_rows}
        compared.append(vector_type)
    assert compared[0] == "float32"


@pytest.mark.parametrize("backend_name", ["lite", pytest.param("named", marks=pytest.mark.milvus)])
def test_columns_with_sparse_weights_leave_the_rows_that_rows_leave(
    backend_name: str, name: str, request: pytest.FixtureRequest
) -> None:
    backend: Backend = request.getfixturevalue(backend_name)
    both: tuple[Output, ...] = ("dense", "sparse")
    batch = batch_of_texts({"none": "...", **{f"d{n}": f"word{n} word{n + 1} and" for n in range(20)}}, both)
    found = []
    for rows in (milvus_rows(batch, both), ColumnBatch(batch), ColumnBatch(batch.slice(3))):
        with backend.collection(name, replace(SPACE, outputs=both, milvus_outputs=both)) as collection:
            assert collection.upsert("lang_en", rows) == []
            found.append(held(collection, both))
    assert found[0] == found[1]
    assert found[2].items() <= found[0].items()
    assert (len(found[0]), len(found[2])) == (batch.num_rows, batch.num_rows - 3)


def test_a_question_finds_its_row(backend: Backend, name: str) -> None:
    batch = batch_of_texts({f"d{n}": f"text {n}" for n in range(50)})
    with backend.collection(name) as collection:
        collection.upsert("lang_en", ColumnBatch(batch))
        for one in batch.slice(0, 10).to_pylist():
            (hit, *_) = collection.search(Query(np.array(one["dense"], np.float32)), 3, ["document_id"])
            assert hit["document_id"] == one["document_id"]
            assert hit["score"] == pytest.approx(1, abs=1e-4)


_WORKER = """
import sys
from tests.transforms.adapters.milvus.four import row
from transforms.adapters.milvus import Target, borrow, give_back

uri, name, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
connection = borrow(Target(uri, name), 4)
for start in range(first, first + 2000, 250):
    with connection.turn() as collection:
        collection.upsert("lang_de", [row(number) for number in range(start, start + 250)])
        collection.upsert("lang_both", [row(number) for number in range(10_000, 10_100)])
give_back(connection)
"""


@pytest.mark.parametrize("backend_name", ["lite_server", pytest.param("real", marks=pytest.mark.milvus)])
def test_two_processes_write_to_one_collection(backend_name: str, name: str, request: pytest.FixtureRequest) -> None:
    """Each its own rows into one partition, and both the same rows into another."""
    backend: Backend = request.getfixturevalue(backend_name)
    root = Path(__file__).parents[2]
    with backend.collection(name, FOUR) as collection:
        workers = [
            subprocess.Popen([sys.executable, "-c", _WORKER, backend.uri, name, str(first)], cwd=root)
            for first in (0, 2000)
        ]
        assert [worker.wait(timeout=100) for worker in workers] == [0, 0]
        assert collection.counts() == {"lang_de": 4000, "lang_both": 100}
        assert len(held(collection)) == 4100


HOSTILE = [
    "' or id != '",
    '" or id != "',
    "x' or 1 == 1 --",
    "\\",
    "\\'",
    "'] or id in ['",
    "{id}",
    "{{id}}",
    "%s",
    "$meta",
    "\x7f",
    "\u202e",
    "\ufeff",
    "\u0000",
    "lang_de",
    "_default",
    "null",
    "../..",
    "a\nb",
    "<script>",
    "🎉",
    "İ",
]


def _hostile(count: int) -> list[str]:
    """Generated strings, each of several hostile pieces; different, and the same every time."""
    generator = np.random.default_rng(20_261_121)
    picks = generator.integers(0, len(HOSTILE), (count, 4))
    return [f"{number}{''.join(HOSTILE[pick] for pick in of_row)}" for number, of_row in enumerate(picks)]


@pytest.mark.parametrize("backend_name", ["lite", pytest.param("real", marks=pytest.mark.milvus)])
def test_what_a_document_calls_itself_reaches_no_other_row(
    backend_name: str, name: str, request: pytest.FixtureRequest
) -> None:
    backend: Backend = request.getfixturevalue(backend_name)
    count = 10_000
    documents = _hostile(count)
    partitions = [f"lang_{'de' if number % 2 else 'fr'}" for number in range(count)]
    rows: list[dict[str, Any]] = [
        row(number, document_id=documents[number], metadata={documents[number]: documents[-number - 1]})
        | {"id": chunk_id(documents[number], 0, partitions[number]), "language": documents[number][-4:]}
        for number in range(count)
    ]
    with backend.collection(name, FOUR) as collection:
        for partition in ("lang_de", "lang_fr"):
            own = [one for number, one in enumerate(rows) if partitions[number] == partition]
            for start in range(0, len(own), 1000):
                assert collection.upsert(partition, own[start : start + 1000]) == []
        gone = {number for number in range(count) if number % 7 == 0}
        for partition in ("lang_de", "lang_fr"):
            collection.delete(
                partition, [rows[number]["id"] for number in sorted(gone) if partitions[number] == partition]
            )
        left = {
            f"{partitions[number]}/{rows[number]['id']}": rows[number] for number in range(count) if number not in gone
        }
        found = held(collection)
    assert set(found) == set(left)
    for key, one in found.items():
        assert (one["document_id"], one["metadata"]) == (left[key]["document_id"], left[key]["metadata"])
