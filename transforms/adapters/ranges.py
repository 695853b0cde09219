"""Ids of a collection against those of its ledger, range by range; only ranges that differ are looked into."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from transforms.adapters.milvus.audit import AuditedCollection
from transforms.logic.verification import NAMED, Finding, IdRanges, Kind, Verification, rows_differ

_RANGES_LOOKED_INTO = 64
_ASKED_AT_ONCE = 500

HeldIds = Callable[[str, int, IdRanges], list[str]]
"""The ledger's ids of a range: of a partition, by number, in ranges cut so."""


def compare_ids(
    collection: AuditedCollection,
    wanted: IdRanges,
    counted: Mapping[str, int],
    held_ids: HeldIds,
    found: Verification,
) -> None:
    """Adds to `found` which ids are missing, unknown or doubled, partition by partition.

    Of the first 64 ranges of a partition that differ the ids are compared; the counts of the partition cover the rest.

    Args:
        collection: what is looked at.
        wanted: the ids of the ledger, in ranges.
        counted: rows of each partition, in which a row that is there twice is two.
        held_ids: gives the ids of a range where they are needed one by one.
        found: takes the findings, and how many ids were listed.
    """
    there = collection.partitions()

    def compare(partition: str) -> tuple[int, list[Finding]]:
        if partition not in there:
            rows = wanted.count(partition)
            detail = f"the partition is not there, and with it all {rows:,} of the ledger"
            return 0, [Finding(Kind.MISSING, detail, partition, rows)] if rows else []
        if partition not in wanted.partitions:
            ids = collection.ids(partition, None, None)
            return len(ids), [rows_differ(Kind.UNKNOWN, partition, ids, "are not in the ledger")] if ids else []
        is_even = counted.get(partition, 0) == wanted.count(partition)
        return _compare_partition(collection, partition, wanted, held_ids, is_even=is_even)

    with ThreadPoolExecutor(collection.asked_at_once) as threads:
        for compared, findings in threads.map(compare, sorted({*there, *wanted.partitions})):
            found.ids_compared += compared
            found.findings += findings


def _compare_partition(
    collection: AuditedCollection, partition: str, wanted: IdRanges, held_ids: HeldIds, *, is_even: bool
) -> tuple[int, list[Finding]]:
    """How many ids were listed, and what was found."""
    compared = 0
    missing: list[str] = []
    unknown: list[str] = []
    doubled: list[str] = []
    looked_into = 0
    for number in range(wanted.range_count(partition)):
        lower, upper = wanted.bounds(partition, number)
        listed = collection.ids(partition, lower, upper)
        compared += len(listed)
        distinct = set(listed)
        is_same = wanted.is_same(partition, number, list(distinct))
        if looked_into == _RANGES_LOOKED_INTO or (is_same and is_even):
            continue
        # Rows that are there twice are listed once or not at all, as the server likes, and counted twice.
        counted = collection.count_between(partition, lower, upper)
        if is_same and counted == wanted.count(partition, number):
            continue
        looked_into += 1
        held = set(held_ids(partition, number, wanted))
        unknown += distinct - held
        absent = sorted(held - distinct)
        hidden = list(_there(collection, partition, absent))
        missing += set(absent) - set(hidden)
        doubled += _doubled(collection, partition, sorted(distinct | set(hidden)), counted)
    differences = (
        (Kind.MISSING, missing, "of the ledger are not there"),
        (Kind.UNKNOWN, unknown, "are not in the ledger"),
        (Kind.DOUBLED, doubled, "are there more than once"),
    )
    return compared, [rows_differ(kind, partition, ids, detail) for kind, ids, detail in differences if ids]


def _there(collection: AuditedCollection, partition: str, ids: Sequence[str]) -> Iterator[str]:
    """Those of some ids that are there though they were not listed."""
    for start in range(0, len(ids), _ASKED_AT_ONCE):
        asked = ids[start : start + _ASKED_AT_ONCE]
        if collection.count_of(partition, asked):
            yield from (identity for identity in asked if collection.count_of(partition, [identity]))


def _doubled(collection: AuditedCollection, partition: str, ids: Sequence[str], counted: int) -> list[str]:
    """The first ids with more than one row, found by halving, where more rows are counted than there are ids."""
    if counted <= len(ids) or not ids:
        return []
    if len(ids) == 1:
        return list(ids)
    found: list[str] = []
    middle = len(ids) // 2
    for half in (ids[:middle], ids[middle:]):
        if len(found) < NAMED:
            found += _doubled(collection, partition, half, _count(collection, partition, half))
    return found


def _count(collection: AuditedCollection, partition: str, ids: Sequence[str]) -> int:
    return sum(
        collection.count_of(partition, ids[start : start + _ASKED_AT_ONCE])
        for start in range(0, len(ids), _ASKED_AT_ONCE)
    )
