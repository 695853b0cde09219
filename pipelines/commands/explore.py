"""Serves a page, to this machine alone by default, to look at a collection with."""

import argparse
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, get_args

from pipelines.configuration.access import access_of, add_access_arguments
from pipelines.explore.answers import Explorer
from pipelines.search import Mode
from transforms.adapters.milvus import Target
from transforms.logic.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.applications import Starlette

DEFAULT_PORT = 8765
_LOOPBACK_NAMES = ("127.0.0.1", "[::1]", "localhost")
_MAX_PORT = 65_535
_MOST_AT_ONCE = 64
_GRACE_SECONDS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command."""
    parser.add_argument("--milvus", required=True, help="address of a Milvus server, or a path ending in .db")
    parser.add_argument("--collection", required=True, help="the collection to look at, or an alias")
    parser.add_argument(
        "--mode", choices=get_args(Mode), help="vectors that find chunks; default the first that the collection holds"
    )
    parser.add_argument("--model", help="directory of the model, if it is no longer where the collection says")
    parser.add_argument(
        "--device", default="auto", help="where questions are encoded: auto, cpu, cuda or cuda:N (default auto)"
    )
    comparing = parser.add_argument_group("rankings beside that of the collection")
    comparing.add_argument(
        "--workspace", help="four times as many candidates, ranked by the full-precision vectors of this workspace"
    )
    comparing.add_argument(
        "--compare", nargs="+", default=[], metavar="COLLECTION", help="other collections of the same Milvus"
    )
    serving = parser.add_argument_group("where the page is")
    serving.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0 is any that is free"
    )
    serving.add_argument("--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1)")
    serving.add_argument(
        "--allow-hosts",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names or addresses by which browsers of other machines ask for the page, which shows them all that the "
        "collection holds; needed with a --host that they reach",
    )
    add_access_arguments(parser)


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Serves the page until it is interrupted."""
    values = parser.parse_args(list(argv))
    target = Target(values.milvus, values.collection, access_of(values))
    _check_place(values.host, values.port, values.allow_hosts)
    try:
        from pipelines.explore.service import application  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in {"starlette", "uvicorn"}:
            raise
        raise ConfigurationError("explore needs its extra: pip install 'corpus-embed[explore]'") from error
    with closing(_listen(values.host, values.port)) as listening:
        explorer = Explorer(
            target,
            mode=values.mode,
            workspace=values.workspace,
            compare=values.compare,
            model=values.model,
            device=values.device,
        )
        with closing(explorer):
            _announce(listening, values.allow_hosts)
            with _stopped_by_signals():
                _serve(application(explorer, {*_LOOPBACK_NAMES, *map(_in_header, values.allow_hosts)}), listening)
    sys.stdout.write("stopped\n")
    return 0


def _check_place(host: str, port: int, allowed: Sequence[str]) -> None:
    if not 0 <= port <= _MAX_PORT:
        raise ConfigurationError(f"--port {port} is out of bounds; choose 0 to {_MAX_PORT:,}")
    wrong = [name for name in allowed if not name or "*" in name or "/" in name]
    if wrong:
        raise ConfigurationError(f"--allow-hosts {wrong[0]!r}: write the name or address alone, without * and /")
    if not allowed and not _is_loopback(host):
        raise ConfigurationError(
            f"--host {host}: other machines would reach the page, which asks nobody for a password; leave --host out and reach it "
            "through ssh -L, or name by --allow-hosts what browsers there ask for"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server((str(address[0]), port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen at --host {host} --port {port}: {error.strerror}; choose others, or --port 0 for any that is free"
        ) from error


def _announce(listening: socket.socket, allowed: Sequence[str]) -> None:
    host, port = listening.getsockname()[:2]
    shown = _in_header(allowed[0] if allowed else host)
    if allowed:
        sys.stderr.write(
            "warning: whoever reaches this port reads all that the collection holds, without a password and unencrypted; put a proxy "
            "before it that asks for one and speaks TLS\n"
        )
    sys.stdout.write(f"http://{shown}:{port}/ is ready; Ctrl-C stops it\n")
    sys.stdout.flush()


def _in_header(name: str) -> str:
    """A host as the Host header has it."""
    return f"[{name}]" if ":" in name and not name.startswith("[") else name


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Signals that stop the server end the command as they should: the server raises them once more when it has stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, lambda *_: None) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _serve(served: "Starlette", listening: socket.socket) -> None:
    import uvicorn  # noqa: PLC0415  an extra

    settings = uvicorn.Config(
        served,
        # Its log goes where that of the command goes, without secrets.
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        http="h11",
        limit_concurrency=_MOST_AT_ONCE,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    uvicorn.Server(settings).run(sockets=[listening])
