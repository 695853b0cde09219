"""A thread that does whatever touches a device, so that whoever waits for it can stop waiting."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, TypeVar
from weakref import finalize

_Result = TypeVar("_Result")
_Call = tuple[Future[Any], Callable[[], Any]]


class NoAnswerError(Exception):
    """A call took longer than it may; the thread is still in it."""


class DeviceThread:
    """Makes calls one after the other; a model that is loaded and run by one thread also keeps that thread's settings.

    A call that never returns cannot be ended from outside. The thread is a daemon: a hung one ends with the process, an idle one with
    this object.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        Thread(target=_serve, args=(self._calls,), name="device", daemon=True).start()
        finalize(self, self._calls.put, None)

    def call(self, function: Callable[[], _Result], patience_seconds: float | None = None) -> _Result:
        """What a function gives or raises; `NoAnswerError` if that takes longer than `patience_seconds`.

        Nothing of the call is kept: once the caller lets go of an error, the memory that its traceback holds is free.
        """
        future: Future[_Result] = Future()
        self._calls.put((future, function))
        try:
            if not wait([future], patience_seconds).done:
                raise NoAnswerError
            return future.result()
        finally:
            # An error knows this frame; did the frame know the error, neither would be freed.
            del future


def _serve(calls: SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        _answer(*call)
        del call


def _answer(future: Future[Any], function: Callable[[], Any]) -> None:
    with _Handing(future):
        future.set_result(function())
    del future, function  # As in `DeviceThread.call`.


@dataclass(frozen=True)
class _Handing:
    """Hands whatever is raised inside to who waits for the future."""

    future: Future[Any]

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is not None:
            self.future.set_exception(error)
        return error is not None
