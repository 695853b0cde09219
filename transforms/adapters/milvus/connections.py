"""One connection of a process to a collection, for all who write to it there.

How many write at once is bounded in each process. A bound over all of them could only be had by keys: rows in so few groups as there
may be writers. But a group is what a runner holds in memory and repeats when it fails, so few groups of a large load are hours of work
each; and the groups of rows would have to be shuffled with their vectors. So the bound is writers times processes, which a runner's own
options bound.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from transforms.adapters.milvus.collection import Collection, connect
from transforms.adapters.milvus.servers import Target


@dataclass
class Connection:
    """A connection, which `borrow` gives and `give_back` takes."""

    collection: Collection
    key: tuple[Target, int]
    turns: threading.BoundedSemaphore
    borrowers: int = field(default=0)

    @contextmanager
    def turn(self) -> Iterator[Collection]:
        """The collection, once there are fewer writers than allowed."""
        with self.turns:
            yield self.collection


_OPEN: dict[tuple[Target, int], Connection] = {}
_LOCK = threading.Lock()


def borrow(target: Target, writers: int) -> Connection:
    """The process's connection, made if there is none; at most so many write at once, to Milvus Lite one.

    Raises:
        TransientError: the server, which answered before, does not.
    """
    key = (target, writers)
    with _LOCK:
        if key not in _OPEN:
            collection = connect(target)
            # Lite takes no lock when it writes.
            turns = threading.BoundedSemaphore(1 if collection.is_lite else writers)
            _OPEN[key] = Connection(collection, key, turns)
        _OPEN[key].borrowers += 1
        return _OPEN[key]


def give_back(connection: Connection) -> None:
    """Ends the connection when nobody has it any more."""
    with _LOCK:
        connection.borrowers -= 1
        if not connection.borrowers:
            del _OPEN[connection.key]
            connection.collection.close()
