"""The device thread: one for all calls, transparent to results and errors, and nobody has to wait for it."""

import gc
import threading
import weakref
from collections.abc import Callable
from functools import partial
from threading import Event

import pytest

from transforms.adapters.device_thread import DeviceThread, NoAnswerError


class Memory:
    """Stands for memory that a call holds."""


def _device_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "device"}


@pytest.fixture
def thread() -> DeviceThread:
    return DeviceThread()


def test_every_call_runs_in_one_thread_that_is_not_the_callers(thread: DeviceThread) -> None:
    threads = {thread.call(threading.get_ident) for _ in range(5)}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("error", [ValueError("a value"), KeyError(3), SystemExit(1)])
def test_errors_reach_the_caller_and_the_thread_lives_on(thread: DeviceThread, error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        thread.call(fail)
    assert raised.value is error
    assert thread.call(lambda: 3, 10) == 3


def test_who_has_no_patience_stops_waiting(thread: DeviceThread) -> None:
    over = Event()
    try:
        with pytest.raises(NoAnswerError):
            thread.call(over.wait, 0.01)
    finally:
        over.set()
    assert thread.call(lambda: "back", 10) == "back"


def _calls_that_hold(memory: list[weakref.ref[Memory]]) -> list[Callable[[], object]]:
    def hold() -> Memory:
        held = Memory()
        memory.append(weakref.ref(held))
        return held

    def fail() -> None:
        held = hold()
        raise ValueError(held.__class__)

    return [hold, fail]


def test_what_a_call_held_is_free_as_soon_as_the_caller_lets_go(thread: DeviceThread) -> None:
    memory: list[weakref.ref[Memory]] = []
    hold, fail = _calls_that_hold(memory)
    gc.disable()
    try:
        thread.call(hold)
        thread.call(partial(int, 0))
        assert memory.pop()() is None
        try:
            thread.call(fail)
        except ValueError:
            assert memory[0]() is not None
        thread.call(partial(int, 0))
        assert memory[0]() is None
    finally:
        gc.enable()


def test_an_idle_thread_ends_with_its_object() -> None:
    before = _device_threads()
    thread = DeviceThread()
    (own,) = _device_threads() - before
    assert own.daemon
    del thread
    gc.collect()
    own.join(10)
    assert not own.is_alive()
