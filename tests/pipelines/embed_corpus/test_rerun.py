"""Running again: what changed is written, what did not is left alone."""

from pymilvus import MilvusClient

from tests.fakes import ENCODED, OPENED
from tests.pipelines.jobs import COLLECTION, Job, document, story


def _documents(record: dict[str, dict[str, int]]) -> tuple[int, ...]:
    return tuple(record["documents"][name] for name in ("read", "embedded", "reused", "unchanged", "rejected"))


def _rows(record: dict[str, dict[str, int]]) -> tuple[int, ...]:
    return tuple(record["rows"][name] for name in ("held", "written", "unchanged", "deleted"))


def test_rerun_encodes_and_writes_nothing(job: Job) -> None:
    job.write("a.jsonl", [document(f"d{number}", lang=("en", "de")[number % 2]) for number in range(8)])
    first = job.run()
    rows = job.rows()
    ENCODED.clear()
    OPENED.clear()
    second = job.run()
    assert _documents(first) == (8, 8, 0, 0, 0)
    assert _rows(first) == (8, 8, 0, 0)
    assert _documents(second) == (8, 0, 0, 8, 0)
    assert _rows(second) == (8, 0, 8, 0)
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
    assert _documents(record) == (6, 2, 3, 1, 0)
    # changed 1, moved 1, retitled 1, added 1 written; shrunken 2 and moved 1 deleted; held: 2 + 2 + 2 + 1 + 1 + 1 + 1.
    assert _rows(record) == (10, 4, 6, 3)
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
    assert by_document["retitled"]["metadata"] == {"lang": "en", "title": "new"} or by_document["retitled"][
        "metadata"
    ] == {"title": "new"}
    untouched = {identity for identity, row in old.items() if row["document_id"] in {"same", "removed"}}
    assert {identity: new[identity] for identity in untouched} == {identity: old[identity] for identity in untouched}
    ENCODED.clear()
    third = job.run()
    assert (_rows(third), ENCODED, third["ledger"]) == ((10, 0, 10, 0), [], 2)
    assert job.rows() == new
