"""Places where a test kills the process: right before and right after every step whose effect outlives it.

Nothing happens in production. With the environment variable `CORPUS_EMBED_CRASH_AT=<point>` or `<point>:<n>` the process kills itself with
SIGKILL when it reaches the point for the first, or the n-th, time: no handler runs, no buffer is flushed, nothing is cleaned up, as when a
machine is taken away. `python -m transforms.adapters.crashpoints` lists the points.
"""

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from transforms.logic.errors import ConfigurationError

Step = Literal[
    "workspace probe",
    "lease",
    "tokenizer proof",
    "projection",
    "calibration",
    "collection",
    "partition",
    "dataset shard",
    "ledger part",
    "intents",
    "import file",
    "import plan",
    "import journal",
    "import job",
    "upsert",
    "delete",
    "rejects",
    "ledger",
    "run record",
    "alias",
    "publication",
    "drop",
    "file name",
]
"""Every durable step, in the order of a run; a file gets its name, once its content is on the disk, in all but those of Milvus."""

POINTS: tuple[str, ...] = tuple(f"{side} {step}" for step in get_args(Step) for side in ("before", "after"))
"""Names of all crash points."""

VARIABLE = "CORPUS_EMBED_CRASH_AT"

_reached: Counter[str] = Counter()
_lock = threading.Lock()


@contextmanager
def durable(step: Step) -> Iterator[None]:
    """Surrounds a step with its two crash points; a step that fails does not reach the second."""
    _crashpoint(f"before {step}")
    yield
    _crashpoint(f"after {step}")


def _crashpoint(name: str) -> None:
    # Workers inherit it; no pipeline graph holds it.
    wanted = os.environ.get(VARIABLE)  # noqa: TID251
    if not wanted:
        return
    point, time = parse(wanted)
    if name == point:
        with _lock:
            _reached[name] += 1
            if _reached[name] == time:
                os.kill(os.getpid(), signal.SIGKILL)


def parse(value: str) -> tuple[str, int]:
    """The point that a value of the variable names, and at which time it is reached, from 1; else `ConfigurationError`."""
    point, _, time = value.partition(":")
    if point not in POINTS or not (time or "1").isdecimal() or int(time or 1) < 1:
        message = f"{VARIABLE}={value!r} names no crash point; allowed are these, with :<n> for the n-th time: {', '.join(POINTS)}"
        raise ConfigurationError(message)
    return point, int(time or 1)


if __name__ == "__main__":
    sys.stdout.write("".join(f"{point}\n" for point in POINTS))
