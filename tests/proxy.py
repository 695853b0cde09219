"""A TCP proxy on 127.0.0.1 that spoils connections: what goes through it is cut, held back, slowed, or answered by nobody."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Mode = Literal["open", "reset", "stall", "slow", "lost reply", "closed"]
_PIECE = 65_536
_SLOW_PIECE = 2_048


@dataclass
class FaultProxy:
    """Passes bytes on until it is told otherwise; `set` also counts bytes anew.

    reset: once `after` bytes went up, both sides are reset. stall: from then on nothing passes, either way, and no connection ends. slow:
    two kilobytes a time, with pauses. lost reply: what goes up arrives, the first bytes that come back reset the connection. closed: new
    connections are reset, and those that are open. Each but slow and closed happens once, `times` times where told, then it is open.
    """

    target: tuple[str, int]
    uri: str = ""
    mode: Mode = "open"
    after: int = 0
    times: int = 0
    struck: int = 0
    _up: int = 0
    _open: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, mode: Mode, after: int = 0, times: int = 1) -> None:
        with self._lock:
            self.mode, self.after, self.times, self.struck, self._up = mode, after, times, 0, 0
            if mode == "closed":
                self._reset(self._open)

    def serve(self, client: socket.socket) -> None:
        """Both ways of one connection."""
        if self.mode == "closed":
            self._reset([client])
            return
        try:
            server = socket.create_connection(self.target)
        except OSError:
            self._reset([client])
            return
        pair = [client, server]
        with self._lock:
            self._open += pair
        back = threading.Thread(target=self._pass_on, args=(server, client, False))
        back.start()
        self._pass_on(client, server, True)
        back.join()
        for one in pair:
            one.close()

    def _pass_on(self, source: socket.socket, sink: socket.socket, upwards: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_SLOW_PIECE if self.mode == "slow" else _PIECE):
                if self._strikes(upwards, len(data)):
                    if self.mode != "stall":
                        self._reset([source, sink])
                        return
                    continue
                if self.mode == "slow":
                    time.sleep(0.002)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _strikes(self, upwards: bool, count: int) -> bool:
        with self._lock:
            self._up += count if upwards else 0
            if self.struck >= self.times or self._up < self.after:
                return False
            if self.mode == "stall":
                return True
            if (self.mode == "reset" and upwards) or (
                self.mode == "lost reply" and not upwards and self._up > self.after
            ):
                self.struck += 1
                self._up = 0
                return True
            return False

    @staticmethod
    def _reset(connections: list[socket.socket]) -> None:
        for one in connections:
            with suppress(OSError):
                # Closed with nothing lingering, so that the other side gets a reset and not an end.
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                one.shutdown(socket.SHUT_RDWR)
                one.close()


@contextmanager
def fault_proxy(uri: str) -> Iterator[FaultProxy]:
    """A proxy in front of a server at an http:// address of this machine."""
    parts = urlsplit(uri)
    assert parts.hostname == "127.0.0.1"
    assert parts.port is not None
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = FaultProxy((parts.hostname, parts.port), f"http://127.0.0.1:{listener.getsockname()[1]}")

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threads.append(threading.Thread(target=proxy.serve, args=(client,)))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield proxy
        finally:
            proxy.set("closed")
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for one in threads:
                one.join()
