"""The run record: every figure of a run, in one file of a fixed shape."""

import json
from importlib.metadata import version
from typing import Any

import pytest

from pipelines.configuration import options
from pipelines.configuration.config import Config
from tests.pipelines.jobs import COLLECTION, DIMENSIONS, Job, document, story
from transforms.adapters.milvus import Collection, CollectionSpace, Target, release, served

STAGES = [
    *("read", "recognise", "identify", "split", "reuse", "embed", "share", "store"),
    *("reconcile", "load", "label", "compress", "write", "delete"),
]

LANGUAGE = {
    **dict.fromkeys(("documents", "mixed", "chunks", "tokens", "characters", "bytes"), int),
    **dict.fromkeys(("unknown_tokens", "unknown_chunks", "rejects"), int),
    **dict.fromkeys(
        ("tokens_per_character", "tokens_per_byte", "chunks_per_document", "unknown_fraction", "premium"), float
    ),
}

SELECTION: dict[str, Any] = {"sample": 0.8, "exclude": "c.*"}
SAMPLED_OUT = "x5"
"""An id outside that sample; those of the other documents lie inside."""

SHAPE: dict[str, Any] = {
    "format": int,
    "run_id": str,
    "documents": dict.fromkeys(("read", "embedded", "reused", "unchanged", "rejected", "left_out", "gone"), int),
    "files": {"planned": int, "rejected": int, "left_out": int},
    "left_out": {"documents": {"sample": int}, "files": {"excluded": int}},
    "rejects": {"record.empty_text": int},
    "encodings": {},
    "chunks": dict.fromkeys(("split", "duplicates", "hot", "unknown", "truncated", "rejected"), int),
    "tokens": int,
    "vectors": {"encoded": int, "reused": int},
    "checksum": str,
    "mirror": type(None),
    "verification": {
        "form": str,
        **dict.fromkeys(("ledger", "rows", "ids_compared", "rows_compared", "vectors_exact", "searched"), int),
        "recall": {},
        "findings": list,
    },
    "budget_reductions": int,
    "rows": {"held": int, "written": int, "rejected": int, "unchanged": int, "deleted": int},
    "partitions": {name: {"expected": int, "milvus": int} for name in ("lang_de", "lang_en")},
    "languages": dict.fromkeys(("de", "en"), LANGUAGE),
    "stages": {
        **{name: {"seconds": float, "tokens": int, "tokens_per_second": float} for name in STAGES},
        "embed": {
            **dict.fromkeys(("seconds", "tokens_per_second", "device_seconds"), float),
            **dict.fromkeys(("tokens", "computed_tokens", "padding_tokens"), int),
        },
        # Loading has no tokens; nothing was there to share, nor to label.
        "model": {"seconds": float, "tokens": int, "tokens_per_second": type(None)},
        "share": {"seconds": float, "tokens": int, "tokens_per_second": type(None)},
        "label": {"seconds": float, "tokens": int, "tokens_per_second": type(None)},
    },
    "lengths": {"chunks": list, "documents": list},
    "timeline": list,
    "slowest": list,
    "seconds": float,
    "started_at": str,
    "model": {
        "name": str,
        "revision": type(None),
        "files_digest": str,
        "files": dict.fromkeys(
            (
                "1_Pooling/config.json",
                "config.json",
                "config_sentence_transformers.json",
                "model.safetensors",
                "modules.json",
                "tokenizer.json",
            ),
            str,
        ),
    },
    "embedding_space": str,
    "computation": {"dtype": str, "device": str, "outputs": list},
    "representation": {
        "outputs": list,
        "vector_type": str,
        "dimensions": int,
        "metric": str,
        "calibration": type(None),
        "projection": type(None),
        "measured": list,
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
            "kitoken",
            "pymilvus",
            "pyarrow",
            "pycld2",
            "langcodes",
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
    job.write("b.jsonl", [document(SAMPLED_OUT)])
    job.write("c.jsonl", [document("never read")])
    record = job.run(**SELECTION)
    stored = json.loads((job.workspace / "runs" / record["run_id"] / "run.json").read_bytes())
    assert stored == record
    return record


def test_shape_of_the_record_is_fixed(record: dict[str, Any]) -> None:
    others = {name: value for name, value in record.items() if name not in {"configuration", "collection_space"}}
    assert _shape(others) == SHAPE


def test_the_record_says_what_the_collection_records_about_itself(job: Job, record: dict[str, Any]) -> None:
    collection = Collection(served(Target(str(job.milvus), COLLECTION)))
    try:
        assert CollectionSpace.from_json(json.dumps(record["collection_space"])) == collection.space()
    finally:
        collection.close()
        release(str(job.milvus))


def test_the_configuration_of_the_record_is_that_of_the_run(record: dict[str, Any], job: Job) -> None:
    config = options.to_config(job.options(**SELECTION))
    assert Config.model_validate(record["configuration"]) == config
    assert record["configuration"] == config.model_dump(mode="json")


def test_figures_of_the_record_are_those_of_the_run(record: dict[str, Any], job: Job) -> None:
    outcomes = {"embedded": 1, "reused": 1, "unchanged": 0, "rejected": 1, "left_out": 1, "gone": 0}
    assert record["documents"] == {"read": 4, **outcomes}
    assert record["files"] == {"planned": 2, "rejected": 0, "left_out": 1}
    assert record["left_out"] == {"documents": {"sample": 1}, "files": {"excluded": 1}}
    assert (record["chunks"]["split"], record["chunks"]["rejected"]) == (3, 0)
    assert record["vectors"] == {"encoded": 1, "reused": 0}
    assert record["rows"] == {"held": 3, "written": 1, "rejected": 0, "unchanged": 2, "deleted": 1}
    rows = job.rows().values()
    assert record["tokens"] == sum(row["tokens"] for row in rows)
    assert record["partitions"] == {
        name: {"expected": count, "milvus": count}
        for name, count in {
            name: sum(row["partition"] == name for row in rows) for name in ("lang_de", "lang_en")
        }.items()
    }
    assert record["rejects"] == {"record.empty_text": 1}
    assert record["reject_fraction"] == pytest.approx(1 / 4, abs=1e-5)
    assert (record["exit_code"], record["ledger"], record["format"]) == (3, 2, 1)
    assert record["status"] == "complete with rejects under the limit"
    assert record["representation"] == {
        "outputs": ["dense"],
        "vector_type": "float32",
        "dimensions": DIMENSIONS,
        "metric": "COSINE",
        "calibration": None,
        "projection": None,
        "measured": [],
    }
    assert record["computation"] == {"dtype": "bfloat16", "device": "auto", "outputs": ["dense"]}
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
        "language_score",
        "chunk_language",
        "chunk_language_score",
        "tokens",
        "unknown_fraction",
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
