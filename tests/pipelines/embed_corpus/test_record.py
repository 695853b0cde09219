"""The run record: every figure of a run, in one file of a fixed shape."""

import json
from importlib.metadata import version
from typing import Any

import pytest

from tests.pipelines.jobs import COLLECTION, DIMENSIONS, Job, document, story

STAGES = ["read", "identify", "split", "reuse", "embed", "store", "reconcile", "load", "compress", "write", "delete"]

SHAPE: dict[str, Any] = {
    "format": int,
    "run_id": str,
    "documents": {"read": int, "embedded": int, "reused": int, "unchanged": int, "rejected": int},
    "files": {"planned": int, "rejected": int},
    "rejects": {"record.empty_text": int},
    "chunks": {"split": int, "rejected": int},
    "tokens": int,
    "vectors": {"encoded": int, "reused": int},
    "rows": {"held": int, "written": int, "unchanged": int, "deleted": int},
    "partitions": {name: {"expected": int, "milvus": int} for name in ("lang_de", "lang_en")},
    "languages": {name: {"documents": int, "chunks": int, "tokens": int} for name in ("de", "en")},
    "stages": {name: {"seconds": float, "tokens": int, "tokens_per_second": float} for name in STAGES},
    "seconds": float,
    "started_at": str,
    "model": {"name": str, "revision": type(None), "files_digest": str, "dtype": str},
    "embedding_space": str,
    "representation": {"dimensions": int, "vector_type": str, "metric": str},
    "configuration": {
        "source": {
            "input": list,
            "id_column": str,
            "text_column": str,
            "language_column": str,
            "date_column": str,
            "metadata_columns": type(None),
            "max_document_bytes": int,
        },
        "language": {"partition_by": str, "languages": list},
        "chunking": {"max_tokens": int, "overlap": int},
        "encoding": {
            "model": str,
            "revision": type(None),
            "dtype": str,
            "document_prompt": type(None),
            "query_prompt": type(None),
        },
        "representation": {"dimensions": type(None), "vector_type": str},
        "storage": {"workspace": str, "milvus": str, "collection": str, "milvus_token_env": type(None)},
        "run": {"max_reject_fraction": float, "logical_date": type(None)},
    },
    "versions": dict.fromkeys(
        (
            "python",
            "corpus-embed",
            "apache-beam",
            "torch",
            "transformers",
            "sentence-transformers",
            "tokenizers",
            "pymilvus",
            "pyarrow",
            "pycld2",
        ),
        str,
    ),
    "differences": list,
    "reject_fraction": float,
    "exit_code": int,
    "status": str,
    "reject_files": list,
    "ledger": int,
}


def _shape(value: Any) -> Any:
    return {name: _shape(item) for name, item in value.items()} if isinstance(value, dict) else type(value)


@pytest.fixture
def record(job: Job) -> dict[str, Any]:
    job.write("a.jsonl", [document("d0", story("d0", 4)), document("d1", story("d1", 2), lang="de")])
    job.run()
    job.write("a.jsonl", [document("d0", story("d0", 2)), document("d1", story("d1", 3), lang="de"), document("e", "")])
    record = job.run()
    stored = json.loads((job.workspace / "runs" / record["run_id"] / "run.json").read_bytes())
    assert stored == record
    return record


def test_shape_of_the_record_is_fixed(record: dict[str, Any]) -> None:
    assert _shape(record) == SHAPE


def test_figures_of_the_record_are_those_of_the_run(record: dict[str, Any], job: Job) -> None:
    assert record["documents"] == {"read": 3, "embedded": 1, "reused": 1, "unchanged": 0, "rejected": 1}
    assert record["chunks"] == {"split": 3, "rejected": 0}
    assert record["vectors"] == {"encoded": 1, "reused": 0}
    assert record["rows"] == {"held": 3, "written": 1, "unchanged": 2, "deleted": 1}
    rows = job.rows().values()
    assert record["tokens"] == sum(row["tokens"] for row in rows)
    assert record["partitions"] == {
        name: {"expected": count, "milvus": count}
        for name, count in {
            name: sum(row["partition"] == name for row in rows) for name in ("lang_de", "lang_en")
        }.items()
    }
    assert record["rejects"] == {"record.empty_text": 1}
    assert record["reject_fraction"] == pytest.approx(1 / 3, abs=1e-5)
    assert (record["exit_code"], record["ledger"], record["format"]) == (3, 2, 1)
    assert record["status"] == "complete with rejects under the limit"
    assert record["representation"] == {"dimensions": DIMENSIONS, "vector_type": "float32", "metric": "COSINE"}
    assert record["configuration"]["storage"]["collection"] == COLLECTION
    assert record["versions"]["apache-beam"] == version("apache-beam")
    assert record["stages"]["embed"]["tokens"] == 11
    assert 0 < record["stages"]["split"]["seconds"] <= record["seconds"]


def test_fields_of_the_collection_are_those_of_the_interface(job: Job) -> None:
    job.write("a.jsonl", [document("d0", story("d0", 3), title="A title", depth=3, date="2026-03-01")])
    job.run()
    with job.client() as client:
        described = client.describe_collection(COLLECTION)
    assert [field["name"] for field in described["fields"]] == [
        "id",
        "document_id",
        "ordinal",
        "start",
        "end",
        "text",
        "language",
        "script",
        "tokens",
        "source",
        "date",
        "metadata",
        "dense",
    ]
    second = next(row for row in job.rows().values() if row["ordinal"] == 1)
    text = story("d0", 3)
    assert len(second["id"]) == 32
    assert int(second["id"], 16) >= 0
    assert second["text"] == text[second["start"] : second["end"]]
    assert {name: second[name] for name in ("document_id", "language", "script", "tokens", "date", "metadata")} == {
        "document_id": "d0",
        "language": "en",
        "script": "Latn",
        "tokens": 11,
        "date": "2026-03-01",
        "metadata": {"title": "A title", "depth": 3},
    }
    assert second["source"] == f"{job.corpus}/a.jsonl"
