"""What reading a Parquet row group may cost in memory, told from its page headers before a page is unpacked.

A footer may say anything, and a page of some bytes may stand for gigabytes: by compression, by a dictionary whose one entry is
repeated, by shared prefixes. What bounds the decoder is in the page headers, which are few and small.
Source: parquet-format, Encodings.md and parquet.thrift.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.adapters.formats.chunks import Chunk, MalformedChunkError
from transforms.adapters.formats.thrift import CompactReader, CutThriftError, Kept, MalformedThriftError

MAX_RESIDENT_BYTES = 448 << 20
"""Pages and dictionaries that the columns of a row group may hold at once."""

MAX_BATCH_BYTES = 128 << 20
"""What the values of one decoded batch may take."""

MAX_NESTED_BYTES = 256 << 20
"""What the nested columns of a row group may take: how their values are spread over rows is not told, one row may have them all."""

_BATCH_ROWS = (4096, 1024, 256, 64, 16, 4, 1)
_MAX_PAGES = 1_000_000
_FIRST_READ_BYTES = 256
_MAX_HEADER_BYTES = 16 << 20
_MAX_INT32 = (1 << 31) - 1

_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_PAGE_HEADER: Kept = {
    1: None,
    2: None,
    3: None,
    5: {1: None, 2: None},
    7: {1: None, 2: None},
    8: {1: None, 4: None},
}
_MAX_HEADER_STRUCTS = 1000
_BY_DICTIONARY = frozenset({2, 8})
_BY_PREFIX = 7
_LEVEL_BYTES = 4  # definition and repetition level, two bytes each
_ENTRY_BYTES = 16  # how the decoder keeps an entry of a dictionary, beside its text
_DICTIONARY_COPIES = (
    5  # of a column whose Arrow type is a dictionary: page, decoder, hash table, builder, batch (measured 4.5)
)
_SMALL_DICTIONARY_BYTES = 8 << 10
_WALKED_DICTIONARY_BYTES = 16 << 20

ReadAt = Callable[[int, int], bytes]
"""Gives at most so many bytes (second) from an offset (first)."""


class OversizedError(ValueError):
    """A row group that cannot be read in bounded memory; `bomb` if repetition or compression is the cause, not size."""

    def __init__(self, detail: str, *, bomb: bool) -> None:
        super().__init__(detail)
        self.bomb = bomb


@dataclass(frozen=True)
class _Page:
    kind: int
    start: int
    packed_bytes: int
    size_bytes: int
    values: int
    encoding: int

    @property
    def held_bytes(self) -> int:
        """Bytes once unpacked; where nothing is packed the decoder takes the page as it stands, whatever its header says."""
        return max(self.size_bytes, self.packed_bytes)


def choose_batch_rows(chunks: Sequence[Chunk], read_at: ReadAt) -> int:
    """How many rows (1 to 4,096) may be decoded at once so that the values of these columns fit `MAX_BATCH_BYTES`.

    Raises:
        OversizedError: not even one row can be decoded within the limits.
        MalformedChunkError: the pages do not hold together.
    """
    costs = [_cost(chunk, read_at) for chunk in chunks]
    _check("pages and dictionaries", [cost.resident for cost in costs], costs, MAX_RESIDENT_BYTES)
    _check("nested values", [cost.nested for cost in costs], costs, MAX_NESTED_BYTES)
    for rows in _BATCH_ROWS:
        taken = [cost.batch(rows) for cost in costs]
        if sum(taken) <= MAX_BATCH_BYTES or rows == 1:
            # One row of a page that fits may take as much as the page.
            _check("values of one row", taken, costs, MAX_BATCH_BYTES + MAX_RESIDENT_BYTES)
            return rows
    raise AssertionError(_BATCH_ROWS)


@dataclass(frozen=True)
class _Cost:
    chunk: Chunk
    resident: int
    nested: int
    stored: int
    cell: int
    page_ends: np.ndarray[Any, np.dtype[np.int64]]
    page_bytes: np.ndarray[Any, np.dtype[np.int64]]

    def batch(self, rows: int) -> int:
        """Most bytes that so many rows take: those of fixed or repeated values, and all pages that a window of rows touches."""
        if self.chunk.repeated:
            return 0
        fixed = rows * (self.cell + _LEVEL_BYTES)
        if not len(self.page_bytes):
            return fixed
        sums = np.concatenate([[0], np.cumsum(self.page_bytes)])
        # The window begins in the last row of a page.
        last = np.searchsorted(self.page_ends, self.page_ends + rows - 1, side="left")
        ends = np.minimum(last + 1, len(self.page_bytes))
        return fixed + int((sums[ends] - sums[: len(self.page_bytes)]).max())


def _check(what: str, taken: Sequence[int], costs: Sequence[_Cost], most_bytes: int) -> None:
    if sum(taken) <= most_bytes:
        return
    largest = int(np.argmax(taken))
    stored = sum(cost.stored for cost in costs)
    detail = (
        f"{what} may take {sum(taken)} bytes of memory, {most_bytes} are allowed, most of them for column {costs[largest].chunk.path!r}; "
        "name the columns needed with --metadata-columns, or write the file with smaller pages and row groups"
    )
    raise OversizedError(detail, bomb=sum(taken) > 64 * stored)


def _cost(chunk: Chunk, read_at: ReadAt) -> _Cost:
    resident = packed = unpacked = dictionary_bytes = entries = longest = nested = cell = 0
    ends: list[int] = []
    sizes: list[int] = []
    rows = 0
    for page in _pages(chunk, read_at):
        packed, unpacked = max(packed, page.packed_bytes), max(unpacked, page.held_bytes)
        if page.kind == _DICTIONARY:
            dictionary_bytes, entries = page.held_bytes, page.values
            longest = _longest_entry(chunk, page, read_at) if chunk.width is None else chunk.width
            continue
        rows += page.values
        one, whole = _value_bytes(chunk, page, longest)
        cell = max(cell, one)
        nested += page.values * (one + _LEVEL_BYTES) + whole
        if whole:
            ends.append(rows)
            sizes.append(whole)
    copies = _DICTIONARY_COPIES if chunk.as_dictionary else 2
    resident = packed + unpacked + copies * dictionary_bytes + entries * _ENTRY_BYTES
    if chunk.as_dictionary:
        # The decoder adds every other value to the dictionary, and never forgets one.
        resident += copies * sum(sizes)
    return _Cost(
        chunk,
        resident,
        nested if chunk.repeated else 0,
        max(1, chunk.stop - chunk.start),
        cell,
        np.array(ends, np.int64),
        np.array(sizes, np.int64),
    )


def _value_bytes(chunk: Chunk, page: _Page, longest: int) -> tuple[int, int]:
    """The most that each value of the page takes, and what all take together on top."""
    if chunk.width is not None:
        return chunk.width, 0
    if page.encoding in _BY_DICTIONARY:
        return longest, 0
    if page.encoding == _BY_PREFIX:
        return page.held_bytes, 0
    return 4, page.held_bytes


def _pages(chunk: Chunk, read_at: ReadAt) -> Iterator[_Page]:
    """The pages up to the last value: the decoder reads no further."""
    position, values, count = chunk.start, 0, 0
    while values < chunk.values and position < chunk.stop:
        page = _page(chunk, position, read_at)
        yield page
        if page.kind != _DICTIONARY:
            values += page.values
        position = page.start + page.packed_bytes
        count += 1
        if count > _MAX_PAGES:
            raise MalformedChunkError(f"column {chunk.path!r} has more than {_MAX_PAGES} pages in a row group")
    if values < chunk.values:
        raise MalformedChunkError(
            f"the pages of column {chunk.path!r} hold {values} values, its footer says {chunk.values}"
        )


def _header(chunk: Chunk, position: int, read_at: ReadAt) -> tuple[Mapping[int, Any], int]:
    """The header at a position, and its length in bytes."""
    size_bytes = _FIRST_READ_BYTES
    while True:
        data = read_at(position, min(size_bytes, chunk.stop - position))
        reader = CompactReader(data, _MAX_HEADER_STRUCTS)
        try:
            return reader.read(_PAGE_HEADER), reader.position
        except MalformedThriftError as error:
            whole = len(data) < size_bytes or size_bytes >= _MAX_HEADER_BYTES
            if whole or not isinstance(error, CutThriftError):
                raise MalformedChunkError(f"a page header of column {chunk.path!r}: {error}") from error
            # Headers hold the least and the greatest value of their page, which may be long.
            size_bytes *= 16


def _page(chunk: Chunk, position: int, read_at: ReadAt) -> _Page:
    header, header_bytes = _header(chunk, position, read_at)
    kind = header.get(1)
    data_header = header.get({_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}.get(kind, 0), {}) if isinstance(kind, int) else {}
    if not isinstance(data_header, dict):
        raise MalformedChunkError(f"a page header of column {chunk.path!r} has a field of another type")
    encoding = data_header.get(4 if kind == _DATA_V2 else 2, 0)
    numbers = (kind, header.get(3), header.get(2), data_header.get(1, 0), encoding)
    if not all(isinstance(number, int) and 0 <= number <= _MAX_INT32 for number in numbers):
        raise MalformedChunkError(f"a page header of column {chunk.path!r} has sizes out of range")
    page = _Page(int(kind or 0), position + header_bytes, *map(int, numbers[1:]))
    if page.start + page.packed_bytes > chunk.stop:
        raise MalformedChunkError(f"a page of column {chunk.path!r} ends beyond its column chunk")
    if page.kind == _DICTIONARY and page.values > page.size_bytes:
        raise MalformedChunkError(f"a dictionary of column {chunk.path!r} has more entries than bytes")
    return page


def _longest_entry(chunk: Chunk, page: _Page, read_at: ReadAt) -> int:
    """Bytes of a dictionary's longest text, or of the whole page where that is small or cannot be told."""
    if page.size_bytes <= _SMALL_DICTIONARY_BYTES or page.size_bytes > _WALKED_DICTIONARY_BYTES:
        return page.held_bytes
    data = read_at(page.start, page.packed_bytes)
    if chunk.codec:
        try:
            data = pa.Codec(chunk.codec).decompress(data, page.size_bytes, asbytes=True)
        except (OSError, ValueError):
            return page.held_bytes
    longest = position = 0
    while position + 4 <= len(data):
        length = int.from_bytes(data[position : position + 4], "little")
        longest = max(longest, length)
        position += 4 + length
    return min(longest, page.held_bytes)
