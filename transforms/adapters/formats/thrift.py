"""Thrift's compact protocol, as far as Parquet's own headers need it: walked without building what they claim to hold.

Source: Apache Thrift, "Thrift Compact protocol encoding" (thrift-compact-protocol.md).
"""

from collections.abc import Mapping
from typing import Any, Union

_TRUE, _FALSE, _BYTE, _SHORT, _INTEGER, _LONG, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_LONG_LIST = 15
_MORE = 128
_MAX_DEPTH = 32
_MAX_SHIFT = 63

Kept = Mapping[int, Union["Kept", None]]
"""Numbers of the fields that are kept: of structures and lists of structures with what is kept of them, of others with None."""


class MalformedThriftError(ValueError):
    """Bytes that are no compact Thrift, are nested too deep, or hold more structures than allowed."""


class CutThriftError(MalformedThriftError):
    """The bytes end within a value: with more of them it may be whole."""


class CompactReader:
    """A position in compact Thrift."""

    def __init__(self, data: bytes, max_structs: int) -> None:
        """Takes the bytes, and how many structures may be walked before it raises `MalformedThriftError`."""
        self._data = data
        self._structs_left = max_structs
        self.position = 0

    def read(self, kept: Kept) -> dict[int, Any]:
        """The structure at the position: integers, truths, structures and lists of structures by field number.

        Raises:
            CutThriftError: the bytes end too early.
            MalformedThriftError: they are not what they should be.
        """
        try:
            fields = self._struct(kept, 0)
        except IndexError as error:
            raise CutThriftError("the bytes end within a value") from error
        if self.position > len(self._data):
            raise CutThriftError("the bytes end within a value")
        return fields

    def _struct(self, kept: Kept, depth: int) -> dict[int, Any]:
        self._structs_left -= 1
        if self._structs_left < 0:
            raise MalformedThriftError("more structures than allowed")
        if depth > _MAX_DEPTH:
            raise MalformedThriftError(f"structures are nested deeper than {_MAX_DEPTH}")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._data[self.position]:
            self.position += 1
            number = number + (head >> 4) if head >> 4 else self._integer()
            kind = head & 15
            if kind <= _FALSE:
                value: Any = kind == _TRUE
            else:
                value = self._value(kind, kept.get(number) or {}, depth)
            if number in kept:
                fields[number] = value
        self.position += 1
        return fields

    def _value(self, kind: int, kept: Kept, depth: int) -> Any:
        if _SHORT <= kind <= _LONG:
            return self._integer()
        if kind == _BINARY:
            # The length is taken first: reading it moves the position.
            size_bytes = self._varint()
            self.position += size_bytes
        elif kind == _STRUCT:
            return self._struct(kept, depth + 1)
        elif kind in {_LIST, _SET}:
            return self._elements(kept, depth + 1)
        elif kind == _MAP:
            self._pairs(depth + 1)
        elif kind in {_BYTE, _DOUBLE}:
            self.position += 1 if kind == _BYTE else 8
        else:
            raise MalformedThriftError(f"no type has the number {kind}")
        return None

    def _elements(self, kept: Kept, depth: int) -> list[Any]:
        head = self._data[self.position]
        self.position += 1
        count = self._varint() if head >> 4 == _LONG_LIST else head >> 4
        elements = []
        for _ in range(count):
            element = self._element(head & 15, kept, depth)
            if kept:
                elements.append(element)
        return elements

    def _pairs(self, depth: int) -> None:
        count = self._varint()
        kinds = self._data[self.position] if count else 0
        self.position += bool(count)
        for _ in range(count):
            self._element(kinds >> 4, {}, depth)
            self._element(kinds & 15, {}, depth)

    def _element(self, kind: int, kept: Kept, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise MalformedThriftError(f"lists are nested deeper than {_MAX_DEPTH}")
        if self.position >= len(self._data):
            raise IndexError(self.position)
        # Outside a structure's field a truth takes a byte of its own.
        return self._value(_BYTE if kind in {_TRUE, _FALSE} else kind, kept, depth)

    def _varint(self) -> int:
        data, position = self._data, self.position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            if byte < _MORE:
                self.position = position
                return value | byte << shift
            value |= (byte & 127) << shift
            shift += 7
            if shift > _MAX_SHIFT:
                raise MalformedThriftError("an integer has more than 64 bits")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
