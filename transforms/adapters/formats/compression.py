"""gzip, zstd, bz2 and xz, unpacked as a stream: several members, bounded memory, and a cap on what a small file may become."""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Protocol

import zstandard

from transforms.adapters.formats.raw import BROKEN_FILE, RefusedFileError
from transforms.logic.records import Reading
from transforms.logic.schemas import Reason

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_WINDOW_BYTES = 1 << 27
"""Memory that a zstd window or an xz dictionary may ask for, 128 MiB: what `zstd -19` and `xz -9` stay below."""
FREE_OUTPUT_BYTES = 64 << 20
"""Output for which no ratio is asked: small files may be as repetitive as they like."""
_INPUT_BYTES = 64 << 10
# A block of 4 bytes may stand for 128 KiB, and zstandard gives all that its input holds at once: 8 MiB here.
_ZSTD_INPUT_BYTES = 1 << 8


class _Member(Protocol):
    """Unpacks one gzip member, zstd frame, bz2 or xz stream."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _GzipMember:
    """zlib's decompressor in the shape of bz2's: what was not consumed is kept here."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._member.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._member.decompress(self._member.unconsumed_tail + data, max_length)


class _ZstdFrame:
    """zstandard's decompressor in the shape of bz2's: input is fed in small pieces, as its output cannot be bounded."""

    def __init__(self) -> None:
        self._frame = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()
        self._waiting = memoryview(b"")

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data + bytes(self._waiting)

    @property
    def needs_input(self) -> bool:
        return not self._waiting

    def decompress(self, data: bytes, max_length: int) -> bytes:  # noqa: ARG002
        waiting = self._waiting or memoryview(data)
        self._waiting = waiting[_ZSTD_INPUT_BYTES:]
        return self._frame.decompress(waiting[:_ZSTD_INPUT_BYTES])


_MEMBERS: Mapping[str, Callable[[], _Member]] = MappingProxyType(
    {
        "gzip": _GzipMember,
        "zstd": _ZstdFrame,
        "bz2": bz2.BZ2Decompressor,
        "xz": lambda: lzma.LZMADecompressor(memlimit=MAX_WINDOW_BYTES),
    }
)

_PADDED = frozenset({"gzip", "xz"})
"""Formats whose files may be filled up with zero bytes."""


class Unpacked(io.RawIOBase):
    """The content of a compressed stream, read once from its beginning.

    What stands before damage is given before the damage raises one of `raw.BROKEN_FILE`, and a file that ends within a member raises
    `EOFError`. The stream below is not closed.
    """

    def __init__(self, packed: IO[bytes], compression: str, reading: Reading) -> None:
        """Takes a stream, `gzip`, `zstd`, `bz2` or `xz`, and the caps on what it may unpack to."""
        super().__init__()
        self._packed = packed
        self._compression = compression
        self._reading = reading
        self._member: _Member | None = None
        self._input = b""
        self._output = memoryview(b"")
        self._failure: Exception | None = None
        self._input_bytes = 0
        self._output_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fills the buffer; less at the end, or before what is damaged."""
        into = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(into) and (self._output or self._go_on(len(into), filled)):
            count = min(len(into) - filled, len(self._output))
            into[filled : filled + count] = self._output[:count]
            self._output = self._output[count:]
            filled += count
        return filled

    def _go_on(self, most_bytes: int, filled: int) -> bool:
        """Makes more output; a failure waits until what stands before it was given."""
        if self._failure is None:
            try:
                self._output = memoryview(self._unpack(most_bytes))
            except (*BROKEN_FILE, RefusedFileError) as error:
                self._failure = error
        if self._failure is not None and not filled:
            raise self._failure
        return bool(self._output)

    def _unpack(self, most_bytes: int) -> bytes:
        while self._member is not None or self._begins():
            member = self._member or _MEMBERS[self._compression]()
            self._member = member
            data = self._take() if member.needs_input else b""
            if member.needs_input and not data:
                raise EOFError(f"the file ends within its {self._compression} data: it is cut off")
            output = member.decompress(data, most_bytes)
            if member.eof:
                self._input, self._member = member.unused_data, None
            if output:
                self._count(len(output))
                return output
        return b""

    def _begins(self) -> bool:
        """Whether another member follows."""
        while True:
            data = self._take()
            if not data:
                return False
            self._input = data.lstrip(b"\x00") if self._compression in _PADDED else data
            if self._input:
                return True

    def _take(self) -> bytes:
        if self._input:
            data, self._input = self._input, b""
            return data
        data = self._packed.read(_INPUT_BYTES)
        self._input_bytes += len(data)
        return data

    def _count(self, output_bytes: int) -> None:
        self._output_bytes += output_bytes
        reading = self._reading
        if self._output_bytes > reading.max_decompressed_bytes:
            detail = f"unpacks to more than the {reading.max_decompressed_bytes} bytes of --max-decompressed-bytes"
            raise RefusedFileError(Reason.DECOMPRESSION_BOMB, detail)
        most = max(FREE_OUTPUT_BYTES, reading.max_compression_ratio * self._input_bytes)
        if self._output_bytes > most:
            detail = (
                f"{self._input_bytes} bytes unpack to {self._output_bytes} and more, "
                f"above the ratio {reading.max_compression_ratio:g} of --max-compression-ratio"
            )
            raise RefusedFileError(Reason.DECOMPRESSION_BOMB, detail)


def unpacked(packed: IO[bytes], compression: str, reading: Reading, buffer_bytes: int = 1 << 20) -> io.BufferedReader:
    """An unpacked stream behind a buffer."""
    return io.BufferedReader(Unpacked(packed, compression, reading), buffer_bytes)
