"""The same corpus gives the same rows, however it is stored, ordered, bundled and run."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines import embed_corpus
from pipelines.configuration import options
from pipelines.preflight.run_plan import Plan, plan_run
from tests import fakes
from tests.conftest import ROOT
from tests.pipelines.jobs import Job, Row, document, story
from transforms.adapters.formats.groups import read_group
from transforms.adapters.milvus import release
from transforms.coders import RecordBatchCoder
from transforms.compress import compress_vectors
from transforms.identify import identify_language
from transforms.logic.filling import Made, fill_vectors, rows_to_encode
from transforms.logic.reuse import Known, reuse_vectors
from transforms.logic.rows import milvus_rows, stored_rows
from transforms.logic.schemas import CHUNKS, RECORDS, batch_of
from transforms.logic.vector_columns import list_views, to_columns
from transforms.logic.vectors import unit_rows
from transforms.split import split_into_chunks

CLAIMED = [f"claimed{number}" for number in range(5)]
"""Ids that every file of the corpus claims."""

MEASURED = {"seconds", "started_at", "stages", "timeline", "slowest"}

GERMAN = "Der Fluss fließt durch die alte Stadt und mündet weit im Norden in das kalte Meer."
RUSSIAN = "Река течёт через старый город и впадает далеко на севере в холодное море."
THAI = "แม่น้ำไหลผ่านเมืองเก่าและไหลลงสู่ทะเลอันหนาวเย็นทางตอนเหนือ"


def _corpus() -> list[list[Row]]:
    """Three files: several languages, long and short documents, copies, a poison chunk, and ids that two files claim."""
    return [
        [document(f"first{number}", story(f"first{number}", 1 + number % 7)) for number in range(20)]
        + [document("copy", story("original", 2))]
        + [document(name, story(f"{name} by the first", 3), lang="fr") for name in CLAIMED],
        [
            *(document(name, story(f"{name} by the second", 5)) for name in CLAIMED),
            document("original", story("original", 2), lang="de"),
            document("spoilt", f"{story('spoilt', 2)} A poison sentence stands here. {story('spoilt', 3)}"),
        ],
        [
            document("german", GERMAN, lang="de", title="Fluss", depth=3),
            document("russian", RUSSIAN, lang=""),
            document("thai", THAI, lang=""),
            document("numbers", "12345 67890 1, 2, 3", lang=""),
            document("decomposed", "Un re\u0301sume\u0301 du cafe\u0301.", lang="fr"),
            *(document(name, story(f"{name} by the third", 1)) for name in CLAIMED),
        ],
    ]


@dataclasses.dataclass(frozen=True)
class Reference:
    job: Job
    record: dict[str, Any]
    rows: dict[str, Row]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, small_model: Path) -> Iterator[Reference]:
    """The corpus run once, with the encoder patched for the whole module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
        job = Job(tmp_path_factory.mktemp("reference"), small_model)
        for number, records in enumerate(_corpus()):
            job.write(f"{number}.jsonl", records)
        record = job.run()
        yield Reference(job, record, job.rows())


def _comparable(record: dict[str, Any]) -> dict[str, Any]:
    """The record without measured times and without the paths of this job."""
    kept = {name: value for name, value in record.items() if name not in MEASURED}
    kept["configuration"] = {**kept["configuration"], "storage": None, "source": None}
    kept["reject_files"] = [Path(uri).name for uri in kept["reject_files"]]
    kept["stages"] = {name: stage["tokens"] for name, stage in record["stages"].items()}
    return {name: value for name, value in kept.items() if name != "run_id"}


def test_the_reference_run_balances(reference: Reference) -> None:
    record = reference.record
    outcomes = {"embedded": 32, "reused": 1, "unchanged": 0, "rejected": 10, "left_out": 0, "gone": 0}
    assert record["documents"] == {"read": 43, **outcomes}
    assert record["rejects"] == {"chunk.bad_vector": 1, "record.duplicate_id": 10}
    assert record["exit_code"] == 3
    assert {row["partition"] for row in reference.rows.values()} == {
        "lang_en", "lang_fr", "lang_de", "lang_ru", "lang_th", "lang_und",
    }  # fmt: skip


