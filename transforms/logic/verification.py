"""What a collection holds against what its ledger says, without holding either in memory.

Ids are 128-bit digests, so the sum of the ids of a set of rows is a checksum of the set (AdHash, see `checksum`), and equal ranges of ids
hold about equally many rows. Both sides are cut into such ranges; only the ids of ranges that differ are ever compared one by one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import regex

from transforms.logic.representations import VectorType
from transforms.logic.vectors import Float32

ROWS_PER_RANGE = 8192
"""Rows of a range, on average: half of the most that Milvus gives for one query."""
NAMED = 5
"""How many ids a finding names."""
_ID = regex.compile("[0-9a-f]{32}")
_LIMBS = 4
# One step of the type: a sum that another processor rounds otherwise moves a number by at most that.
_STEPS: Mapping[VectorType, float] = {"float32": 1e-6, "float16": 2.0**-10, "bfloat16": 2.0**-7, "int8": 1.0}


class Kind(StrEnum):
    """In what a collection may differ from its ledger. The list is closed."""

    UNFINISHED = "unfinished run"
    GONE = "gone"
    ALIAS = "alias"
    SPACE = "other space"
    INDEX = "index"
    LOAD = "not loaded"
    COUNT = "count"
    MISSING = "missing rows"
    UNKNOWN = "unknown rows"
    DOUBLED = "doubled rows"
    CONTENT = "other content"
    VECTOR = "other vector"
    NOT_FOUND = "does not find itself"
    RECALL = "recall"


@dataclass(frozen=True)
class Finding:
    """One way in which a collection is not what its ledger says.

    Attributes:
        kind: in what it differs.
        detail: what was found, in words.
        partition: where; empty where it concerns the whole collection.
        count: of how many rows, where rows can be told.
        ids: the first of them, in order.
    """

    kind: Kind
    detail: str
    partition: str = ""
    count: int = 0
    ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line."""
        where = f"partition {self.partition}: " if self.partition else ""
        first = f": {', '.join(self.ids)}{', …' if self.count > len(self.ids) else ''}" if self.ids else ""
        return f"{where}{self.kind}: {self.detail}{first}"

    def describe(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": self.kind.value,
            "partition": self.partition,
            "count": self.count,
            "ids": list(self.ids),
            "detail": self.detail,
        }


def rows_differ(kind: Kind, partition: str, ids: Iterable[str], detail: str) -> Finding:
    """A finding about rows, of which it names the first."""
    ordered = sorted(ids)
    return Finding(kind, f"{len(ordered):,} {detail}", partition, len(ordered), tuple(ordered[:NAMED]))


@dataclass
class Verification:
    """What a verification did, and what it found.

    Attributes:
        form: `quick` or `full`.
        ledger: number of the ledger that the collection was held against; 0 if there is none.
        rows: of that ledger.
        ids_compared: how many ids of Milvus went into checksums.
        rows_compared: how many rows were fetched back.
        vectors_exact: how many of them were equal to the last bit in every output.
        searched: how many stored vectors were searched for.
        recall: recall@10 of each partition against exact search, where it was measured.
        findings: every difference.
        collection: its name, where an alias of it was asked about; else perhaps empty.
    """

    form: str
    ledger: int
    rows: int
    ids_compared: int = 0
    rows_compared: int = 0
    vectors_exact: int = 0
    searched: int = 0
    recall: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    collection: str = ""

    def add(self, other: "Verification") -> None:
        """Takes over what another one did with rows, and found."""
        self.rows_compared += other.rows_compared
        self.vectors_exact += other.vectors_exact
        self.searched += other.searched
        self.findings += other.findings

    @property
    def next_step(self) -> str:
        """What mends that which was found; empty if nothing was."""
        kinds = {one.kind for one in self.findings}
        return next((step for some, step in _NEXT_STEPS if kinds and (not some or kinds & some)), "")

    def describe(self) -> dict[str, Any]:
        """Plain values, for the run record and JSON."""
        return {
            "form": self.form,
            "ledger": self.ledger,
            "rows": self.rows,
            "ids_compared": self.ids_compared,
            "rows_compared": self.rows_compared,
            "vectors_exact": self.vectors_exact,
            "searched": self.searched,
            "recall": {name: round(value, 4) for name, value in sorted(self.recall.items())},
            "findings": [finding.describe() for finding in self.findings],
        }


_ALL_LOST = "fill a fresh collection from the dataset, without encoding anything: corpus-embed load, or run --publish"
_NEXT_STEPS: Sequence[tuple[frozenset[Kind], str]] = (
    (
        frozenset({Kind.UNFINISHED, Kind.GONE}),
        "run again what filled it: no vector is encoded again; then verify again",
    ),
    (frozenset({Kind.ALIAS}), "let the alias mean what was published: corpus-embed rollback, as the finding says"),
    # A run takes collections whose counts are right for what the ledger says, and deletes no row that the ledger does not know.
    (frozenset({Kind.SPACE, Kind.INDEX, Kind.UNKNOWN, Kind.CONTENT, Kind.VECTOR}), _ALL_LOST),
    (
        frozenset({Kind.COUNT}),
        "run again what filled it: as the counts differ every row is written again, and no vector encoded; then verify again",
    ),
    (frozenset({Kind.LOAD}), "load it in Milvus; the next run, load or search does so too"),
    (frozenset(), _ALL_LOST),
)
"""What is to be done, by the first line with a kind that was found."""


