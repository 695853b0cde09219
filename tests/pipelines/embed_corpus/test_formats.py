"""A corpus of every format that needs no extra, in every compression, read by one run."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tests.pipelines.jobs import Job, document_counts

WET = """WARC/1.0\r
WARC-Type: conversion\r
WARC-Target-URI: https://example.org/\r
WARC-Date: 2026-03-01T00:00:00Z\r
WARC-Record-ID: <urn:uuid:1>\r
Content-Type: text/plain\r
Content-Length: 20\r
\r
Rivers run to seas.\n\r
\r
"""


def make_corpus(folder: Path) -> dict[str, str]:
    """Files of every format; gives the ids of their documents and the texts."""
    (folder / "deep" / "er").mkdir(parents=True)
    row = {"id": "parquet", "content": {"text": "A river in a table."}}
    pq.write_table(pa.Table.from_pylist([{"id": "parquet", "text": "A river in a table."}]), folder / "a.parquet")
    (folder / "b.jsonl.gz").write_bytes(
        gzip.compress(json.dumps({"id": "lines", "text": "A river in lines."}).encode())
    )
    (folder / "c.json.bz2").write_bytes(
        bz2.compress(json.dumps([{"id": "array", "text": "A river in an array."}, row]).encode())
    )
    (folder / "d.csv.xz").write_bytes(lzma.compress(b'id,text,lang\ncsv,"A river,\nin cells.",en\n'))
    (folder / "e.tsv").write_text("id\ttext\ntsv\tA river in tabs.\n", encoding="utf-16")
    (folder / "deep" / "f.txt.zst").write_bytes(zstandard.compress(b"A river in a file."))
    (folder / "deep" / "er" / "g.md").write_text("# A river\n\nin Markdown.\n", encoding="utf-8")
    (folder / "h.warc.wet").write_bytes(WET.encode())
    (folder / "i.jsonl").write_bytes(gzip.compress(b'{"id": "liar", "text": "A river under a wrong name."}\n'))
    return {
        "parquet": "A river in a table.",
        "lines": "A river in lines.",
        "array": "A river in an array.",
        "csv": "A river,\nin cells.",
        "tsv": "A river in tabs.",
        str(folder / "deep" / "f.txt.zst"): "A river in a file.",
        str(folder / "deep" / "er" / "g.md"): "# A river\n\nin Markdown.",
        "<urn:uuid:1>": "Rivers run to seas.",
        "liar": "A river under a wrong name.",
    }


def test_files_of_every_format_and_compression_become_rows(job: Job) -> None:
    texts = make_corpus(job.corpus)

    record = job.run(input=f"{job.corpus}/")

    assert {row["document_id"]: row["text"] for row in job.rows().values()} == texts
    assert document_counts(record) == (10, 9, 0, 0, 1)
    (reject,) = job.rejects(record)
    assert (reject["reason"], reject["document_id"], Path(reject["source"]).name) == (
        "missing_column",
        "parquet",
        "c.json.bz2",
    )
    metadata = {row["document_id"]: row["metadata"] for row in job.rows().values()}
    assert metadata[str(job.corpus / "deep" / "er" / "g.md")]["format"] == "markdown"
