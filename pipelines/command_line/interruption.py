"""Ctrl-C, SIGTERM and a closed terminal: the command ends soon and in order, and running it again goes on from there.

That nothing is lost or half done does not rest on what is done here: a run that is killed without warning can be run again all the same.
Here it also lets go of its leases, ends the processes that it started, takes its temporary files away, and says what to do next.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

from transforms.adapters.device_thread import DeviceThread

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_OF_SIGNALS = 128
"""A shell gives this and the number of the signal as the exit code of a process that a signal ended."""

_Result = TypeVar("_Result")


def exit_code_of(number: int) -> int:
    """Of a command that a signal ended."""
    return _OF_SIGNALS + number


class InterruptedCommand(KeyboardInterrupt):
    """A signal asked the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = exit_code_of(number)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises `InterruptedCommand` in a block of the main thread when one of the signals comes that are not ignored.

    In another thread it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    others = _descendants()

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        # What was under way fails from here on, and what it says of that helps nobody.
        logging.disable()
        threading.excepthook = _say_nothing
        _kill(_descendants() - others)
        raise InterruptedCommand(number)

    # Who starts a command in the background, by nohup or & in a script, wants it not to hear of Ctrl-C.
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def apart(function: Callable[[], _Result]) -> _Result:
    """What a function gives or raises that runs in a thread of its own, so that an interrupt of the main thread need not wait for it."""
    return DeviceThread().call(function)


def leave(code: int) -> NoReturn:
    """Ends the process; at once if it was interrupted, as threads may still be at work that nobody waits for."""
    if code not in map(exit_code_of, SIGNALS):
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _say_nothing(_: threading.ExceptHookArgs) -> None:
    pass


def _kill(process_ids: set[int]) -> None:
    for process_id in process_ids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process_id, signal.SIGKILL)


def _descendants() -> set[int]:
    """Ids of the processes that this one started, and of those that they started; empty where the kernel shows none in /proc.

    Workers of Beam end by themselves, later, when the process is gone that they work for.
    """
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The second field is a name in parentheses, which may hold anything; the fourth is the parent (proc(5)).
            fields = path.read_bytes().rpartition(b")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found: set[int] = set()
    waiting = [os.getpid()]
    while waiting:
        of_one = children.get(waiting.pop(), [])
        found.update(of_one)
        waiting += of_one
    return found
