"""Where a collection is. Milvus Lite (a path ending in `.db`) is served from the process that opens it first.

Its files know one process only, so workers in other processes are given the address of that server instead of the path.
"""

import logging
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transforms.adapters.milvus.calls import text_of
from transforms.logic.access import Access
from transforms.logic.addresses import may_hold_secret
from transforms.logic.errors import ConfigurationError

_GRACE_SECONDS = 2.0
_SERVERS: dict[Path, tuple[Any, Any, str]] = {}
"""Server, database and address of each Milvus Lite that this process has open."""
_SERVERS_LOCK = threading.Lock()


@dataclass(frozen=True)
class Target:
    """Where the rows go, and how that is reached: it names secrets and holds none, so that graphs may hold it.

    Raises:
        ConfigurationError: an address with a user or password, or of clear text to another machine that `access` does not allow, or
            certificates where there is no TLS.
    """

    uri: str
    collection: str
    access: Access = field(default_factory=Access)

    def __post_init__(self) -> None:
        self.access.check(self.uri)


def served(target: Target) -> Target:
    """A target that every process can connect to: a Lite path becomes the address of a server in this process."""
    if not is_lite_path(target.uri):
        return target
    from milvus_lite.adapter.grpc.server import start_server_in_thread  # noqa: PLC0415  heavy, and only for Lite
    from milvus_lite.exceptions import MilvusLiteError  # noqa: PLC0415

    # Lite lacks calls that pymilvus tries and does without; its server would print a traceback for each.
    for name in ("milvus_lite", "grpc._server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    path = Path(target.uri).absolute()
    with _SERVERS_LOCK:
        if path not in _SERVERS:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                # One thread: Lite takes no lock when it writes, and two writers at once would spoil its write-ahead log.
                server, database, port = start_server_in_thread(str(path), max_workers=1)
            except (MilvusLiteError, OSError) as error:
                message = (
                    f"Milvus Lite cannot open {target.uri!r}: the path is not writable, or another process has it open; "
                    f"close that process ({text_of(error)})"
                )
                raise ConfigurationError(message) from error
            _SERVERS[path] = (server, database, f"http://127.0.0.1:{port}")
        return replace(target, uri=_SERVERS[path][2])


def release(uri: str) -> None:
    """Closes the Lite server that `served` started for this path; nothing for a server's address."""
    if is_lite_path(uri):
        with _SERVERS_LOCK:
            server, database, _ = _SERVERS.pop(Path(uri).absolute(), (None, None, ""))
        if server is not None:
            server.stop(grace=_GRACE_SECONDS).wait()
            database.close()


def is_lite_path(uri: str) -> bool:
    """Whether the URI is a Milvus Lite directory; neither this nor a server's address raises `ConfigurationError`."""
    if "://" not in uri and uri.endswith(".db"):
        return True
    if uri.startswith(("http://", "https://", "tcp://", "unix:")):
        return False
    shown = "" if may_hold_secret(uri) else f" {uri!r}"
    message = f"--milvus{shown} is neither a path ending in .db (Milvus Lite) nor an http:// or https:// address"
    raise ConfigurationError(message)
