"""Column chunks of a Parquet row group: where its footer says they lie, and a file that holds the small ones in memory."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import pyarrow as pa

from transforms.adapters.formats.footers import ColumnPlace, Footer

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_HELD_CHUNK_BYTES = 32 << 20
MAX_HELD_BYTES = 128 << 20

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_CODECS = {0: "", 1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}


class MalformedChunkError(ValueError):
    """A column chunk that lies where it cannot lie, or whose pages do not hold together."""


@dataclass(frozen=True)
class Chunk:
    """One column of one row group as its footer describes it, at bytes `start` to `stop` of the file.

    `codec` is Arrow's name of the compression, empty for none or one that cannot be unpacked here; `width` the bytes of a value, None if
    they differ; `repeated` tells lists and maps, whose rows have any number of values; `as_dictionary` a column that Arrow decodes to a
    dictionary.
    """

    path: str
    start: int
    stop: int
    values: int
    codec: str
    width: int | None = None
    repeated: bool = False
    as_dictionary: bool = False


def column_chunks(
    footer: Footer, schema: pa.Schema, group: int, names: Sequence[str], file_bytes: int
) -> Iterator[Chunk]:
    """The chunks of the columns of these names, and of all that is nested in them.

    Raises:
        MalformedChunkError: one does not lie within the file, or has not a value for each row.
    """
    dictionaries = {field.name for field in schema if _holds_dictionary(field.type)}
    for index, place in enumerate(footer.groups[group].columns):
        column = footer.metadata.schema.column(index)
        if not _belongs(column.path, names):
            continue
        start, stop, values = _place(column.path, place, file_bytes)
        repeated = column.max_repetition_level > 0
        if not repeated and values != footer.groups[group].rows:
            message = f"column {column.path!r} has {values} values, its row group {footer.groups[group].rows} rows"
            raise MalformedChunkError(message)
        width = column.length if column.physical_type == "FIXED_LEN_BYTE_ARRAY" else _WIDTHS.get(column.physical_type)
        codec = _CODECS.get(place.get(4, 0), "")
        yield Chunk(column.path, start, stop, values, codec, width, repeated, _belongs(column.path, dictionaries))


def _belongs(path: str, names: Iterable[str]) -> bool:
    """Whether the column has one of the names, or is nested in one that has."""
    return any(path == name or path.startswith(f"{name}.") for name in names)


def _place(path: str, place: ColumnPlace, file_bytes: int) -> tuple[int, int, int]:
    """First byte, first byte after it, and number of values, as the decoder takes them."""
    values, packed_bytes, start = (place.get(number, -1) for number in (5, 7, 9))
    if 0 < place.get(11, 0) < start:
        start = place[11]
    stop = start + packed_bytes
    if not 0 < start <= stop <= file_bytes or values < 0:
        raise MalformedChunkError(f"column {path!r} lies at bytes {start} to {stop} of a file of {file_bytes}")
    return start, stop, values


def _holds_dictionary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return True
    return any(_holds_dictionary(kind.field(index).type) for index in range(kind.num_fields))


class HeldChunks(io.RawIOBase):
    """A file that reads small column chunks whole, once, and serves them from memory.

    The decoder takes turns between columns in small pieces, which over a network would fetch everything many times.
    """

    def __init__(self, stream: IO[bytes], chunks: Sequence[Chunk]) -> None:
        """Reads the chunks of at most `MAX_HELD_CHUNK_BYTES`, as many as fit `MAX_HELD_BYTES`; the stream stays the caller's."""
        super().__init__()
        self._stream = stream
        self._position = 0
        self._held: list[tuple[int, bytes]] = []
        room = MAX_HELD_BYTES
        for chunk in sorted(chunks, key=lambda chunk: chunk.stop - chunk.start):
            size_bytes = chunk.stop - chunk.start
            if size_bytes > min(room, MAX_HELD_CHUNK_BYTES):
                break
            stream.seek(chunk.start)
            self._held.append((chunk.start, stream.read(size_bytes)))
            room -= size_bytes

    def read_at(self, start: int, size_bytes: int) -> bytes:
        """At most so many bytes from `start`, fewer only at the end of the file."""
        for held_start, data in self._held:
            if held_start <= start and start + size_bytes <= held_start + len(data):
                return data[start - held_start : start - held_start + size_bytes]
        self._stream.seek(start)
        return self._stream.read(size_bytes)

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes, fewer only at the end of the file; negative or None for the rest of it."""
        if size is None or size < 0:
            size = max(0, self._stream.seek(0, io.SEEK_END) - self._position)
        data = self.read_at(self._position, size)
        self._position += len(data)
        return data

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fills the buffer as far as the file goes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Moves the position, as any file does."""
        if whence == io.SEEK_END:
            offset += self._stream.seek(0, io.SEEK_END)
        elif whence == io.SEEK_CUR:
            offset += self._position
        self._position = offset
        return offset

    def tell(self) -> int:
        """The position."""
        return self._position

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True
