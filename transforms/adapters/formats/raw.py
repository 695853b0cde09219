"""What a format's reader gives: records with values, or with the reason why they have none."""

import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import pyarrow as pa
import zstandard

from transforms.adapters.formats.splits import Split
from transforms.logic.records import Columns, Reading
from transforms.logic.schemas import Reason

BROKEN_FILE = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, pa.ArrowException)
"""What a damaged file raises: it costs the part of the file that was not read yet."""


@dataclass(frozen=True)
class RawRecord:
    """One record of a file at `position` (a byte offset, row or record number, told by `unit`).

    `values` maps column names to decoded values; if `reason` is set there are none, and `detail` says why without quoting the
    text. `raw` are the record's bytes, of which a reject keeps digest and length; empty if they are not at hand. `facts` are what the
    reader found out besides, such as an `encoding` other than UTF-8 or the `format` markdown; they become metadata.
    """

    position: int
    unit: str
    size_bytes: int
    values: Any = None
    reason: Reason | None = None
    detail: str = ""
    raw: bytes = b""
    facts: Mapping[str, str] = field(default_factory=dict)


class RefusedFileError(Exception):
    """The rest of a file is given up, for a reason of the closed list; never leaves the package."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


Reader = Callable[[IO[bytes], Split, Reading], Iterator[RawRecord]]
"""Reads the records of a split from its file's stream; raises one of `BROKEN_FILE` or `RefusedFileError` where it must give up."""


def under_wanted_names(values: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """Values of a format whose records have fixed names (`id`, `text`, `date`), under the columns that the run asks for.

    A corpus may mix such files with others whose columns have names of their own: `--text-column body` does not lose the text of a
    Markdown file. A wanted name that the format has itself, as `--id-column url` of a WET file, is left as it is.
    """
    wanted = dict(values)
    for fixed, name in (("id", columns.id), ("text", columns.text), ("date", columns.date)):
        if fixed in values and name not in values:
            wanted[name] = wanted.pop(fixed)
    return wanted
