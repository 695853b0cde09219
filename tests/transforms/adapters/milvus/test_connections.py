"""One connection of a process, and how many write through it at once."""

import threading
from collections.abc import Iterator

import pytest

from tests.milvus_server import MilvusServer, milvus_server
from tests.transforms.adapters.milvus.four import SPACE
from transforms.adapters.milvus import Collection, Target, borrow, give_back
from transforms.adapters.milvus.connections import _OPEN


@pytest.fixture
def server() -> Iterator[MilvusServer]:
    with milvus_server("v2.6.4") as made:
        opened = Collection(Target(made.uri, "c"))
        opened.create(SPACE)
        opened.close()
        yield made


def test_everybody_in_a_process_has_one_connection(server: MilvusServer) -> None:
    before = server.calls("Connect")
    first, second = (borrow(Target(server.uri, "c"), 4) for _ in range(2))
    assert first is second
    assert server.calls("Connect") == before + 1
    give_back(first)
    with second.turn() as collection:
        assert collection.exists()
    give_back(second)
    assert _OPEN == {}
    again = borrow(Target(server.uri, "c"), 4)
    assert again is not first
    give_back(again)


def test_another_collection_has_a_connection_of_its_own(server: MilvusServer) -> None:
    held = [borrow(Target(server.uri, name), 4) for name in ("c", "d")]
    assert held[0] is not held[1]
    for one in held:
        give_back(one)


def _most_at_once(target: Target, writers: int, threads: int) -> int:
    """How many threads had a turn at one time, when all that may have one wait for each other."""
    connection = borrow(target, writers)
    inside, most = 0, 0
    counting = threading.Lock()
    enough = threading.Event()

    def write() -> None:
        nonlocal inside, most
        with connection.turn():
            with counting:
                inside += 1
                most = max(most, inside)
                if inside >= min(writers, threads):
                    enough.set()
            enough.wait(0.3)
            with counting:
                inside -= 1

    some = [threading.Thread(target=write) for _ in range(threads)]
    for one in some:
        one.start()
    for one in some:
        one.join()
    give_back(connection)
    return most


@pytest.mark.parametrize("writers", [1, 3])
def test_no_more_than_so_many_write_at_once(server: MilvusServer, writers: int) -> None:
    assert _most_at_once(Target(server.uri, "c"), writers, threads=6) == writers


def test_to_milvus_lite_one_writes_at_once(target: Target) -> None:
    assert _most_at_once(target, 4, threads=3) == 1
