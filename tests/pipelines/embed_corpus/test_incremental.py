"""An unchanged document costs a hash and a lookup; nothing looks into its text, and nothing else changes by that."""

from typing import Any

import pytest

from tests.fakes import ENCODED, POISON
from tests.pipelines.jobs import Job, document, document_counts, row_counts, story


def _corpus(version: str = "") -> list[dict[str, Any]]:
    return [document(f"d{number}", story(f"d{number}{version}", 1 + number % 4), lang="de") for number in range(9)]


def _split(record: dict[str, Any]) -> int:
    return int(record["chunks"]["split"])


def test_unchanged_documents_are_not_cut(job: Job) -> None:
    job.write("a.jsonl", _corpus())
    assert _split(job.run()) > 9
    again = job.run()
    assert document_counts(again) == (9, 0, 0, 9, 0)
    assert (_split(again), again["stages"]["split"]["seconds"]) == (0, 0)


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.jsonl.gz"])
def test_neighbours_may_grow_shrink_come_and_go(job: Job, name: str) -> None:
    rows = _corpus()
    job.write(name, rows)
    job.run()
    ENCODED.clear()
    edited = document("d4", story("edited", 7), lang="de")
    job.write(name, [document("first", lang="de"), *rows[:2], *rows[3:4], edited, *rows[5:]])
    record = job.run("--direct_num_workers=1", mirror=True, max_delete_fraction=0.5)
    # first and d4 are embedded, seven others stay as they are, d2 is gone.
    assert document_counts(record) == (9, 2, 0, 7, 0)
    assert record["documents"]["gone"] == 1
    assert _split(record) == 5
    rows_of = {row["document_id"] for row in job.rows().values()}
    assert rows_of == {"first", *(f"d{number}" for number in range(9) if number != 2)}


def test_new_metadata_writes_rows_and_encodes_nothing(job: Job) -> None:
    job.write("a.jsonl", _corpus())
    job.run()
    ENCODED.clear()
    job.write("a.jsonl", [{**row, "title": "new"} if row["id"] == "d3" else row for row in _corpus()])
    record = job.run()
    assert ENCODED == []
    assert document_counts(record) == (9, 0, 1, 8, 0)
    assert {row["metadata"].get("title") for row in job.rows().values() if row["document_id"] == "d3"} == {"new"}
    assert document_counts(job.run()) == (9, 0, 0, 9, 0)


def test_another_way_to_make_rows_takes_every_document_through_the_pipeline(job: Job) -> None:
    job.write("a.jsonl", _corpus())
    job.run()
    ENCODED.clear()
    floor = job.run(language_floor=0.6)
    assert _split(floor) > 9
    assert document_counts(floor) == (9, 0, 0, 9, 0)
    assert _split(job.run(language_floor=0.6)) == 0
    assert _split(job.run(max_tokens=48, new_space=True)) >= 9
    assert _split(job.run(max_tokens=48, new_space=True)) == 0


def test_recheck_looks_into_every_document_and_finds_the_same(job: Job) -> None:
    job.write("a.jsonl", _corpus())
    first = job.run()
    rows = job.rows()
    ENCODED.clear()
    again = job.run(recheck=True)
    assert _split(again) == _split(first)
    assert (document_counts(again), row_counts(again)) == (
        (9, 0, 0, 9, 0),
        (first["rows"]["held"], 0, first["rows"]["held"], 0),
    )
    assert again["checksum"] == first["checksum"]
    assert (ENCODED, job.rows()) == ([], rows)


def test_a_document_that_lacks_a_chunk_is_tried_again_and_reported_again(job: Job) -> None:
    bad = document("bad", f"{story('bad', 2)} {story(POISON, 2)}", lang="de")
    job.write("a.jsonl", [*_corpus(), bad])
    first, second = job.run(), job.run()
    for record in (first, second):
        assert (record["exit_code"], record["chunks"]["rejected"]) == (3, 1)
        assert [row["document_id"] for row in job.rejects(record)] == ["bad"]
    assert document_counts(second)[3] == 10
    assert _split(second) == 2


def test_of_two_documents_with_one_id_the_first_stands_whichever_is_known(job: Job) -> None:
    job.write("b.jsonl", [document("twin", story("from b", 1), lang="de"), *_corpus()])
    job.run()
    job.write("a.jsonl", [document("twin", story("from a", 1), lang="de")])
    second = job.run()
    assert [(row["document_id"], row["source"][-7:]) for row in job.rejects(second)] == [("twin", "b.jsonl")]
    assert job.texts()["twin", 0] == story("from a", 1)
    third = job.run()
    assert [(row["document_id"], row["source"][-7:]) for row in job.rejects(third)] == [("twin", "b.jsonl")]
    assert document_counts(third) == (11, 0, 0, 10, 1)
    assert row_counts(third)[1] == 0


def test_rows_that_milvus_lost_come_back_without_the_pipeline(job: Job) -> None:
    job.write("a.jsonl", _corpus())
    job.run()
    rows = job.rows()
    with job.client() as client:
        client.delete("corpus", ids=[next(iter(rows))], partition_name="lang_de")
    ENCODED.clear()
    record = job.run()
    assert (_split(record), ENCODED, job.rows()) == (0, [], rows)
    assert row_counts(record) == (len(rows), len(rows), 0, 0)


def test_a_moved_file_encodes_nothing(job: Job) -> None:
    path = job.write("a.jsonl", _corpus())
    job.run()
    ENCODED.clear()
    path.rename(path.with_name("b.jsonl"))
    record = job.run()
    assert ENCODED == []
    assert document_counts(record) == (9, 0, 9, 0, 0)
    assert {row["source"][-7:] for row in job.rows().values()} == {"b.jsonl"}
