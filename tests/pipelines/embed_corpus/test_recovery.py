"""Killed anywhere, run again: the end state is that of an uninterrupted run."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes import ENCODED, FakeEncoder
from tests.pipelines.jobs import COLLECTION, DIMENSIONS, Job, document, document_counts, row_counts, story
from transforms.adapters.milvus import Collection
from transforms.adapters.workspace import Workspace
from transforms.logic.errors import TransientError


def _fails(after_calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, until it was called so many times; then an error that a later run may not meet."""
    calls = iter(range(1_000_000))

    def failing(*arguments: Any, **settings: Any) -> Any:
        if next(calls) >= after_calls:
            raise TransientError("the power is cut")
        return function(*arguments, **settings)

    return failing


CRASHES = {
    "intents": (Workspace, "write_intents", 0),
    "upsert": (Collection, "upsert", 1),
    "delete": (Collection, "delete", 0),
    "commit": (Workspace, "commit_ledger", 0),
    "record": (Workspace, "write_record", 0),
}


@pytest.mark.parametrize("crash", CRASHES)
def test_run_after_a_crash_ends_like_a_clean_run(job: Job, monkeypatch: pytest.MonkeyPatch, crash: str) -> None:
    stays = document("stays", story("stays", 4))
    job.write("a.jsonl", [stays, document("edited", story("edited", 6)), document("moved"), document("gone")])
    job.run()
    job.write(
        "a.jsonl",
        [
            stays,
            document("edited", story("edit", 8)),
            document("moved", lang="de"),
            *(document(f"fleeting{number}", story(f"fleeting{number}", 4), lang="fr") for number in range(3)),
        ],
    )
    with monkeypatch.context() as patch:
        kind, name, after_calls = CRASHES[crash]
        patch.setattr(kind, name, _fails(after_calls, getattr(kind, name)))
        assert job.main() == 6
    fleeting = {row["document_id"] for row in job.rows().values() if row["document_id"].startswith("fleeting")}
    if crash in {"commit", "record"}:
        assert fleeting == {"fleeting0", "fleeting1", "fleeting2"}
    job.write("a.jsonl", [stays, document("edited", story("edit", 4)), document("moved", lang="fr")])
    job.write("b.jsonl", [document("added")])
    record = job.run()

    clean = Job(job.home / "clean", job.model)
    clean.run(input=f"{job.corpus}/*")
    expected = clean.rows()
    found = job.rows()
    assert record["exit_code"] == 0
    # Documents that a committed run wrote stay when the source drops them; those of the crashed run leave nothing.
    left = {"gone", *fleeting} if crash == "record" else {"gone"}
    assert {row["document_id"] for row in found.values()} == {"stays", "edited", "moved", "added", *left}
    assert {identity: row for identity, row in found.items() if row["document_id"] not in left} == expected
    assert record["ledger"] == (3 if crash == "record" else 2)


def test_work_that_was_stored_before_a_crash_is_not_encoded_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.write("a.jsonl", [document(f"d{number}", story(f"d{number}", 4)) for number in range(6)])
    with monkeypatch.context() as patch:
        patch.setattr(Collection, "upsert", _fails(0, Collection.upsert))
        assert job.main() == 6
    assert len(ENCODED) == 12
    assert job.rows() == {}
    ENCODED.clear()
    record = job.run()
    assert ENCODED == []
    assert row_counts(record) == (12, 12, 0, 0)
    assert len(job.rows()) == 12


def test_a_dropped_collection_is_restored_without_encoding(job: Job) -> None:
    job.write(
        "a.jsonl",
        [document(f"d{number}", story(f"d{number}", 3), lang=["en", "de", "fr"][number % 3]) for number in range(6)],
    )
    job.run()
    rows = job.rows()
    with job.client() as client:
        client.drop_collection(COLLECTION)
    ENCODED.clear()
    record = job.run()
    assert ENCODED == []
    assert row_counts(record) == (12, 12, 0, 0)
    assert (record["exit_code"], record["ledger"]) == (0, 2)
    assert job.rows() == rows


def test_rows_deleted_by_hand_are_restored_without_encoding(job: Job) -> None:
    job.write(
        "a.jsonl",
        [document(f"d{number}", story(f"d{number}", 3), lang=["en", "de", "fr"][number % 3]) for number in range(6)],
    )
    job.run()
    rows = job.rows()
    lost = sorted(identity for identity, row in rows.items() if row["partition"] == "lang_de")[:3]
    with job.client() as client:
        client.delete(COLLECTION, ids=lost, partition_name="lang_de")
    assert len(job.rows()) == 9
    ENCODED.clear()
    record = job.run()
    assert ENCODED == []
    assert document_counts(record)[1] == 0
    assert record["exit_code"] == 0
    assert job.rows() == rows


def test_a_foreign_row_does_not_balance_and_its_partition_is_named(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.write("a.jsonl", [document("d0", lang="en"), document("d1", lang="de")])
    job.run()
    foreign = {
        **dict.fromkeys(("document_id", "text", "language", "chunk_language", "script", "source", "date"), ""),
        **dict.fromkeys(("ordinal", "start", "end", "tokens"), 0),
        **dict.fromkeys(("language_score", "chunk_language_score", "unknown_fraction"), 0.0),
        "id": "f" * 32,
        "metadata": {},
        "dense": [1.0] + [0.0] * (DIMENSIONS - 1),
    }
    with job.client() as client:
        client.insert(COLLECTION, [foreign], partition_name="lang_de")
    capsys.readouterr()
    assert job.main() == 5
    output = capsys.readouterr().out
    assert "DOES NOT BALANCE: partition lang_de: 1 rows in the ledger != 2 counted in Milvus" in output
    with job.client() as client:
        client.delete(COLLECTION, ids=["f" * 32], partition_name="lang_de")
    assert job.main() == 0
    assert {row["document_id"] for row in job.rows().values()} == {"d0", "d1"}


def test_what_was_encoded_before_the_encoder_died_is_stored(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors are stored as they come, not when the last of them is made."""
    job.write("a.jsonl", [document(f"d{number}") for number in range(60)])
    with monkeypatch.context() as patch:
        patch.setattr(FakeEncoder, "encode", _fails(4, FakeEncoder.encode))
        assert job.main() == 6
    before = len(ENCODED)
    assert (
        len(list(job.workspace.glob("dataset/*/*.parquet"))) == 3
    )  # of the fourth bucket's vectors the worker knew only
    ENCODED.clear()
    record = job.run()
    assert 0 < 60 - len(ENCODED) < before
    assert (row_counts(record), record["exit_code"]) == ((60, 60, 0, 0), 0)
