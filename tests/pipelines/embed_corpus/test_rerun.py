"""Running again: what changed is written, what did not is left alone."""

from tests.fakes import ENCODED, OPENED
from tests.pipelines.jobs import Job, document, document_counts, row_counts, story


def test_rerun_encodes_and_writes_nothing(job: Job) -> None:
    job.write("a.jsonl", [document(f"d{number}", lang=("en", "de")[number % 2]) for number in range(8)])
    first = job.run()
    rows = job.rows()
    ENCODED.clear()
    OPENED.clear()
    second = job.run()
    assert document_counts(first) == (8, 8, 0, 0, 0)
    assert row_counts(first) == (8, 8, 0, 0)
    assert document_counts(second) == (8, 0, 0, 8, 0)
    assert row_counts(second) == (8, 0, 8, 0)
    assert second["vectors"] == {"encoded": 0, "reused": 0}
    assert (ENCODED, OPENED) == ([], [])
    assert job.rows() == rows
    assert len(rows) == 8
    assert (first["ledger"], second["ledger"]) == (1, 1)
    assert (first["exit_code"], second["exit_code"]) == (0, 0)
    assert first["run_id"] == second["run_id"]


def test_changes_of_the_corpus_reach_the_collection_and_nothing_else_does(job: Job) -> None:
    before = [
        document("same", story("same", 3)),
        document("changed", story("changed", 4)),
        document("shrunken", story("shrunken", 8)),
        document("moved", story("moved", 2), lang="en"),
        document("retitled", story("retitled", 2), title="old"),
        document("removed", story("removed", 2)),
    ]
    job.write("a.jsonl", before)
    job.run()
    old = job.rows()
    ENCODED.clear()
    after = [
        document("same", story("same", 3)),
        document("changed", story("changed", 2) + " " + story("another", 2)),
        document("shrunken", story("shrunken", 4)),
        document("moved", story("moved", 2), lang="de"),
        document("retitled", story("retitled", 2), title="new"),
    ]
    job.write("a.jsonl", after)
    job.write("b.jsonl", [document("added", story("added", 2), lang="fr")])
    record = job.run()
    new = job.rows()

    assert record["exit_code"] == 0
    # A changed end is encoded, and a new file; a moved document and new metadata only write rows.
    assert sorted(ENCODED) == sorted([story("another", 2), story("added", 2)])
    assert document_counts(record) == (6, 2, 3, 1, 0)
    # changed 1, moved 1, retitled 1, added 1 written; shrunken 2 and moved 1 deleted; held: 2 + 2 + 2 + 1 + 1 + 1 + 1.
    assert row_counts(record) == (10, 4, 6, 3)
    assert record["vectors"] == {"encoded": 2, "reused": 2}
    assert job.texts() == {
        ("same", 0): story("same", 2),
        ("same", 1): story("same", 3).removeprefix(story("same", 2)).strip(),
        ("changed", 0): story("changed", 2),
        ("changed", 1): story("another", 2),
        ("shrunken", 0): story("shrunken", 2),
        ("shrunken", 1): story("shrunken", 4).removeprefix(story("shrunken", 2)).strip(),
        ("moved", 0): story("moved", 2),
        ("retitled", 0): story("retitled", 2),
        ("removed", 0): story("removed", 2),
        ("added", 0): story("added", 2),
    }
    by_document = {row["document_id"]: row for row in new.values()}
    assert by_document["moved"]["partition"] == "lang_de"
    assert by_document["retitled"]["metadata"] == {"title": "new"}
    untouched = {identity for identity, row in old.items() if row["document_id"] in {"same", "removed"}}
    assert {identity: new[identity] for identity in untouched} == {identity: old[identity] for identity in untouched}
    ENCODED.clear()
    third = job.run()
    assert (row_counts(third), ENCODED, third["ledger"]) == ((10, 0, 10, 0), [], 2)
    assert job.rows() == new


def test_equal_content_is_encoded_once_in_a_run_and_over_runs(job: Job) -> None:
    copies = [document(f"copy{number}", story("twin", 2), lang=("en", "de")[number % 2]) for number in range(5)]
    job.write("a.jsonl", copies)
    first = job.run()
    assert [story("twin", 2)] == ENCODED
    assert first["vectors"] == {"encoded": 1, "reused": 4}
    # One document of the five gets the vector, the others share it.
    assert document_counts(first) == (5, 1, 4, 0, 0)
    rows = job.rows()
    assert len(rows) == 5
    assert len({row["dense"] for row in rows.values()}) == 1
    job.write("b.jsonl", [document("late copy", story("twin", 2), lang="fr")])
    second = job.run()
    assert [story("twin", 2)] == ENCODED
    assert document_counts(second) == (6, 0, 1, 5, 0)
    assert row_counts(second) == (6, 1, 5, 0)


def test_another_collection_of_one_workspace_reuses_every_vector(job: Job) -> None:
    job.write("a.jsonl", [document(f"d{number}", story(f"d{number}", 3)) for number in range(4)])
    job.run()
    ENCODED.clear()
    record = job.run(collection="second")
    assert ENCODED == []
    assert document_counts(record) == (4, 0, 4, 0, 0)
    assert row_counts(record) == (8, 8, 0, 0)


def test_a_logical_date_names_the_run(job: Job) -> None:
    job.write("a.jsonl", [document("d")])
    undated, dated = job.run(), job.run(logical_date="2026-03-04")
    assert dated["run_id"].startswith("2026-03-04-")
    assert undated["run_id"].startswith("run-")
    assert {path.name for path in (job.workspace / "runs").iterdir()} == {undated["run_id"], dated["run_id"]}
