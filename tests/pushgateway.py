"""A stand-in for a Pushgateway, as strict as the real one (1.5.1 of Debian) is about what it was seen to refuse."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from transforms.logic.exposition import CONTENT_TYPE

GROUP = "/metrics/job/corpus_embed/collection/manuals"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
_SAMPLE = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{{(?:{_LABEL}(?:,{_LABEL})*)?\}})? (\S+)")
Samples = dict[tuple[str, str], float]
"""Values by name and labels, as they were written."""


def parse(text: str) -> Samples:
    """The samples of a text; asserts what the format asks for: help and type before the samples of a metric, each once, together."""
    assert text.endswith("\n")
    samples: Samples = {}
    described: list[str] = []
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            described.append(line.split(" ", 3)[2])
            assert described.count(described[-1]) == 1
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {described[-1]} gauge"
        else:
            found = _SAMPLE.fullmatch(line)
            assert found is not None, line
            assert found[1] == described[-1]
            key = (found[1], found[2] or "")
            assert key not in samples
            samples[key] = float(found[3])
    return samples


@dataclass
class Gateway:
    """What was pushed, by path, and how it answers."""

    address: str = ""
    status: int = 200
    groups: dict[str, Samples] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Of a group."""
        return self.address + GROUP


@contextmanager
def pushgateway() -> Iterator[Gateway]:
    """A gateway on a free port of this machine; what it was asked wrongly fails at its end."""
    gateway = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            try:
                assert self.headers["Content-Type"] == CONTENT_TYPE
                assert re.fullmatch(r"/metrics/job/[^/]+(?:/[^/]+/[^/]+)*", self.path), self.path
                samples = parse(body)
            except AssertionError as error:
                gateway.faults.append(repr(error))
                self.send_error(400, "text format parsing error")
                return
            if gateway.status == 200:
                gateway.groups[self.path] = samples
            self.send_response(gateway.status)
            if gateway.status in {301, 307}:
                self.send_header("Location", gateway.address)
            self.end_headers()

        def do_GET(self) -> None:
            gateway.faults.append(f"GET {self.path}")
            self.send_error(405)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    gateway.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert gateway.faults == []