@pytest.mark.parametrize(
    "beam_flags",
    [
        ["--direct_num_workers=2", "--direct_running_mode=multi_threading"],
        ["--direct_runner_bundle_repeat=1"],
        pytest.param(["--direct_num_workers=2", "--direct_running_mode=multi_processing"], marks=pytest.mark.slow),
    ],
    ids=["two threads", "every bundle twice", "two processes"],
)
def test_workers_and_replayed_bundles_change_nothing(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beam_flags: list[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for workers that are processes of their own
    job = Job(tmp_path, reference.job.model)
    record = job.run(*beam_flags, input=f"{reference.job.corpus}/*")
    assert _comparable(record) == _comparable(reference.record)
    assert job.rows() == reference.rows


def test_batches_are_encoded_as_arrow_while_the_job_runs(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    encode = RecordBatchCoder.encode

    def counting(self: RecordBatchCoder, value: pa.RecordBatch) -> bytes:
        sizes.append(value.num_rows)
        return encode(self, value)

    monkeypatch.setattr(RecordBatchCoder, "encode", counting)
    Job(tmp_path, reference.job.model).run(input=f"{reference.job.corpus}/*")
    # Every chunk crosses two shuffles and every written row one more.
    assert sum(sizes) >= 2 * reference.record["chunks"]["split"] + reference.record["rows"]["written"]


def test_order_of_files_changes_nothing(reference: Reference, tmp_path: Path) -> None:
    job = Job(tmp_path, reference.job.model)
    reverse = lambda plan: dataclasses.replace(plan, groups=plan.groups[::-1])  # noqa: E731
    record = job.run_plan(reverse, input=f"{reference.job.corpus}/*")
    assert _comparable(record) == _comparable(reference.record)
    assert job.rows() == reference.rows


@pytest.mark.parametrize("bucket_count", [1, 3, 64])
def test_number_of_buckets_changes_nothing(reference: Reference, tmp_path: Path, bucket_count: int) -> None:
    job = Job(tmp_path, reference.job.model)
    rebucket = lambda plan: dataclasses.replace(plan, bucket_count=bucket_count)  # noqa: E731
    record = job.run_plan(rebucket, input=f"{reference.job.corpus}/*")
    assert _comparable(record) == _comparable(reference.record)
    assert job.rows() == reference.rows


@pytest.mark.parametrize("suffix", ["jsonl.gz", "parquet"])
def test_format_of_the_files_changes_nothing_but_the_source(reference: Reference, tmp_path: Path, suffix: str) -> None:
    job = Job(tmp_path, reference.job.model)
    for number, records in enumerate(_corpus()):
        job.write(f"{number}.{suffix}", records)
    record = job.run()
    assert record["documents"] == reference.record["documents"]
    assert record["rejects"] == reference.record["rejects"]

    def without_source(rows: dict[str, Row], ending: str) -> dict[str, Row]:
        return {
            identity: {**row, "source": Path(row["source"]).name.removesuffix(ending)} for identity, row in rows.items()
        }

    assert without_source(job.rows(), suffix) == without_source(reference.rows, "jsonl")


def test_first_document_by_source_and_position_keeps_a_claimed_id(reference: Reference) -> None:
    rows = [row for row in reference.rows.values() if row["document_id"] in CLAIMED]
    assert {Path(row["source"]).name for row in rows} == {"0.jsonl"}
    texts = {(row["document_id"], row["ordinal"]): row["text"] for row in rows}
    for name in CLAIMED:
        text = story(f"{name} by the first", 3)
        assert " ".join(texts[name, ordinal] for ordinal in range(3) if (name, ordinal) in texts) == text
    duplicates = [row for row in reference.job.rejects(reference.record) if row["reason"] == "duplicate_id"]
    assert {row["level"] for row in duplicates} == {"record"}
    assert sorted((Path(row["source"]).name, row["document_id"]) for row in duplicates) == [
        (source, name) for source in ("1.jsonl", "2.jsonl") for name in CLAIMED
    ]


def test_plain_functions_over_the_corpus_give_the_rows_that_beam_wrote(reference: Reference) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
        config = options.to_config(reference.job.options(dimensions=8, collection="plain"))
        record = embed_corpus.run(config, options.to_pipeline_options(["--runner=FnApiRunner"]))
    assert record["documents"]["reused"] == 33  # of another collection's run over the same workspace
    job = dataclasses.replace(reference.job)
    try:
        expected = _in_memory(plan_run(config))
    finally:
        release(config.storage.milvus)
    found = job.rows("plain")
    for identity, row in expected.items():
        assert found[identity] == row
    # The others are later documents that claim an id.
    assert found.keys() == expected.keys()


def _in_memory(plan: Plan) -> dict[str, Row]:
    """The job without Beam, dataset and ledger: only its pure functions, one after the other."""
    chunks: list[Row] = []
    claimed: set[str] = set()
    tokenizer, detector, encoder = plan.tokenizer(), plan.detector(), plan.encoder()
    for group in plan.groups:
        for page in read_group(group, plan.reading, plan.selection):
            records = [row for row in page.documents if row["document_id"] not in claimed]
            claimed.update(row["document_id"] for row in records)
            documents = identify_language(batch_of(records, RECORDS), detector, plan.partitioning)
            rows, rejects = split_into_chunks(documents, tokenizer, detector, plan.splitting)
            assert rejects == []
            chunks.extend(rows)
    batch = reuse_vectors(pa.Table.from_batches([batch_of(chunks, CHUNKS)]), Known())
    chosen = batch.take(pa.array(rows_to_encode(batch)))
    encoded = encoder.encode(chosen.column("text").to_pylist(), list_views(chosen.column("token_ids")))
    filled, missing = fill_vectors(batch, Made(to_columns(encoded.outputs), encoded.faults), None)
    kept = filled.take(pa.array(sorted(set(range(filled.num_rows)) - missing.keys())))
    assert plan.representation is not None
    stored = stored_rows(pa.Table.from_batches([kept]), plan.full_dimensions).to_batches()[0]
    rows = milvus_rows(compress_vectors(stored, plan.representation))
    partitions = stored.column("partition").to_pylist()
    return {
        row["id"]: {**row, "dense": tuple(row["dense"]), "partition": partition}
        for row, partition in zip(rows, partitions, strict=True)
    }


def test_kept_dimensions_are_the_leading_ones_at_unit_length(reference: Reference) -> None:
    short = reference.job.rows("plain")
    assert short.keys() == reference.rows.keys()
    for identity, row in short.items():
        full = np.array(reference.rows[identity]["dense"], np.float32)
        assert len(row["dense"]) == 8
        assert np.linalg.norm(row["dense"]) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(row["dense"], unit_rows(full[None, :8])[0], atol=1e-6)
