"""A row that Milvus does not take harms itself only: it is rejected, held by no ledger, and tried again by the next run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymilvus import MilvusException

from tests.pipelines.jobs import Job, document, row_counts, story
from transforms.adapters.milvus import Collection, RowList
from transforms.adapters.workspace import Workspace

BAD = "Something that this server will not have."


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets every request with a bad text be refused, as a server does, while the context lasts."""
    build = RowList.request

    def request(rows: RowList, described: Any, partition: str, start: int, stop: int) -> Any:
        if any(BAD in row["text"] for row in rows._rows[start:stop]):
            raise MilvusException(code=1100, message="invalid parameter")
        return build(rows, described, partition, start, stop)

    @contextmanager
    def refuse() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(RowList, "request", request)
            yield

    return refuse


def _held(job: Job) -> set[str]:
    """Ids that the ledger holds."""
    (ledgers,) = (job.workspace / "ledger").iterdir()
    workspace = Workspace(str(job.workspace), "", ledgers.name)
    ledger = workspace.latest_ledger()
    assert workspace.unsettled_intents(ledger) == []
    rows = [row for part in ledger.parts for row in workspace.read_ledger_part(part).to_pylist()]
    assert ledger.rows == len(rows)
    return {row["id"] for row in rows}


CORPUS = [document(f"d{number}", lang=("en", "de")[number % 2]) for number in range(30)]


def test_a_refused_row_is_a_reject_and_the_run_balances(job: Job, refusing: Any) -> None:
    job.write("a.jsonl", [*CORPUS, document("bad", story("bad", 4) + " " + BAD, lang="de")])
    with refusing():
        first = job.run()
        second = job.run()
    assert [first["differences"], second["differences"]] == [[], []]
    assert (first["exit_code"], second["exit_code"]) == (3, 3)
    # The other chunk of the bad document is good.
    assert (first["rows"]["rejected"], *row_counts(first)) == (1, 31, 31, 0, 0)
    assert (second["rows"]["rejected"], *row_counts(second)) == (1, 31, 0, 31, 0)
    assert (first["rejects"], first["checksum"]) == ({"chunk.refused_row": 1}, second["checksum"])
    (reject,) = job.rejects(first)
    assert (reject["document_id"], reject["stage"], reject["locator"]) == ("bad", "write", "chunk 1")
    assert (reject["level"], reject["detail"], reject["text"]) == ("chunk", "invalid parameter", None)
    assert ("bad", 1) not in job.texts()
    assert _held(job) == set(job.rows())


def test_it_is_written_when_the_server_takes_it(job: Job, refusing: Any) -> None:
    job.write("a.jsonl", [*CORPUS, document("bad", BAD, lang="de")])
    with refusing():
        job.run()
    record = job.run()
    assert (record["exit_code"], row_counts(record)) == (0, (31, 1, 30, 0))
    assert job.texts()["bad", 0] == BAD
    assert _held(job) == set(job.rows())
    assert row_counts(job.run()) == (31, 0, 31, 0)


def test_no_older_version_of_a_refused_row_stays(job: Job, refusing: Any) -> None:
    job.write("a.jsonl", [*CORPUS, document("changed", story("changed", 1), lang="de")])
    job.run()
    job.write("a.jsonl", [*CORPUS, document("changed", BAD, lang="de")])
    with refusing():
        record = job.run()
    assert (record["differences"], record["rows"]["rejected"]) == ([], 1)
    assert {name for name, _ in job.texts()} == {row["id"] for row in CORPUS}
    assert _held(job) == set(job.rows())


def test_a_text_above_what_the_field_holds_is_never_sent(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes: three of the letters are within the limit of characters."""
    monkeypatch.setattr(Collection, "max_bytes", lambda _: {"text": 80})
    job.write("a.jsonl", [*CORPUS, document("long", "я" * 41, lang="ru"), document("fits", "я" * 40, lang="ru")])
    record = job.run()
    assert (record["differences"], record["rejects"]) == ([], {"chunk.too_large": 1})
    (reject,) = job.rejects(record)
    assert (reject["document_id"], reject["detail"]) == ("long", "'text' has 82 bytes, the collection holds 80")
    assert ("fits", 0) in job.texts()
    assert _held(job) == set(job.rows())


def test_columns_leave_the_same_rows(job: Job) -> None:
    job.write("a.jsonl", CORPUS)
    job.run(collection="by_rows")
    job.run(collection="by_columns", write_path="columns", writers=1)
    assert job.rows("by_rows") == job.rows("by_columns") != {}
