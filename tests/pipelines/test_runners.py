"""The same job with the real model on every runner that a machine without a cloud has: the same rows, vectors, counts and record.

The job knows no runner: what differs here are Beam's own options.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
class Result:
    """What a run left."""

    record: dict[str, Any]
    rows: dict[str, Row]
    stored: dict[str, Row]


@pytest.fixture(scope="module")
def milvus() -> Iterator[str]:
    """A Milvus Lite that several processes share."""
    with servers.lite_server() as address:
        yield address


@pytest.fixture(scope="module")
def in_process(
    tmp_path_factory: pytest.TempPathFactory, sample_corpus: Path, offline_model: Path, milvus: str
) -> Result:
    return _run(tmp_path_factory.mktemp("in_process"), sample_corpus, offline_model, milvus, ["--runner=FnApiRunner"])


def _run(home: Path, corpus: Path, model: Path, milvus: str, beam_flags: list[str]) -> Result:
    job = Job(home, model)
    job.corpus.mkdir(parents=True)
    for name in FILES:
        (job.corpus / name).symlink_to(corpus / name)
    collection = f"c_{home.name.replace('-', '_')}"
    record = job.run(*beam_flags, milvus=milvus, collection=collection, max_tokens=128, detector="cld2", threads=1)
    client = MilvusClient(milvus)
    try:
        rows = {
            row["id"]: {**row, "partition": partition, "source": Path(row["source"]).name}
            for partition in client.list_partitions(collection)
            for row in client.query(
                collection, filter='id != ""', partition_names=[partition], output_fields=["*"], limit=16_384
            )
        }
    finally:
        client.close()
    return Result(record, rows, job.stored())


def _comparable(record: dict[str, Any]) -> dict[str, Any]:
    """The record without measured times, and without the places of this run."""
    kept = {name: value for name, value in record.items() if name not in {"run_id", "seconds", "started_at"}}
    kept["configuration"] = {**kept["configuration"], "storage": None, "source": None}
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
    "runner", [_every_bundle_twice, _two_processes, _external_workers], ids=lambda one: one.__name__
)
def test_it_is_the_same_everywhere(
    runner: Any,
    in_process: Result,
    tmp_path: Path,
    sample_corpus: Path,
    offline_model: Path,
    milvus: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for workers that are processes of their own
    with runner() as beam_flags:
        other = _run(tmp_path / runner.__name__.strip("_"), sample_corpus, offline_model, milvus, beam_flags)
    assert _comparable(other.record) == _comparable(in_process.record)
    assert other.rows.keys() == in_process.rows.keys()
    for identity, row in in_process.rows.items():
        same = {**other.rows[identity], "dense": row["dense"]}
        assert same == row
        _assert_close(other.rows[identity]["dense"], row["dense"])
        _assert_close(other.stored[identity]["dense"], in_process.stored[identity]["dense"])


def _assert_close(one: Any, other: Any) -> None:
    first, second = np.asarray(one, np.float32), np.asarray(other, np.float32)
    assert np.abs(first - second).max() <= MOST_DIFFERENCE
    assert first @ second / (np.linalg.norm(first) * np.linalg.norm(second)) >= LEAST_COSINE
