"""Runs the template's program as its launcher does, with Dataflow's own runner and stand-ins for Cloud Storage and Dataflow's API."""

import base64
import bz2
import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from apache_beam.portability.api import beam_runner_api_pb2

from tests.conftest import ROOT
from tests.servers import BUCKET, GCSFS_ENVIRONMENT, Store

PROJECT = "test-project"
REGION = "europe-west4"
# Without it Beam asks for credentials for half a minute before it does without.
_LAUNCHER = """
import runpy, sys
from apache_beam.internal.gcp import auth
auth._Credentials._credentials_init = True
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_PICKLED = re.compile(rb"Qlpo[A-Za-z0-9+/]+={0,2}")
"""Beam's pickles: bzip2 in base64."""


def launch(store: Store, arguments: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the program with what a launcher gives it, and parameters."""
    given = [
        "--runner=DataflowRunner",
        f"--project={PROJECT}",
        f"--region={REGION}",
        f"--temp_location={store.root}/temp",
        f"--staging_location={store.root}/staging",
        '--labels={"goog-dataflow-provided-template-type": "flex", "team": "search"}',
        *arguments,
    ]
    return subprocess.run(
        [sys.executable, "-c", _LAUNCHER, str(ROOT / "deploy" / "dataflow" / "main.py"), *given],
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "PYTHONPATH": str(ROOT),
            "STORAGE_EMULATOR_HOST": store.address,
            **GCSFS_ENVIRONMENT,
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def objects(store: Store) -> list[str]:
    """Names of all objects below the store's prefix."""
    query = urllib.parse.urlencode({"prefix": f"{store.prefix}/"})
    with urllib.request.urlopen(f"{store.address}/storage/v1/b/{BUCKET}/o?{query}") as answer:
        return [item["name"] for item in json.load(answer).get("items", [])]


def read_object(store: Store, name: str) -> bytes:
    """An object's bytes."""
    path = f"/storage/v1/b/{BUCKET}/o/{urllib.parse.quote(name, safe='')}?alt=media"
    with urllib.request.urlopen(store.address + path) as answer:
        return bytes(answer.read())


@dataclass(frozen=True)
class Staged:
    """A job as it was described to Dataflow."""

    job: dict[str, Any]
    proto: bytes

    @property
    def pipeline(self) -> beam_runner_api_pb2.Pipeline:
        """The graph."""
        return beam_runner_api_pb2.Pipeline.FromString(self.proto)

    @property
    def options(self) -> dict[str, Any]:
        """Beam's options as workers will see them."""
        found: dict[str, Any] = self.job["environment"]["sdkPipelineOptions"]["options"]
        return found

    @property
    def pool(self) -> dict[str, Any]:
        """The machines."""
        (found,) = self.job["environment"]["workerPools"]
        return dict(found)


def staged(store: Store, job: dict[str, Any]) -> Staged:
    """A job and the graph that it names."""
    url = job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
    return Staged(job, read_object(store, url.removeprefix(f"gs://{BUCKET}/")))


def pickles(data: bytes) -> list[bytes]:
    """What is pickled in a graph, uncompressed."""
    return [bz2.decompress(base64.b64decode(found)) for found in _PICKLED.findall(data)]


@contextmanager
def dataflow() -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """Dataflow's REST interface as far as a submission goes; gives its address and the (path, job) of every submission."""
    submitted: list[tuple[str, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            job = json.loads(self.rfile.read(length))
            submitted.append((urllib.parse.urlsplit(self.path).path, job))
            self._answer({"id": "2026-03-01_00_00_00-1", "projectId": PROJECT, "location": REGION, "name": job["name"]})

        def do_GET(self) -> None:
            submitted.append((f"GET {self.path}", {}))
            self._answer({})

        def _answer(self, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            # Beam speaks REST, not gRPC, to an address of this name.
            yield f"http://localhost:{server.server_address[1]}", submitted
        finally:
            server.shutdown()
            thread.join()
