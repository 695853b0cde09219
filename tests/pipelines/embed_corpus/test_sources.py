"""Where documents come from and which are taken: object storage end to end, scheduled windows, samples, files that change."""

import gzip
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.configuration import options
from pipelines.preflight.run_plan import Plan
from pipelines.watching.summary import summarise
from tests.fakes import ENCODED
from tests.pipelines.jobs import Job, Row, document, document_counts, row_counts, story
from tests.servers import Store
from transforms.adapters.storage import list_names, read_bytes


def lines(*documents: Row) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in documents)


def parquet(*documents: Row) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(documents)), stream)
    return stream.getvalue()


def held(job: Job) -> set[str]:
    return {row["document_id"] for row in job.rows().values()}


# --- object storage ---


def test_a_run_from_and_to_object_storage_is_repeated_without_encoding(job: Job, store: Store) -> None:
    store.put("in/a.jsonl", lines(document("d0", story("d0", 3)), document("empty", "")))
    store.put("in/2026/b.jsonl.gz", gzip.compress(lines(document("d1", lang="de"))))
    store.put("in/2026/c.parquet", parquet(document("d2"), document("d3")))
    store.put("in/_SUCCESS", b"")
    places = {"input": f"{store.root}/in/", "workspace": f"{store.root}/workspace"}

    record = job.run(**places)
    assert (record["exit_code"], document_counts(record)) == (3, (5, 4, 0, 0, 1))
    assert record["files"] == {"planned": 3, "rejected": 0, "left_out": 1}
    assert held(job) == {"d0", "d1", "d2", "d3"}
    assert {row["source"] for row in job.rows().values()} == {
        f"{store.root}/in/{name}" for name in ("a.jsonl", "2026/b.jsonl.gz", "2026/c.parquet")
    }
    (reject_file,) = record["reject_files"]
    (reject,) = pq.read_table(io.BytesIO(read_bytes(reject_file))).to_pylist()
    assert (reject["reason"], reject["source"]) == ("empty_text", f"{store.root}/in/a.jsonl")

    ENCODED.clear()
    again = job.run(**places)
    assert document_counts(again) == (5, 0, 0, 4, 1)
    assert row_counts(again) == (5, 0, 5, 0)
    assert (ENCODED, again["ledger"]) == ([], record["ledger"])

    stored = json.loads(read_bytes(f"{store.root}/workspace/runs/{again['run_id']}/run.json"))
    assert stored == again
    assert list_names(f"{store.root}/workspace") == []


# --- windows ---

DAYS = ("2026-02-28", "2026-03-01", "2026-03-02")


def write_days(job: Job) -> None:
    for day in DAYS:
        documents = [{**document(f"{day}-own"), "date": "1999-12-31"}, {**document(f"{day}-none"), "date": None}]
        job.write(f"{day.replace('-', '/')}/part.jsonl", documents)


def test_a_backfill_day_by_day_holds_what_one_run_over_all_days_holds(job: Job) -> None:
    write_days(job)
    template = f"{job.corpus}/{{date:%Y/%m/%d}}/*.jsonl"
    for number, day in enumerate(DAYS):
        until = DAYS[number + 1] if number + 1 < len(DAYS) else "2026-03-03"
        record = job.run(input=template, date_from=day, date_to=until)
        assert record["left_out"] == {"documents": {}, "files": {"date": 2}}
        assert document_counts(record)[:2] == (2, 2)
        assert held(job) == {f"{one}-{kind}" for one in DAYS[: number + 1] for kind in ("own", "none")}
    job.run(input=template, collection="whole")
    assert job.rows("whole") == job.rows()
    assert {row["document_id"]: row["date"] for row in job.rows().values()} == {
        **{f"{day}-own": "1999-12-31" for day in DAYS},
        **{f"{day}-none": day for day in DAYS},
    }


def test_a_day_without_files_is_an_empty_run(job: Job) -> None:
    write_days(job)
    record = job.run(input=f"{job.corpus}/{{date:%Y/%m/%d}}/", date_from="2026-03-04")
    assert (record["exit_code"], document_counts(record)) == (0, (0, 0, 0, 0, 0))
    assert record["files"] == {"planned": 0, "rejected": 0, "left_out": 3}


