"""The same job with the real model on every runner that a machine without a cloud has: the same rows, vectors, counts and record.

The job knows no runner: what differs here are Beam's own options.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from pymilvus import MilvusClient

from pipelines import embed_corpus
from pipelines.configuration import options
from tests import servers
from tests.conftest import ROOT
from tests.pipelines.jobs import Job, Row
from transforms.adapters.workspace import Workspace

pytestmark = pytest.mark.slow

FILES = ("volcanoes.jsonl", "defects.jsonl", "duplicates.jsonl.gz")
# Numbers of 16 bits, and passes that are packed in another way; a vector's numbers are around 0.05.
MOST_DIFFERENCE = 2**-8
LEAST_COSINE = 0.9999
SECONDS_TO_END = 240.0

# Both of Beam's services listen on every interface, and know no setting against it.
_ON_LOOPBACK = """
import runpy, sys
from grpc import _server
bind = _server._Server.add_insecure_port
_server._Server.add_insecure_port = lambda self, address: bind(self, address.replace("[::]", "127.0.0.1"))
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class World:
    """What all runs share."""

    corpus: Path
    model: Path
    milvus: str


@dataclass(frozen=True)
class Result:
    """What a run left."""

    record: dict[str, Any]
    rows: dict[str, Row]
    stored: dict[str, Row]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, sample_corpus: Path, offline_model: Path) -> Iterator[World]:
    """A part of the sample corpus, the real model, and a Milvus Lite that several processes share."""
    corpus = tmp_path_factory.mktemp("corpus")
    for name in FILES:
        shutil.copy(sample_corpus / name, corpus)
    with servers.lite_server() as address:
        yield World(corpus, offline_model, address)


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory, world: World) -> Result:
    return _run(world, tmp_path_factory.mktemp("in_process"), ["--runner=FnApiRunner"])


def _run(world: World, home: Path, beam_flags: list[str]) -> Result:
    job = Job(home, world.model)
    record = job.run(*beam_flags, **_changes(world, home))
    return _left(world, job, record)


def _changes(world: World, home: Path) -> dict[str, Any]:
    """Options of a run in this folder."""
    return {
        "input": f"{world.corpus}/*",
        "milvus": world.milvus,
        "collection": f"c_{home.name}",
        "max_tokens": 128,
        "detector": "cld2",
        "threads": 1,
    }


def _left(world: World, job: Job, record: dict[str, Any]) -> Result:
    collection = record["configuration"]["storage"]["collection"]
    # Milvus Lite ends connections that are kept alive while nothing is asked.
    client = MilvusClient(world.milvus, grpc_options={"grpc.keepalive_permit_without_calls": False})
    try:
        rows = {
            row["id"]: {**row, "partition": partition}
            for partition in client.list_partitions(collection)
            for row in client.query(
                collection, filter='id != ""', partition_names=[partition], output_fields=["*"], limit=16_384
            )
        }
    finally:
        client.close()
    return Result(record, rows, job.stored())


def _comparable(record: dict[str, Any]) -> dict[str, Any]:
    """The record without measured times, and without the places of this run; the checksum is of the whole."""
    left_out = {"run_id", "seconds", "started_at", "timeline", "slowest", "checksum"}
    kept = {name: value for name, value in record.items() if name not in left_out}
    kept["configuration"] = {**kept["configuration"], "storage": None}
    kept["reject_files"] = [Path(uri).name for uri in kept["reject_files"]]
    kept["stages"] = {name: stage["tokens"] for name, stage in record["stages"].items()}
    return kept


@pytest.fixture(scope="module")
def external_workers() -> Iterator[list[str]]:
    """Beam's portable job service, and a pool of workers that it does not start itself; gives the options for both."""
    job_port, pool_port = servers.free_port(), servers.free_port()
    module = "apache_beam.runners"
    services = {
        f"{module}.portability.local_job_service_main": f"--port={job_port}",
        f"{module}.worker.worker_pool_main": f"--service_port={pool_port}",
    }
    # The pool starts its workers by the name `python`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with ExitStack() as running:
        for name, flag in services.items():
            process = subprocess.Popen(
                [sys.executable, "-c", _ON_LOOPBACK, name, flag],
                env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},  # for the workers too
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            running.callback(process.wait)
            running.callback(process.terminate)
        for port in (job_port, pool_port):
            servers.wait_for_port(port)
        yield [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{job_port}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{pool_port}",
        ]


def test_the_reference_has_something_of_everything(in_process: Result) -> None:
    record = in_process.record
    assert record["exit_code"] == 3
    assert record["rejects"]
    assert record["chunks"]["duplicates"] > 0
    assert record["rows"]["held"] == len(in_process.rows) == len(in_process.stored) >= 20
    assert len({row["partition"] for row in in_process.rows.values()}) >= 10


@pytest.mark.parametrize(
    "beam_flags",
    [
        ["--direct_runner_bundle_repeat=1"],
        pytest.param(["--direct_running_mode=multi_processing", "--direct_num_workers=2"], marks=pytest.mark.long),
    ],
    ids=["every bundle twice", "two processes"],
)
def test_it_is_the_same_in_any_mode(
    beam_flags: list[str], world: World, in_process: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for workers that are processes of their own
    _assert_same(_run(world, tmp_path / "mode", ["--runner=FnApiRunner", *beam_flags]), in_process)


def test_it_is_the_same_with_workers_elsewhere_and_nobody_waiting(
    external_workers: list[str], world: World, in_process: Result, tmp_path: Path
) -> None:
    """The job ends by itself: launched, it leaves what a run leaves, though its lease was given back before."""
    job = Job(tmp_path / "elsewhere", world.model)
    config = options.to_config(job.options(**_changes(world, job.home)))
    run_id = embed_corpus.launch(config, PipelineOptions(external_workers))
    record = Path(Workspace(str(job.workspace), "", "").record_uri(run_id))
    deadline = time.monotonic() + SECONDS_TO_END
    while not record.exists():
        assert time.monotonic() < deadline, "the job did not end"
        time.sleep(0.2)
    _assert_same(_left(world, job, json.loads(record.read_bytes())), in_process)
    again = job.run(*external_workers, **_changes(world, job.home))
    assert (again["vectors"], again["rows"]["written"]) == ({"encoded": 0, "reused": 0}, 0)


def _assert_same(one: Result, other: Result) -> None:
    assert _comparable(one.record) == _comparable(other.record)
    for ours, theirs, column in ((one.rows, other.rows, "dense"), (one.stored, other.stored, "vector")):
        assert ours.keys() == theirs.keys()
        for identity, row in theirs.items():
            assert {**ours[identity], column: row[column]} == row
            _assert_close(ours[identity][column], row[column])


def _assert_close(one: Any, other: Any) -> None:
    first, second = np.asarray(one, np.float32), np.asarray(other, np.float32)
    assert np.abs(first - second).max() <= MOST_DIFFERENCE
    assert first @ second / (np.linalg.norm(first) * np.linalg.norm(second)) >= LEAST_COSINE
