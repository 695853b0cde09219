"""Files cut into splits: the parts of a corpus that workers share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import pyarrow as pa

from transforms.adapters.formats.footers import read_footer, row_group_ranges
from transforms.adapters.formats.sniffing import (
    AUTO,
    HEAD_BYTES,
    compression_of,
    encoding_of,
    told_by_content,
    told_by_name,
)
from transforms.adapters.storage import SourceFile, open_binary
from transforms.logic.decoding import UTF8
from transforms.logic.errors import ConfigurationError

TARGET_SPLIT_BYTES = 64 << 20
EXTRAS = {"html": ("resiliparse",), "pdf": ("pypdfium2",), "warc": ("fastwarc", "resiliparse")}
"""Formats that need an extra of the same name, and the modules it brings."""


@dataclass(frozen=True)
class Split:
    """A part of one file that one worker reads.

    `format` and `compression` are what the name told or `--format` ordered; `auto` leaves the format to the content. `start` and `stop`
    are byte offsets for `jsonl` (a line belongs to the split that its first byte lies in) and row groups for `parquet`; of a file that is
    read whole they are 0 and -1.
    """

    uri: str
    format: str
    start: int
    stop: int
    size_bytes: int
    etag: str
    compression: str = ""


def plan_splits(files: Sequence[SourceFile], format_name: str = AUTO) -> list[Split]:
    """Cuts files into splits of about 64 MB, as far as their format allows.

    Only large files that could be cut are looked into: what a small one is shows when it is read.

    Args:
        files: as listed.
        format_name: format of all files, whatever their names say; by default each name tells.

    Raises:
        ConfigurationError: the format of a file needs an extra that is not installed.
    """
    return [split for file in files for split in _plan_file(file, format_name)]


def missing_extra(format_name: str) -> str:
    """The extra that has to be installed to read a format; empty if nothing is missing."""
    modules = EXTRAS.get(format_name, ())
    return "" if all(find_spec(module) for module in modules) else f"corpus-embed[{format_name}]"


def _plan_file(file: SourceFile, forced: str) -> Iterator[Split]:
    named, compression = told_by_name(file.uri)
    format_name = named if forced == AUTO else forced
    extra = missing_extra(format_name)
    if extra:
        message = f"{file.uri!r} is {format_name}, which needs an extra: install {extra}, or leave such files out with --exclude"
        raise ConfigurationError(message)
    if not compression and file.size_bytes > TARGET_SPLIT_BYTES and format_name in {"jsonl", "json", AUTO}:
        format_name, compression, has_lines = _look_into(file, format_name, forced)
    else:
        has_lines = format_name == "jsonl" and not compression
    if has_lines:
        for start in range(0, max(1, file.size_bytes), TARGET_SPLIT_BYTES):
            stop = min(file.size_bytes, start + TARGET_SPLIT_BYTES)
            yield Split(file.uri, format_name, start, stop, stop - start, file.etag)
    elif format_name == "parquet" and not compression and file.size_bytes > TARGET_SPLIT_BYTES:
        yield from _plan_row_groups(file)
    else:
        yield Split(file.uri, format_name, 0, -1, file.size_bytes, file.etag, compression)


def _look_into(file: SourceFile, format_name: str, forced: str) -> tuple[str, str, bool]:
    """Format and compression of a large file by its first bytes, and whether it can be cut at line ends."""
    try:
        with open_binary(file.uri) as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        # Reading it makes the reject.
        return format_name, "", False
    compression = compression_of(head)
    if compression:
        return format_name, compression, False
    if forced == AUTO:
        format_name = told_by_content(format_name, head)
    return format_name, "", format_name == "jsonl" and encoding_of(head)[0] == UTF8


def _plan_row_groups(file: SourceFile) -> Iterator[Split]:
    """Splits of whole row groups; a file whose footer cannot be read stays whole, so that reading it makes the reject."""
    try:
        with open_binary(file.uri) as stream:
            footer = read_footer(stream)
    except (OSError, EOFError, pa.ArrowException):
        yield Split(file.uri, "parquet", 0, -1, file.size_bytes, file.etag)
        return
    for first, after, size_bytes in row_group_ranges(footer, TARGET_SPLIT_BYTES):
        yield Split(file.uri, "parquet", first, after, size_bytes, file.etag)
