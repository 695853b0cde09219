"""What a format's reader gives: records with values, or with the reason why they have none."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa

from transforms.adapters.formats.splits import Split
from transforms.logic.records import Reading
from transforms.logic.schemas import Reason

BROKEN_FILE = (OSError, EOFError, zlib.error, pa.ArrowException)
"""What a damaged file raises: it costs the part of the file that was not read yet."""


@dataclass(frozen=True)
class RawRecord:
    """One record of a file at `position` (a byte offset, row or record number, told by `unit`).

    `values` maps column names to decoded values; if `reason` is set there are none, and `detail` says why without quoting the
    text. `raw` are the record's bytes, of which a reject keeps digest and length; empty if they are not at hand.
    """

    position: int
    unit: str
    size_bytes: int
    values: Any = None
    reason: Reason | None = None
    detail: str = ""
    raw: bytes = b""


class RefusedFileError(Exception):
    """The rest of a file is given up, for a reason of the closed list; never leaves the package."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


Reader = Callable[[IO[bytes], Split, Reading], Iterator[RawRecord]]
"""Reads the records of a split from its file's stream; raises one of `BROKEN_FILE` or `RefusedFileError` where it must give up."""