def test_windows_on_a_column_leave_documents_out_and_say_so(job: Job) -> None:
    dates = ["2026-03-01", "2026-02-28T23:30:00-01:00", "2026-03-02", "yesterday", None, "2026-03-01T23:59:59.9Z"]
    job.write("a.jsonl", [{**document(f"d{number}"), "date": date} for number, date in enumerate(dates)])
    record = job.run(date_from="2026-03-01", date_to="2026-03-02")
    assert held(job) == {"d0", "d1", "d5"}
    assert record["documents"]["left_out"] == 3
    assert record["left_out"]["documents"] == {"date": 1, "date_missing": 2}
    assert record["exit_code"] == 0


# --- samples and limits ---


def test_a_larger_sample_encodes_only_what_is_new(job: Job) -> None:
    job.write("a.jsonl", [document(f"d{number}") for number in range(40)])
    small = job.run(sample=0.3)
    few = held(job)
    large = job.run(sample=0.6)
    many = held(job)
    assert few < many
    assert small["left_out"]["documents"] == {"sample": 40 - len(few)}
    assert document_counts(large) == (40, len(many) - len(few), 0, len(few), 0)


def test_a_limit_takes_the_first_documents_and_leaves_the_other_files_unread(job: Job) -> None:
    for name in ("a", "b", "c", "d"):
        job.write(f"{name}.jsonl", [document(f"{name}{number}") for number in range(3)])
    record = job.run(limit=5)
    assert held(job) == {"a0", "a1", "a2", "b0", "b1"}
    assert document_counts(record) == (6, 5, 0, 0, 0)
    assert record["left_out"] == {"documents": {"limit": 1}, "files": {"limit": 2}}
    assert record["files"] == {"planned": 4, "rejected": 0, "left_out": 2}
    assert (record["differences"], record["exit_code"]) == ([], 0)
    shown = summarise(record, options.to_config(job.options(limit=5)))
    assert "  left out    1 documents (limit 1), 2 files (limit 2)\n" in shown


def test_all_selections_together_balance(job: Job) -> None:
    for number in range(30):
        dated = {**document(f"d{number}"), "date": f"2026-03-{1 + number % 3:02}" if number % 5 else "?"}
        job.write(f"{number:02}.jsonl", [dated, document(f"empty{number}", ""), {**dated, "id": f"e{number}"}])
    job.write("left.tmp", [document("never")])
    chosen: dict[str, Any] = {"date_from": "2026-03-02", "sample": 0.7, "limit": 12, "exclude": "*.tmp"}
    record = job.run("--direct_num_workers=2", "--direct_running_mode=multi_threading", **chosen)
    counts = record["documents"]
    assert (counts["embedded"] + counts["reused"], record["differences"]) == (12, [])
    assert counts["read"] == 12 + counts["rejected"] + counts["left_out"]
    assert counts["left_out"] == sum(record["left_out"]["documents"].values())
    assert set(record["left_out"]["documents"]) >= {"date", "date_missing", "sample"}
    assert record["left_out"]["files"].keys() == {"excluded", "limit"}


# --- files that change ---


def test_a_file_that_changes_under_a_run_is_named_and_mended_by_the_next(job: Job) -> None:
    job.write("a.jsonl", [document("a")])
    job.write("b.jsonl", [document("old")])

    def overtake(plan: Plan) -> Plan:
        job.write("b.jsonl", [document("new"), document("newer")])
        return plan

    record = job.run_plan(overtake)
    assert held(job) == {"a"}
    assert (record["rejects"], record["files"]["rejected"]) == ({"file.changed_file": 1}, 1)
    (reject,) = job.rejects(record)
    assert reject["detail"].startswith(f"{job.corpus}/b.jsonl was listed as ")
    assert record["exit_code"] == 3
    assert job.run()["exit_code"] == 0
    assert held(job) == {"a", "new", "newer"}
