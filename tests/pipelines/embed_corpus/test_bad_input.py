"""One bad thing harms itself only, and is accounted for with its reason and place."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipelines.jobs import Job, document, document_counts, row_counts, story

BIG_BYTES = 50_000_000
SPOILT = "A poison sentence of twelve tokens stands at the very end."
MENDED = SPOILT.replace("poison", "mended")


def _write_bad_corpus(job: Job) -> None:
    good = [document(f"good{number}") for number in range(4)]
    job.write(
        "a.jsonl",
        [
            good[0],
            document("empty", ""),
            document("null") | {"text": None},
            document("number") | {"text": 12345},
            b'{"id": "latin", "text": "caf\xe9"}',
            document("controls", "\u0001\u0002\u0007"),
            {"text": "no id here"},
            document("list") | {"id": ["a", "list"]},
            {"id": "textless", "lang": "en"},
            b'{"id": "cut off", "text": "this line stops',
            b'["an", "array"]',
            good[1],
        ],
    )
    job.write("big.jsonl", [document("big", "word " * (BIG_BYTES // 5)), good[2]])
    whole = gzip.compress(b"".join(json.dumps(document(f"lost{n}")).encode() + b"\n" for n in range(2000)), mtime=0)
    (job.corpus / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (job.corpus / "not.jsonl.gz").write_bytes(b"this is no gzip")
    pq.write_table(
        pa.table({"id": ["p"], "body": ["the text column has another name"]}), job.corpus / "columns.parquet"
    )
    (job.corpus / "broken.parquet").write_bytes(b"PAR1 and no footer")
    job.write("fine.parquet", [good[3]])


def test_every_bad_input_is_a_reject_and_its_neighbours_live(job: Job) -> None:
    _write_bad_corpus(job)
    record = job.run(max_reject_fraction=0.9)
    rejects = job.rejects(record)
    lines = (job.corpus / "a.jsonl").read_bytes().split(b"\n")
    offsets = [sum(len(line) + 1 for line in lines[:number]) for number in range(len(lines))]
    found = {
        (Path(row["source"]).name, row["locator"], row["reason"], row["level"], row["document_id"]) for row in rejects
    }
    assert found == {
        ("a.jsonl", f"byte {offsets[1]}", "empty_text", "record", "empty"),
        ("a.jsonl", f"byte {offsets[2]}", "empty_text", "record", "null"),
        ("a.jsonl", f"byte {offsets[3]}", "wrong_type", "record", "number"),
        ("a.jsonl", f"byte {offsets[4]}", "bad_encoding", "record", None),
        ("a.jsonl", f"byte {offsets[5]}", "empty_text", "record", "controls"),
        ("a.jsonl", f"byte {offsets[6]}", "missing_id", "record", None),
        ("a.jsonl", f"byte {offsets[7]}", "wrong_type", "record", None),
        ("a.jsonl", f"byte {offsets[8]}", "missing_column", "record", "textless"),
        ("a.jsonl", f"byte {offsets[9]}", "malformed_record", "record", None),
        ("a.jsonl", f"byte {offsets[10]}", "wrong_type", "record", None),
        ("big.jsonl", "byte 0", "too_large", "record", "big"),
        ("cut.jsonl.gz", "", "unreadable_file", "file", None),
        ("not.jsonl.gz", "", "unreadable_file", "file", None),
        ("columns.parquet", "", "missing_column", "file", None),
        ("broken.parquet", "", "unreadable_file", "file", None),
    }
    assert len(rejects) == len(found)
    assert all(row["detail"] and len(row["hash"]) == 32 for row in rejects)
    by_id = {row["document_id"]: row for row in rejects}
    assert by_id["big"]["length_bytes"] > BIG_BYTES
    # No reject quotes the text.
    assert not any("caf" in row["detail"] or "stops" in row["detail"] for row in rejects)
    assert record["rejects"] == {
        "file.missing_column": 1,
        "file.unreadable_file": 3,
        "record.bad_encoding": 1,
        "record.empty_text": 3,
        "record.malformed_record": 1,
        "record.missing_column": 1,
        "record.missing_id": 1,
        "record.too_large": 1,
        "record.wrong_type": 3,
    }
    read, embedded, reused, unchanged, rejected = document_counts(record)
    assert (reused, unchanged, rejected) == (0, 0, 11)
    assert read == embedded + rejected
    assert record["files"] == {"planned": 7, "rejected": 4, "left_out": 0}
    assert record["differences"] == []
    live = {row["document_id"] for row in job.rows().values()}
    assert {"good0", "good1", "good2", "good3"} <= live
    # Of a file that breaks off, the part before the break stands.
    assert live - {"good0", "good1", "good2", "good3"} == {f"lost{number}" for number in range(embedded - 4)}


@pytest.mark.parametrize(("limit", "code"), [(0.5, 3), (0.25, 3), (0.2, 4), (0.0, 4)])
def test_limit_of_rejects_decides_the_exit_code(job: Job, limit: float, code: int) -> None:
    job.write("a.jsonl", [document("empty", ""), *(document(f"good{number}") for number in range(3))])
    assert job.main(max_reject_fraction=limit) == code
    assert {row["document_id"] for row in job.rows().values()} == {"good0", "good1", "good2"}


def test_no_reject_is_exit_code_0_at_any_limit(job: Job) -> None:
    job.write("a.jsonl", [document("good")])
    assert job.main(max_reject_fraction=0) == 0


def test_a_chunk_without_a_sound_vector_is_rejected_alone(job: Job) -> None:
    spoilt = f"{story('spoilt', 2)} {'A poison sentence of ten words stands here all alone. ' * 2}{story('tail', 2)}"
    job.write(
        "a.jsonl", [document("spoilt", spoilt), document("all", "This is poison."), document("good", story("good", 3))]
    )
    record = job.run()
    assert record["rejects"] == {"chunk.bad_vector": 2}
    assert (record["chunks"]["split"], record["chunks"]["rejected"]) == (6, 2)
    assert document_counts(record) == (3, 2, 0, 0, 1)
    assert row_counts(record) == (4, 4, 0, 0)
    assert record["vectors"] == {"encoded": 4, "reused": 0}
    assert record["reject_fraction"] == pytest.approx(1 / 3, abs=1e-5)
    assert set(job.texts()) == {("spoilt", 0), ("spoilt", 2), ("good", 0), ("good", 1)}
    assert [(row["document_id"], row["level"], row["stage"], row["reason"]) for row in job.rejects(record)] == [
        ("spoilt", "chunk", "embed", "bad_vector"),
        ("all", "chunk", "embed", "bad_vector"),
    ]


def test_copies_of_a_chunk_without_a_sound_vector_are_all_rejected(job: Job) -> None:
    job.write("a.jsonl", [document(f"copy{number}", "This is poison.") for number in range(3)] + [document("good")])
    record = job.run(max_reject_fraction=0.9)
    assert record["rejects"] == {"chunk.bad_vector": 3}
    assert document_counts(record) == (4, 1, 0, 0, 3)
    assert record["differences"] == []
    assert {row["document_id"] for row in job.rows().values()} == {"good"}


def test_a_mended_chunk_is_embedded_by_the_next_run(job: Job) -> None:
    job.write("a.jsonl", [document("d", f"{story('d', 2)} {SPOILT}"), document("e")])
    assert job.run()["rejects"] == {"chunk.bad_vector": 1}
    job.write("a.jsonl", [document("d", f"{story('d', 2)} {MENDED}"), document("e")])
    record = job.run()
    assert (record["rejects"], record["exit_code"]) == ({}, 0)
    assert job.texts()["d", 1] == MENDED


def test_a_document_that_turns_bad_keeps_no_stale_rows_of_its_bad_chunks(job: Job) -> None:
    job.write("a.jsonl", [document("d", story("d", 4)), document("e")])
    job.run()
    job.write("a.jsonl", [document("d", f"{story('d', 2)} {SPOILT}"), document("e")])
    record = job.run()
    assert row_counts(record) == (2, 0, 2, 1)
    assert set(job.texts()) == {("d", 0), ("e", 0)}


def test_a_corpus_of_rejects_only_balances(job: Job) -> None:
    job.write("a.jsonl", [document("empty", ""), b"no json"])
    record = job.run(max_reject_fraction=1)
    assert (record["exit_code"], record["differences"]) == (3, [])
    assert document_counts(record) == (2, 0, 0, 0, 2)
    assert job.rows() == {}


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.parquet", "empty.jsonl.gz"])
def test_an_empty_file_is_a_run_without_documents(job: Job, name: str) -> None:
    job.write(name, [])
    if name.endswith(".parquet"):
        pq.write_table(
            pa.table({"id": pa.array([], pa.string()), "text": pa.array([], pa.string())}), job.corpus / name
        )
    record: dict[str, Any] = job.run()
    assert (record["exit_code"], document_counts(record)) == (0, (0, 0, 0, 0, 0))
