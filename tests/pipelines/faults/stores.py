"""An object store that fails on cue: fsspec's memory file system, of which one chosen call goes wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem
from gcsfs.retry import HttpError

FAULTS: dict[str, Callable[[], Exception]] = {
    "408": lambda: HttpError({"code": 408, "message": "Request Timeout"}),
    "429": lambda: HttpError({"code": 429, "message": "Slow Down"}),
    "500": lambda: HttpError({"code": 500, "message": "Internal Error"}),
    "503": lambda: HttpError({"code": 503, "message": "Service Unavailable"}),
    "timeout": lambda: TimeoutError("timed out"),
    "reset": lambda: ConnectionResetError(104, "Connection reset by peer"),
    "broken pipe": lambda: BrokenPipeError(32, "Broken pipe"),
    "401": lambda: HttpError({"code": 401, "message": "Invalid Credentials"}),
    "403": lambda: OSError("Forbidden: https://store/o\nno access"),
    "refused": lambda: PermissionError(13, "Permission denied"),
    "disk full": lambda: OSError(28, "No space left on device"),
    "quota": lambda: OSError(122, "Disk quota exceeded"),
    "input/output": lambda: OSError(5, "Input/output error"),
}
TRANSIENT = {"408", "429", "500", "503", "timeout", "reset", "broken pipe"}
"""Faults that a later attempt may not meet. Credentials that are no longer valid (401) are that in the course of a run, not before."""


def made(fault: str) -> Exception:
    """The exception of a fault."""
    return FAULTS[fault]()


@dataclass
class Plan:
    """Which call of the file system fails, from 1, how, and whether it did its work before."""

    fault: str
    call: int
    reply_lost: bool = False
    calls: int = 0

    @property
    def struck(self) -> bool:
        return self.calls >= self.call


class FaultyFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """`faulty://`: as `memory://`, but for the plan."""

    protocol = "faulty"
    cachable = False
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    plan: ClassVar[Plan | None] = None
    depth: ClassVar[int] = 0

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        plain = path.replace("faulty://", "memory://", 1) if isinstance(path, str) else path
        return super()._strip_protocol(plain)

    def ls(self, *arguments: Any, **settings: Any) -> Any:
        return self._call(super().ls, *arguments, **settings)

    def info(self, *arguments: Any, **settings: Any) -> Any:
        return self._call(super().info, *arguments, **settings)

    def pipe_file(self, *arguments: Any, **settings: Any) -> Any:
        return self._call(super().pipe_file, *arguments, **settings)

    def rm_file(self, *arguments: Any, **settings: Any) -> Any:
        return self._call(super().rm_file, *arguments, **settings)

    def _open(self, *arguments: Any, **settings: Any) -> Any:
        return self._call(super()._open, *arguments, **settings)

    def _call(self, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        kind = FaultyFileSystem
        plan = None if kind.depth else kind.plan
        strikes = False
        if plan is not None:
            plan.calls += 1
            strikes = plan.calls == plan.call
            if strikes and not plan.reply_lost:
                raise made(plan.fault)
        kind.depth += 1
        try:
            result = function(*arguments, **settings)
        finally:
            kind.depth -= 1
        if plan is not None and strikes:
            raise made(plan.fault)
        return result


fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)


@contextmanager
def failing(plan: Plan) -> Iterator[Plan]:
    """Lets the calls in the block go wrong by the plan."""
    FaultyFileSystem.plan = plan
    try:
        yield plan
    finally:
        FaultyFileSystem.plan = None


def empty() -> None:
    """Forgets every file."""
    FaultyFileSystem.store.clear()
    FaultyFileSystem.pseudo_dirs[:] = [""]
