"""The same job with the real model on every runner that a machine without a cloud has: the same rows, vectors, counts and record.

The job knows no runner: what differs here are Beam's own options.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from tests import servers
from tests.conftest import ROOT
from tests.pipelines.jobs import Job, Row

pytestmark = pytest.mark.slow

FILES = ("volcanoes.jsonl", "defects.jsonl", "duplicates.jsonl.gz")
# Numbers of 16 bits, and passes that are packed in another way; a vector's numbers are around 0.05.
MOST_DIFFERENCE = 2**-8
LEAST_COSINE = 0.9999

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
    job, collection = Job(home, world.model), f"c_{home.name}"
    record = job.run(
        *beam_flags,
        input=f"{world.corpus}/*",
        milvus=world.milvus,
        collection=collection,
        max_tokens=128,
        detector="cld2",
        threads=1,
    )
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
    left_out = {"run_id", "seconds", "started_at", "checksum"}
    kept = {name: value for name, value in record.items() if name not in left_out}
    kept["configuration"] = {**kept["configuration"], "storage": None}
    kept["reject_files"] = [Path(uri).name for uri in kept["reject_files"]]
    kept["stages"] = {name: stage["tokens"] for name, stage in record["stages"].items()}
    return kept


@contextmanager
def _external_workers() -> Iterator[list[str]]:
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
                env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
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


@contextmanager
def _two_processes() -> Iterator[list[str]]:
    yield ["--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2"]


@contextmanager
def _every_bundle_twice() -> Iterator[list[str]]:
    yield ["--runner=FnApiRunner", "--direct_runner_bundle_repeat=1"]


def test_the_reference_has_something_of_everything(in_process: Result) -> None:
    record = in_process.record
    assert record["exit_code"] == 3
    assert record["rejects"]
    assert record["chunks"]["duplicates"] > 0
    assert record["rows"]["held"] == len(in_process.rows) == len(in_process.stored) >= 20
    assert len({row["partition"] for row in in_process.rows.values()}) >= 10


@pytest.mark.parametrize(
    "runner",
    [_every_bundle_twice, pytest.param(_two_processes, marks=pytest.mark.long), _external_workers],
    ids=["twice", "two processes", "external workers"],
)
def test_it_is_the_same_everywhere(
    runner: Callable[[], AbstractContextManager[list[str]]],
    world: World,
    in_process: Result,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for workers that are processes of their own
    with runner() as beam_flags:
        other = _run(world, tmp_path / runner.__name__.strip("_"), beam_flags)
    assert _comparable(other.record) == _comparable(in_process.record)
    for ours, theirs, column in (
        (other.rows, in_process.rows, "dense"),
        (other.stored, in_process.stored, "vector"),
    ):
        assert ours.keys() == theirs.keys()
        for identity, row in theirs.items():
            assert {**ours[identity], column: row[column]} == row
            _assert_close(ours[identity][column], row[column])


def _assert_close(one: Any, other: Any) -> None:
    first, second = np.asarray(one, np.float32), np.asarray(other, np.float32)
    assert np.abs(first - second).max() <= MOST_DIFFERENCE
    assert first @ second / (np.linalg.norm(first) * np.linalg.norm(second)) >= LEAST_COSINE
