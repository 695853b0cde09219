"""A mirrored collection loses what its source lost, unless the source may be incomplete or shrank too much."""

import json

import pytest

from tests.fakes import ENCODED
from tests.pipelines.jobs import Job, document, document_counts, row_counts, story
from transforms.adapters.milvus import Collection
from transforms.logic.errors import TransientError

LANGUAGES = ("en", "de", "fr")


def _documents(*numbers: int) -> list[dict[str, object]]:
    return [
        document(f"d{number}", story(f"d{number}", 4), lang=LANGUAGES[number % len(LANGUAGES)]) for number in numbers
    ]


def _held(job: Job) -> set[str]:
    return {row["document_id"] for row in job.rows().values()}


@pytest.fixture
def filled(job: Job) -> Job:
    """A job that ran over ten documents of two chunks each."""
    job.write("a.jsonl", _documents(*range(5)))
    job.write("b.jsonl", _documents(*range(5, 10)))
    job.run()
    ENCODED.clear()
    return job


@pytest.mark.parametrize("beam_flags", [[], ["--direct_runner_bundle_repeat=1"]], ids=["", "every bundle twice"])
def test_documents_gone_from_the_source_are_deleted_with_all_their_rows(filled: Job, beam_flags: list[str]) -> None:
    """They were in two partitions; of what stays one document is new, one changed and one rejected as it is now."""
    filled.write("b.jsonl", _documents(5, 6, 7))
    filled.write(
        "a.jsonl", [*_documents(0, 1, 2), document("d3", "", lang="en"), document("d4", story("new", 2), lang="de")]
    )
    filled.write("c.jsonl", _documents(10))
    record = filled.run(*beam_flags, mirror=True, max_delete_fraction=0.2)

    assert record["mirror"] == {"held": 10, "gone": 2, "unread": 0, "outcome": "deleted", "deleted": 2}
    assert (record["documents"]["gone"], record["exit_code"], record["differences"]) == (2, 3, [])
    # Of d8 and d9 two rows each, and the tail of d4.
    assert record["rows"]["deleted"] == 5
    assert _held(filled) == {f"d{number}" for number in (*range(8), 10)}
    again = filled.run(mirror=True)
    assert (row_counts(again), again["mirror"]["gone"], again["ledger"]) == ((17, 0, 17, 0), 0, record["ledger"])


def test_without_the_option_they_stay(filled: Job) -> None:
    filled.write("b.jsonl", _documents(5))
    record = filled.run()
    assert (record["mirror"], record["documents"]["gone"], record["rows"]["deleted"]) == (None, 0, 0)
    assert len(_held(filled)) == 10


def test_above_the_limit_nothing_is_deleted_and_the_exit_code_says_so(
    filled: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    filled.write("b.jsonl", _documents(5, 6, 7, 11))
    capsys.readouterr()
    assert filled.main("--mirror") == 7
    output = capsys.readouterr().out
    assert "deletes over the limit: nothing that is gone from the source was deleted (exit code 7)" in output
    assert "2 of 10 documents gone from the source: NOT DELETED: above --max-delete-fraction 0.1" in output
    # What is new is written all the same.
    assert _held(filled) == {f"d{number}" for number in (*range(10), 11)}
    assert filled.main("--mirror", max_delete_fraction=0.2) == 0
    assert "2 of 11 documents gone from the source: deleted" in capsys.readouterr().out
    assert _held(filled) == {f"d{number}" for number in (*range(8), 11)}


@pytest.mark.parametrize("spoilt", [b"not gzip", None])
def test_nothing_is_deleted_while_something_cannot_be_read(
    filled: Job, capsys: pytest.CaptureFixture[str], spoilt: bytes | None
) -> None:
    """A file, or a record without an id: any document may be in it."""
    filled.write("b.jsonl", _documents(5, 6, 7, 8) if spoilt else [*_documents(5, 6, 7, 8), b'{"id": "d9", "text'])
    if spoilt:
        (filled.corpus / "c.jsonl.gz").write_bytes(spoilt)
    capsys.readouterr()
    assert filled.main("--mirror") == 3
    assert "not deleted: 1 files or records that could not be read may hold them" in capsys.readouterr().out
    assert len(_held(filled)) == 10
    (filled.corpus / "c.jsonl.gz").unlink(missing_ok=True)
    filled.write("b.jsonl", _documents(5, 6, 7, 8))
    assert filled.main("--mirror") == 0
    assert _held(filled) == {f"d{number}" for number in range(9)}


def test_a_mirroring_run_that_dies_between_its_deletes_is_finished_by_the_next(
    filled: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.write("b.jsonl", _documents(5, 6))
    with monkeypatch.context() as patch:
        delete, calls = Collection.delete, iter(range(100))

        def failing(self: Collection, partition: str, ids: list[str]) -> None:
            if next(calls) >= 1:
                raise TransientError("the power is cut")
            delete(self, partition, ids)

        patch.setattr(Collection, "delete", failing)
        assert filled.main("--mirror", max_delete_fraction=0.5) == 6
    record = filled.run(mirror=True, max_delete_fraction=0.5)
    assert (record["exit_code"], record["differences"]) == (0, [])
    assert _held(filled) == {f"d{number}" for number in range(7)}
    assert ENCODED == []


def test_a_mirror_of_an_empty_collection_is_a_plain_run(job: Job) -> None:
    job.write("a.jsonl", _documents(0, 1))
    record = job.run(mirror=True)
    assert document_counts(record) == (2, 2, 0, 0, 0)
    assert record["mirror"] == {"held": 0, "gone": 0, "unread": 0, "outcome": "deleted", "deleted": 0}
    assert json.loads(json.dumps(record)) == record
