"""Fuzzes the readers: `python -m tests.fuzz 60` reads damaged files for a minute and keeps the first that breaks a promise.

Files of the malformed corpus are cut, spliced, doubled, flipped and renamed. Whatever comes of it, reading must end, raise nothing,
account for every record, and give rows that fit the schemas. Rounds are numbered, and a number always makes the same file:
`python -m tests.fuzz 60 1000` begins with round 1000.
"""

import argparse
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from tests.transforms.adapters.formats.malformed import MOST_RECORD_BYTES, MOST_TEXT_BYTES, Malformed, malformed_files
from tests.transforms.adapters.formats.reading_files import read, reading_of

SECONDS_A_FILE = 20
MOST_SEED_BYTES = 200_000
_TELLING = (
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\n",
    b"\r",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"WARC/1.0\r\n",
)


class HangError(BaseException):
    """A file is not read in its time; nothing that handles failures of files takes it for one."""


def seeds() -> list[Malformed]:
    """The files that rounds begin with; large ones would only be slow."""
    return [file for file in malformed_files() if len(file.content) <= MOST_SEED_BYTES and not file.options]


def damaged(files: list[Malformed], number: int) -> tuple[str, bytes]:
    """Name and content of a round's file."""
    chance = random.Random(number)
    file = chance.choice(files)
    content = bytearray(file.content)
    for _ in range(chance.randint(1, 4)):
        _damage(content, chance, files)
    name = file.name if chance.random() < 0.8 else chance.choice(files).name
    return name, bytes(content)


def _damage(content: bytearray, chance: random.Random, files: list[Malformed]) -> None:
    start, stop = sorted(chance.randint(0, len(content)) for _ in range(2))
    stop = min(stop, start + 2000)
    kind = chance.randrange(6)
    if kind == 0 and content:
        content[min(start, len(content) - 1)] ^= 1 << chance.randrange(8)
    elif kind == 1:
        content[start:start] = chance.choice(_TELLING) * chance.choice((1, 1, 2, 50))
    elif kind == 2:
        del content[start:stop]
    elif kind == 3:
        content[start:start] = content[start:stop] * chance.choice((1, 2, 20))
    elif kind == 4:
        del content[start:]
    else:
        other = chance.choice(files).content
        place = chance.randint(0, len(other))
        content[start:stop] = other[place : place + 500]


@contextlib.contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raises `HangError` in the block when it runs longer; for the main thread."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise HangError(f"reading took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check(directory: Path, name: str, content: bytes) -> None:
    """Reads a file; raises if a promise is broken."""
    path = directory / name
    path.write_bytes(content)
    with time_limit(SECONDS_A_FILE):
        page = read(path, reading_of(most_bytes=MOST_TEXT_BYTES, max_record_bytes=MOST_RECORD_BYTES))
    assert all(reject["detail"] for reject in page.rejects)
    assert sum(reject["level"] == "file" for reject in page.rejects) <= 1
    path.unlink()


def main() -> int:
    """Rounds until the time is over; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", type=float, help="how long to go on")
    parser.add_argument("start", type=int, nargs="?", default=0, help="number of the first round")
    arguments = parser.parse_args()
    files = seeds()
    end, number = time.monotonic() + arguments.seconds, arguments.start
    with tempfile.TemporaryDirectory() as directory:
        while time.monotonic() < end:
            name, content = damaged(files, number)
            try:
                check(Path(directory), name, content)
            except BaseException:
                kept = Path(f"fuzz-{number}-{name}")
                kept.write_bytes(content)
                sys.stderr.write(f"round {number} failed; its file is kept as {kept}\n")
                raise
            number += 1
    sys.stdout.write(
        f"rounds {arguments.start} to {number - 1}: every file read and accounted for; {len(files)} seeds\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
