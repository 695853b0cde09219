"""The whole job into a real server, which neither removes duplicates nor moves a row from one partition to another."""

from typing import Any

import pytest
from pymilvus import MilvusClient

from tests.fakes import ENCODED
from tests.milvus.backends import Backend
from tests.pipelines.jobs import Job, document, row_counts, story
from transforms.logic.identity import digest

pytestmark = [pytest.mark.milvus, pytest.mark.timeout(300)]

FIRST = [
    document("stays", story("stays", 4)),
    document("edited", story("edited", 6)),
    document("shrunken", story("shrunken", 10)),
    document("moved", story("moved", 3)),
    document("titled", story("titled", 2), title="old"),
    *(document(f"d{number}", story(f"d{number}", 2), lang=("fr", "th")[number % 2]) for number in range(160)),
]
NEXT = [
    document("stays", story("stays", 4)),
    document("edited", story("edit", 8)),
    document("shrunken", story("shrunken", 3)),
    document("moved", story("moved", 3), lang="de"),
    document("titled", story("titled", 2), title="new"),
    *FIRST[5:],
]


def _rows(uri: str, collection: str) -> list[dict[str, Any]]:
    """Every row of every partition, each as often as it is there."""
    client = MilvusClient(uri)
    try:
        return [
            {**row, "partition": partition}
            for partition in client.list_partitions(collection)
            for row in client.query(
                collection,
                filter='id != ""',
                partition_names=[partition],
                output_fields=["*", "dense"],
                consistency_level="Strong",
                limit=16_384,
            )
        ]
    finally:
        client.close()


def _contents(rows: list[dict[str, Any]]) -> dict[tuple[str, int], tuple[str, str, str]]:
    found = {
        (row["document_id"], row["ordinal"]): (row["text"], row["partition"], str(row["metadata"])) for row in rows
    }
    assert len(found) == len(rows) == len({row["id"] for row in rows})
    return found


@pytest.mark.parametrize("write_path", ["rows", "columns"])
@pytest.mark.parametrize("vector_type", ["float32", "binary"])
def test_runs_leave_what_the_corpus_says_and_nothing_else(
    real: Backend, job: Job, vector_type: str, write_path: str
) -> None:
    name = f"c_{digest(vector_type, write_path).hex()[:8]}"
    settings = {"milvus": real.uri, "collection": name, "vector_type": vector_type, "write_path": write_path}
    job.write("a.jsonl", FIRST)
    if vector_type == "binary":
        # Binary vectors are calibrated on the dataset, so it comes first.
        job.run(milvus=real.uri, collection=f"{name}_first")
    first = job.run(**settings)
    held = first["rows"]["held"]
    assert (first["exit_code"], row_counts(first)) == (0, (held, held, 0, 0))
    assert len(_contents(_rows(real.uri, name))) == held

    ENCODED.clear()
    again = job.run(**settings)
    assert (again["exit_code"], row_counts(again), ENCODED) == (0, (held, 0, held, 0), [])

    job.write("a.jsonl", NEXT)
    changed = job.run(**settings)
    after = _rows(real.uri, name)
    assert changed["exit_code"] == 0
    contents = _contents(after)
    assert len(contents) == changed["rows"]["held"]
    # A document that changed its language is in its new partition only, and what shrank has no tail.
    assert {partition for (one, _), (_, partition, _) in contents.items() if one == "moved"} == {"lang_de"}
    assert {ordinal for one, ordinal in contents if one == "shrunken"} == {0, 1}
    assert {title for (one, _), (_, _, title) in contents.items() if one == "titled"} == {"{'title': 'new'}"}
    assert contents["edited", 0][0] == story("edit", 2)

    # As if the changed corpus had been there from the start.
    job.run(**{**settings, "collection": f"{name}_fresh"})
    assert {row["id"]: row for row in after} == {row["id"]: row for row in _rows(real.uri, f"{name}_fresh")}
    rest = job.run(**settings)
    assert (rest["exit_code"], rest["rows"]["written"], rest["rows"]["deleted"]) == (0, 0, 0)


def test_what_another_run_left_in_doubt_is_written_again(real: Backend, job: Job) -> None:
    """Rows that are there twice over are only found by counting: the count differs, so every row is written anew."""
    name = f"c_{digest('doubt').hex()[:8]}"
    settings = {"milvus": real.uri, "collection": name}
    job.write("a.jsonl", FIRST[:5])
    held = job.run(**settings)["rows"]["held"]
    client = MilvusClient(real.uri)
    (one, *_) = _rows(real.uri, name)
    client.delete(name, ids=[one["id"]], partition_name=one["partition"])
    client.close()
    record = job.run(**settings)
    assert (record["exit_code"], row_counts(record)) == (0, (held, held, 0, 0))
    assert len(_contents(_rows(real.uri, name))) == held
