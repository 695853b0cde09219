"""A file opened for its format's reader: told by its content, unpacked and recoded as it is read."""

import shutil
import tempfile
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from io import BufferedReader, RawIOBase
from typing import IO, cast

from transforms.adapters.formats.compression import unpacked
from transforms.adapters.formats.raw import RefusedFileError
from transforms.adapters.formats.recoding import recoded, with_newlines
from transforms.adapters.formats.sniffing import (
    AUTO,
    HEAD_BYTES,
    archive_of,
    compression_of,
    encoding_of,
    is_plain_text,
    told_by_content,
)
from transforms.adapters.formats.splits import Split
from transforms.adapters.storage import open_binary
from transforms.logic.decoding import UTF8, guess_encoding
from transforms.logic.records import Reading
from transforms.logic.schemas import Reason

MAX_LAYERS = 2
"""A file may be compressed twice, by someone who did not see that it was; not more often."""
_BUFFER_BYTES = 1 << 20
_PARQUET_MAGIC = b"PAR1"
_RECORD_FORMATS = frozenset({"jsonl", "json", "csv", "tsv"})
_SEEKING_FORMATS = frozenset({"parquet", "pdf"})
_TEXT_FORMATS = frozenset({"csv", "tsv", "text", "markdown", "html"})


@dataclass(frozen=True)
class Opened:
    """What a reader gets: the stream, the split as its content told it, and the encoding that the stream was recoded from."""

    stream: IO[bytes]
    split: Split
    encoding: str = UTF8


@contextmanager
def open_split(split: Split, reading: Reading) -> Iterator[Opened | None]:
    """Opens a split's file; None for an empty file of no format.

    Raises:
        RefusedFileError: nothing tells its format, or it is an archive of several files.
    """
    with open_binary(split.uri, split.etag) as stream, ExitStack() as layers:
        if split.start:
            # Only what was looked into is cut.
            yield Opened(layers.enter_context(_buffered(stream)), split)
        elif split.format == "parquet" and not split.compression and _begins_as_parquet(stream):
            yield Opened(stream, split)
        else:
            yield _open_by_content(layers.enter_context(_buffered(stream)), split, reading, layers)


def _buffered(stream: IO[bytes]) -> BufferedReader:
    # Buffered, so that a failure of the file loses no line before it; closed by the caller, as a reader that is only dropped warns.
    return BufferedReader(cast("RawIOBase", stream), _BUFFER_BYTES)


def _begins_as_parquet(stream: IO[bytes]) -> bool:
    begins = stream.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
    stream.seek(0)
    return begins


def _open_by_content(stream: BufferedReader, split: Split, reading: Reading, layers: ExitStack) -> Opened | None:
    plain, layer_count = _unpack(stream, split, reading)
    head = plain.peek(HEAD_BYTES)[:HEAD_BYTES]
    archive = archive_of(head)
    if archive:
        detail = f"{archive} of several files: unpack it, or leave it out with --exclude"
        raise RefusedFileError(Reason.UNKNOWN_FORMAT, detail)
    format_name = told_by_content(split.format, head) if reading.format == AUTO else reading.format
    if format_name == AUTO:
        if not head:
            return None
        detail = "neither name nor content tell the format: name it with --format, or leave the file out with --exclude"
        raise RefusedFileError(Reason.UNKNOWN_FORMAT, detail)
    told = replace(split, format=format_name)
    if layer_count or format_name != split.format:
        told = replace(told, stop=-1)
    if format_name in _SEEKING_FORMATS:
        return Opened(_seekable(plain, stream, layers), told)
    if format_name in _RECORD_FORMATS:
        return _open_records(plain, told, head, reading)
    return Opened(plain, told)


def _unpack(stream: BufferedReader, split: Split, reading: Reading) -> tuple[BufferedReader, int]:
    """The stream below all compression, and how many layers there were."""
    for layer_count in range(MAX_LAYERS + 1):
        head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
        compression = compression_of(head)
        if not compression:
            if split.compression and not layer_count:
                _check_is_plain(split, head)
            return stream, layer_count
        stream = unpacked(stream, compression, reading, _BUFFER_BYTES)
    raise RefusedFileError(Reason.UNKNOWN_FORMAT, f"compressed more than {MAX_LAYERS} times")


def _check_is_plain(split: Split, head: bytes) -> None:
    """A file that was unpacked but kept its name is read; one that is damaged from its first byte is not taken for text."""
    told = told_by_content(AUTO, head) != AUTO or (split.format in _TEXT_FORMATS and is_plain_text(head))
    if head and not told:
        raise RefusedFileError(Reason.UNREADABLE_FILE, f"named as {split.compression}, but does not begin as such")


def _seekable(plain: BufferedReader, stream: BufferedReader, layers: ExitStack) -> IO[bytes]:
    if plain is stream:
        stream.seek(0)
        return stream
    # On disk, as these formats are read from their end.
    file = layers.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    shutil.copyfileobj(plain, file, _BUFFER_BYTES)
    file.seek(0)
    return cast("IO[bytes]", file)


def _open_records(plain: BufferedReader, split: Split, head: bytes, reading: Reading) -> Opened:
    encoding, mark_bytes = encoding_of(head)
    delimited = split.format in {"csv", "tsv"}
    if encoding != UTF8:
        plain.read(mark_bytes)
    elif delimited and reading.decoding == "detect":
        encoding = _guess(head) or UTF8
    if encoding != UTF8:
        plain, split = recoded(plain, encoding), replace(split, stop=-1)
        head = plain.peek(HEAD_BYTES)[:HEAD_BYTES]
    if delimited and b"\r" in head and b"\n" not in head:
        plain = with_newlines(plain)
    return Opened(plain, split, encoding)


def _guess(head: bytes) -> str | None:
    """The encoding of a file of rows, which are too short to tell theirs each for itself; None for UTF-8 and if it cannot be told."""
    try:
        getincrementaldecoder(UTF8)().decode(head)
    except UnicodeDecodeError as error:
        return guess_encoding(head, error.start)
    return None
