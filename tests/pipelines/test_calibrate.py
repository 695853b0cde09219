"""corpus-embed calibrate, with the fake encoder."""

import json
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.calibrate import sample_of
from pipelines.configuration import options
from tests import fakes
from tests.pipelines.jobs import DIMENSIONS, Job, document, document_counts, row_counts, story
from transforms.adapters.calibrations import read_calibration

DOCUMENTS = 60
CHUNKS = 2 * DOCUMENTS


def _write(job: Job, count: int = DOCUMENTS) -> None:
    """Documents of two chunks each."""
    job.write("a.jsonl", [document(f"d{n}", story(f"d{n}", 4)) for n in range(count)])


def _calibrate(job: Job, **changes: object) -> int:
    return cli.main(["calibrate", *job.flags(**changes)])


def _calibrations(job: Job) -> list[Path]:
    return sorted((job.workspace / "calibration").rglob("*.json"))


def test_an_empty_workspace_gets_the_vectors_of_a_sample_that_the_run_then_reuses(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(job)
    assert _calibrate(job) == 0
    assert len(fakes.ENCODED) == CHUNKS
    assert not job.milvus.exists()
    (uri,) = _calibrations(job)
    calibration = read_calibration(str(uri))
    assert calibration.sample_size == CHUNKS
    assert calibration.mean.shape == (DIMENSIONS,)
    output = capsys.readouterr().out
    assert output.startswith("embedding 100.00% of the documents first")
    assert f"calibration of {CHUNKS} vectors: {uri}" in output
    assert len([line for line in output.splitlines() if line.lstrip("> ").startswith("binary ")]) == 1
    record = job.run()
    assert len(fakes.ENCODED) == CHUNKS
    assert document_counts(record) == (DOCUMENTS, 0, DOCUMENTS, 0, 0)


def test_a_run_chooses_from_what_was_calibrated_and_its_rerun_writes_nothing(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(job)
    assert job.main(vector_type="auto") == 2
    assert "corpus-embed calibrate" in capsys.readouterr().err
    assert _calibrate(job) == 0
    assert job.main(vector_type="auto") == 0
    assert f"recall@10 against full precision, on {CHUNKS} chunks" in capsys.readouterr().out
    assert len(fakes.ENCODED) == CHUNKS
    record = job.run(vector_type="auto")
    # Milvus Lite holds float32 alone.
    assert (record["representation"]["vector_type"], record["representation"]["dimensions"]) == ("float32", DIMENSIONS)
    assert row_counts(record) == (CHUNKS, 0, CHUNKS, 0)


def test_a_filled_workspace_is_calibrated_without_any_model_and_to_the_same_file(job: Job) -> None:
    _write(job)
    job.run()
    fakes.OPENED.clear()
    assert _calibrate(job) == 0
    first = [path.read_bytes() for path in _calibrations(job)]
    assert _calibrate(job) == 0
    assert [path.read_bytes() for path in _calibrations(job)] == first
    assert fakes.OPENED == []
    job.write("b.jsonl", [document("more", story("more", 4))])
    job.run()
    assert _calibrate(job) == 0
    assert [json.loads(path.read_bytes())["sample_size"] for path in _calibrations(job)] == [CHUNKS, CHUNKS + 2]


def test_too_small_an_input_is_refused(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    _write(job, 3)
    assert _calibrate(job) == 2
    assert "needs 100 distinct chunks" in capsys.readouterr().err
    assert _calibrations(job) == []


def test_without_dense_vectors_there_is_nothing_to_calibrate(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    _write(job, 3)
    assert _calibrate(job, outputs="sparse") == 2
    assert "add dense" in capsys.readouterr().err


def test_the_share_of_documents_follows_from_the_size_of_the_sample(job: Job) -> None:
    size = job.write("a.jsonl", [document("d0", story("d0", 2000))]).stat().st_size
    chunk_bytes = 32 * 4
    config = options.to_config(job.options(calibration_sample=100, sample=0.5))
    assert sample_of(config).selection.sample == pytest.approx(100 * chunk_bytes / size)
    assert sample_of(options.to_config(job.options(calibration_sample=10_000, sample=0.5))).selection.sample == 0.5


def test_the_sample_run_is_of_full_precision(job: Job) -> None:
    _write(job, 3)
    config = options.to_config(job.options(vector_type="binary", dimensions=8, calibration="c.json"))
    representation = sample_of(config).representation
    assert (representation.vector_type, representation.dimensions, representation.calibration) == (
        "float32",
        None,
        None,
    )
    assert sample_of(config).encoding == config.encoding
