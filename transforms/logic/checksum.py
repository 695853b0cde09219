"""A checksum of a set of rows that does not depend on their order, nor on how they are divided over files and workers.

The checksum of rows is the sum, modulo 2^128, of a 128-bit digest of each (AdHash: Bellare and Micciancio, "A New Paradigm for
Collision-free Hashing", EUROCRYPT 1997). A row that is missing, doubled, changed or that swapped its content with another changes it, but
for a chance of 2^-128; it does not withstand somebody who chooses rows to that end.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from transforms.logic.identity import digest

HELD = "checksum.held"
WRITTEN = "checksum.written"
WANTED = "checksum.wanted"
REJECTED = "checksum.rejected"

_MODULUS = 1 << 128
# Tallies are summed as 64-bit floats, which hold whole numbers up to 2^53: room for 2^37 tallies.
_LIMB_BITS = 16
_LIMBS = 8


def checksum(rows: Iterable[Mapping[str, Any]]) -> int:
    """Of rows of the `LEDGER` schema, or of any with `id` and `row_key`: in [0, 2^128), 0 for none."""
    return sum(int.from_bytes(digest(row["id"], row["row_key"])) for row in rows) % _MODULUS


def combined(checksums: Iterable[int]) -> int:
    """The checksum of all rows from those of disjoint parts of them."""
    return sum(checksums) % _MODULUS


def without(whole: int, part: int) -> int:
    """The checksum of all rows but some, from those of all and of these."""
    return (whole - part) % _MODULUS


def as_text(value: int) -> str:
    """32 hexadecimal characters."""
    return f"{value:032x}"


def checksum_counts(name: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The checksum of rows as counts that may be added to others of the same name; `counted_checksum` reads it back."""
    return counts_of(name, checksum(rows))


def counts_of(name: str, value: int) -> dict[str, float]:
    """A checksum as `checksum_counts` gives it."""
    return {f"{name}.{limb}": value >> limb * _LIMB_BITS & (1 << _LIMB_BITS) - 1 for limb in range(_LIMBS)}


def counted_checksum(name: str, counts: Mapping[str, float]) -> int:
    """The checksum that added `checksum_counts` stand for."""
    return combined(int(counts.get(f"{name}.{limb}", 0)) << limb * _LIMB_BITS for limb in range(_LIMBS))