class IdRanges:
    """Counts and checksums of the rows of each partition, by ranges of ids."""

    def __init__(self, partitions: Mapping[str, int], rows_per_range: int = ROWS_PER_RANGE) -> None:
        """Takes how many rows each partition has, which decides into how many ranges it is cut."""
        self._counts = {
            name: np.zeros(max(1, ceil(rows / rows_per_range)), np.int64) for name, rows in partitions.items()
        }
        self._sums = {name: np.zeros((len(counts), _LIMBS), np.uint64) for name, counts in self._counts.items()}

    @property
    def partitions(self) -> list[str]:
        """Names of the partitions, ordered."""
        return sorted(self._counts)

    def add(self, partition: str, ids: Sequence[str]) -> None:
        """Adds rows of one of the partitions; an id that is none raises `ValueError`."""
        limbs = _limbs(ids)
        ranges = self.ranges_of(partition, limbs[:, 0])
        np.add.at(self._counts[partition], ranges, 1)
        np.add.at(self._sums[partition], ranges, limbs)

    def count(self, partition: str, number: int | None = None) -> int:
        """Rows of one range, or of the partition."""
        counts = self._counts[partition]
        return int(counts.sum() if number is None else counts[number])

    def range_count(self, partition: str) -> int:
        """Into how many ranges a partition is cut."""
        return len(self._counts[partition])

    def is_same(self, partition: str, number: int, ids: Sequence[str]) -> bool:
        """Whether a range holds just these rows, in any order; ids that are none never are the same."""
        if len(ids) != self._counts[partition][number] or not all(map(is_id, ids)):
            return False
        return bool((_limbs(ids).sum(axis=0, dtype=np.uint64) == self._sums[partition][number]).all())

    def ranges_of(self, partition: str, prefixes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Range of each id by its first 32 bits, shape (n,)."""
        return ((prefixes * np.uint64(self.range_count(partition))) >> np.uint64(32)).astype(np.int64)

    def members(self, partition: str, number: int, ids: Sequence[str]) -> list[str]:
        """Those of some ids that a range holds."""
        inside = self.ranges_of(partition, _limbs(ids)[:, 0]) == number
        return [ids[place] for place in np.flatnonzero(inside).tolist()]

    def bounds(self, partition: str, number: int) -> tuple[str | None, str | None]:
        """Between which texts, the first one included, the ids of a range lie; None where it has no end.

        The ranges of a partition cover every text, so that no row escapes because its id is none of ours.
        """
        ranges = self.range_count(partition)
        lower, upper = (f"{-(-(one << 32) // ranges):08x}" for one in (number, number + 1))
        return (lower if number else None, upper if number + 1 < ranges else None)


def sample_order(ids: Sequence[str], salt: int) -> npt.NDArray[np.uint64]:
    """A number for each id by which the smallest are a uniform sample, another one for each salt in [0, 2^32); shape (n,)."""
    # Multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4), so that every bit of the salt counts.
    return (_limbs(ids)[:, -1] ^ np.uint64(salt)) * np.uint64(2_654_435_761) & np.uint64(0xFFFF_FFFF)


def is_id(text: str) -> bool:
    """Whether a text may be a chunk id: 32 hexadecimal characters."""
    return _ID.fullmatch(text) is not None


def _limbs(ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    """The 128 bits of each id as four numbers of 32 bits, most significant first, shape (n, 4)."""
    raw = bytes.fromhex("".join(ids))
    if len(raw) != 16 * len(ids):
        raise ValueError("some ids do not have 32 hexadecimal characters")
    return np.frombuffer(raw, ">u4").reshape(-1, _LIMBS).astype(np.uint64)


def differing_fields(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Names of the fields, but for vectors, in which a row of Milvus is not the expected one; floats compare as float32."""
    return [name for name, value in expected.items() if name not in found or not _is_same(value, found[name])]


def _is_same(expected: Any, found: Any) -> bool:
    if isinstance(expected, float):
        return isinstance(found, float) and np.float32(expected) == np.float32(found)
    return bool(expected == found)


_STORED_AS: dict[str, np.dtype[Any]] = {
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
    "int8": np.dtype(np.int8),
}


def stored_vector(found: Any, vector_type: VectorType) -> npt.NDArray[Any]:
    """A vector as Milvus's client gives it back, in the numbers of `representations.represent`, shape (m,)."""
    kind = _STORED_AS.get(vector_type, np.dtype(np.uint8))
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], bytes):
        found = found[0]
    if vector_type == "float32":
        return np.asarray(found, np.float32)
    return np.frombuffer(found, kind) if isinstance(found, bytes) else np.asarray(found, kind)


def stored_weights(found: Any) -> dict[int, float]:
    """Weights of tokens as Milvus's client gives them back, by vocabulary id, each as the float64 of its float32."""
    return {int(index): float(np.float32(weight)) for index, weight in dict(found).items()}


def stored_token_vectors(found: Any) -> Float32:
    """Vectors of tokens as Milvus's client gives them back, a struct each; shape (tokens, dimensions)."""
    return np.array([one["vector"] for one in found or ()], np.float32)


def vector_agrees(expected: npt.NDArray[Any], found: npt.NDArray[Any], vector_type: VectorType) -> tuple[bool, bool]:
    """Whether a stored vector is the expected one, and whether it is so to the last bit.

    The vector is made anew from the dataset, perhaps on another processor, whose sums may round otherwise: one step of the number type
    in any of its numbers is no difference, nor one bit of a binary vector.
    """
    if expected.shape != found.shape:
        return False, False
    if np.array_equal(expected, found):
        return True, True
    if vector_type == "binary":
        return int(np.unpackbits(expected ^ found).sum()) <= 1, False
    first, second = (_as_numbers(one, vector_type) for one in (expected, found))
    return bool(np.abs(first - second).max() <= _STEPS[vector_type]), False


def _as_numbers(stored: npt.NDArray[Any], vector_type: VectorType) -> npt.NDArray[np.float32]:
    if vector_type == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32)
