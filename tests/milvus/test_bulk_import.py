"""The whole job by bulk import into the real Milvus 2.3.5, which neither removes duplicates nor converts vectors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from pipelines.configuration import options, sections
from pipelines.load_vectors import load
from pipelines.preflight.load_plan import Loading
from tests import fakes
from tests.pipelines.jobs import Job, document, make_model, row_counts, story
from transforms.adapters.milvus import Target
from transforms.logic.representations import VectorType

PREFIX = "bulk_import_"
pytestmark = [pytest.mark.milvus, pytest.mark.timeout(600)]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A corpus in three languages, with the fake encoder; Milvus's data node reads the job's own directory."""
    monkeypatch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
    job = Job(tmp_path, make_model(tmp_path / "model"))
    job.write(
        "a.jsonl",
        [document(f"{lang}{n}", story(f"{lang}{n}", 8), lang=lang) for lang in ("de", "en", "fr") for n in range(60)],
    )
    return job


@pytest.fixture(autouse=True)
def no_collections(milvus_235: str) -> Iterator[None]:
    """None of this file is there before a test, nor after it."""
    yield from _dropping(milvus_235)


def _dropping(address: str) -> Iterator[None]:
    client = MilvusClient(address)
    for last in (False, True):
        for name in client.list_collections():
            if name.startswith(PREFIX):
                client.drop_collection(name)
        if not last:
            yield
    client.close()


def _settings(job: Job, address: str, collection: str) -> dict[str, Any]:
    return {
        "milvus": address,
        "collection": collection,
        "write": "import",
        "import_storage": str(job.home / "imports"),
        "import_file_bytes": 1 << 20,
    }


def _rows(address: str, collection: str) -> dict[str, dict[str, Any]]:
    """Every row by id, with its partition; one that came twice is counted so."""
    client = MilvusClient(address)
    found: dict[str, dict[str, Any]] = {}
    for partition in client.list_partitions(collection):
        iterator = client.query_iterator(
            collection, filter='id != ""', partition_names=[partition], output_fields=["*"], batch_size=200
        )
        while batch := iterator.next():
            for row in batch:
                assert row["id"] not in found
                found[row["id"]] = {**row, "partition": partition}
        iterator.close()
    client.close()
    return found


@pytest.mark.parametrize("vector_type", ["float32", "binary"])
def test_imported_rows_are_those_that_an_upsert_writes(milvus_235: str, job: Job, vector_type: str) -> None:
    name = f"{PREFIX}{vector_type}"
    settings = _settings(job, milvus_235, f"{name}_import") | {"vector_type": vector_type}
    if vector_type == "binary":
        job.run(milvus=str(job.milvus), collection="for_calibration")
    imported = job.run(**settings)
    assert imported["differences"] == []
    assert row_counts(imported)[:2] == (720, 720)
    assert not list((job.home / "imports").rglob("*.parquet"))
    upserted = job.run(milvus=milvus_235, collection=f"{name}_upsert", vector_type=vector_type)
    assert upserted["vectors"]["encoded"] == 0
    assert upserted["partitions"] == imported["partitions"]
    ours, theirs = (_rows(milvus_235, f"{name}_{how}") for how in ("import", "upsert"))
    assert ours.keys() == theirs.keys()
    for identity, row in ours.items():
        assert {key: value for key, value in row.items() if key != "dense"} == {
            key: value for key, value in theirs[identity].items() if key != "dense"
        }
        assert np.array_equal(np.asarray(row["dense"]), np.asarray(theirs[identity]["dense"]))


def test_after_the_import_runs_upsert_what_changed(milvus_235: str, job: Job) -> None:
    settings = _settings(job, milvus_235, f"{PREFIX}then_upsert")
    assert row_counts(job.run(**settings))[:2] == (720, 720)
    assert row_counts(job.run(**settings)) == (720, 0, 720, 0)
    job.write("b.jsonl", [document("new", story("new", 8))])
    record = job.run(**settings)
    assert record["differences"] == []
    assert row_counts(record) == (724, 4, 720, 0)


@pytest.mark.parametrize("vector_type", ["float32", "binary"])
def test_a_load_by_import_leaves_the_rows_of_a_load_by_upsert(
    milvus_235: str, job: Job, vector_type: VectorType
) -> None:
    name = f"{PREFIX}load_{vector_type}"
    source = f"{PREFIX}source_{vector_type}"
    assert job.run(milvus=milvus_235, collection=source)["rows"]["held"] == 720
    by_import = sections.Loading(write="import", import_storage=str(job.home / "imports"), import_file_bytes=1 << 20)
    for how, loading in (("import", by_import), ("upsert", sections.Loading())):
        asked = Loading(
            workspace=str(job.workspace),
            source=source,
            target=Target(milvus_235, f"{name}_{how}"),
            representation=sections.Representation(vector_type=vector_type),
            loading=loading,
            verify="full",
        )
        record = load(asked, options.to_pipeline_options(["--runner=FnApiRunner"]))
        assert (record["exit_code"], row_counts(record)) == (0, (720, 720, 0, 0))
        assert record["verification"]["findings"] == []
        # What is there is upserted from now on.
        again = load(asked, options.to_pipeline_options(["--runner=FnApiRunner"]))
        assert (again["exit_code"], row_counts(again)) == (0, (720, 0, 720, 0))
    imported, upserted = (_rows(milvus_235, f"{name}_{how}") for how in ("import", "upsert"))
    assert imported.keys() == upserted.keys()
    for identity, row in imported.items():
        assert {**row, "dense": None} == {**upserted[identity], "dense": None}
        assert np.array_equal(np.asarray(row["dense"]), np.asarray(upserted[identity]["dense"]))
    assert not list((job.home / "imports").rglob("*.parquet"))
