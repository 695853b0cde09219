"""Files of records in other encodings than UTF-8, recoded as they are read, so that every reader sees UTF-8."""

import codecs
import io
from collections.abc import Callable
from io import BufferedReader
from typing import TYPE_CHECKING

from transforms.logic.decoding import codec_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIECE_BYTES = 256 << 10
_WIDE = ("utf-16", "utf-32")


class Changed(io.RawIOBase):
    """A stream whose pieces are changed on the way; the stream below is not closed."""

    def __init__(self, stream: BufferedReader, change: Callable[[bytes, bool], bytes]) -> None:
        """`change` takes a piece and whether it is the last, empty one."""
        super().__init__()
        self._stream = stream
        self._change = change
        self._output = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fills the buffer as far as the next piece goes; 0 at the end."""
        into = memoryview(buffer).cast("B")
        while not self._output and not self._ended:
            piece = self._stream.read1(_PIECE_BYTES)
            self._ended = not piece
            self._output = memoryview(self._change(piece, self._ended))
        count = min(len(into), len(self._output))
        into[:count] = self._output[:count]
        self._output = self._output[count:]
        return count


def recoded(stream: BufferedReader, encoding: str) -> BufferedReader:
    """A stream of another encoding as UTF-8.

    A lone surrogate or cut unit of UTF-16 or UTF-32 becomes U+FFFD. What other encodings cannot explain stays the bytes that it is,
    which are not UTF-8 and cost their record.
    """
    errors = "replace" if encoding.startswith(_WIDE) else "surrogateescape"
    decoder = codecs.getincrementaldecoder(codec_of(encoding))(errors)
    return BufferedReader(
        Changed(stream, lambda piece, last: decoder.decode(piece, last).encode("utf-8", "surrogateescape"))
    )


def with_newlines(stream: BufferedReader) -> BufferedReader:
    """A stream whose lines end in carriage returns alone, with newlines instead."""
    return BufferedReader(Changed(stream, lambda piece, _: piece.replace(b"\r", b"\n")))
