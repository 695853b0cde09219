"""Files cut into splits: the parts of a corpus that workers share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.adapters.storage import SourceFile, open_binary
from transforms.logic.errors import ConfigurationError

TARGET_SPLIT_BYTES = 64 << 20
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl.gz",
    ".ndjson.gz": "jsonl.gz",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class Split:
    """A part of one file that one worker reads.

    `start` and `stop` are byte offsets for `jsonl` (a line belongs to the split that its first byte lies in) and row groups for
    `parquet`; for a file that is read whole they are 0 and, of `jsonl.gz`, 1, of `parquet`, -1.
    """

    uri: str
    format: str
    start: int
    stop: int
    size_bytes: int
    etag: str


def plan_splits(files: Sequence[SourceFile]) -> list[Split]:
    """Cuts files into splits of about 64 MB; a name with an unknown ending raises `ConfigurationError`."""
    return [split for file in files for split in _plan_file(file, format_of(file.uri))]


def format_of(uri: str) -> str:
    """The format told by a file's name."""
    name = uri.rsplit("/", 1)[-1].lower()
    for suffix, format_name in _SUFFIXES.items():
        if name.endswith(suffix):
            return format_name
    message = f"cannot tell the format of {uri!r} by its name; allowed endings are {', '.join(sorted(_SUFFIXES))}"
    raise ConfigurationError(message)


def _plan_file(file: SourceFile, format_name: str) -> Iterator[Split]:
    if format_name == "jsonl":
        for start in range(0, max(1, file.size_bytes), TARGET_SPLIT_BYTES):
            stop = min(file.size_bytes, start + TARGET_SPLIT_BYTES)
            yield Split(file.uri, format_name, start, stop, stop - start, file.etag)
    elif format_name == "parquet" and file.size_bytes > TARGET_SPLIT_BYTES:
        yield from _plan_row_groups(file)
    else:
        yield Split(file.uri, format_name, 0, 1 if format_name == "jsonl.gz" else -1, file.size_bytes, file.etag)


def _plan_row_groups(file: SourceFile) -> Iterator[Split]:
    """A split for each row group; a file whose footer cannot be read stays whole, so that reading it makes the reject."""
    try:
        with open_binary(file.uri) as stream:
            metadata = pq.read_metadata(stream)
    except (OSError, EOFError, pa.ArrowException):
        yield Split(file.uri, "parquet", 0, -1, file.size_bytes, file.etag)
        return
    for group in range(metadata.num_row_groups):
        yield Split(file.uri, "parquet", group, group + 1, metadata.row_group(group).total_byte_size, file.etag)
