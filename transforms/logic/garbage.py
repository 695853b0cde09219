"""What of a workspace nothing names.

Ledgers stay, all of them: they are small, and a committed number must never be free again. So do calibrations and projections,
which collections name in Milvus, and every file that this version does not know. While a collection has unsettled intents its run is
under way, or died and will be finished by the next one: nothing of it goes. The clock of the store, which says when a file was written,
can only keep a file.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from transforms.logic.inventory import KeptFile, Kind, Listing


@dataclass(frozen=True)
class Garbage:
    """A file that may go, and why."""

    file: KeptFile
    reason: str


def ledger_garbage(listing: Listing, collection_key: str, named_parts: Collection[str]) -> list[Garbage]:
    """Settled intents and imports, and parts older than the current ledger that no kept one names; nothing while intents are unsettled.

    A part that is newer was written by a run towards the next ledger, which may be under way though it has no intents yet.
    """
    latest = listing.latest_ledger(collection_key)
    if latest is None or listing.unsettled_intents(collection_key):
        return []
    intents = [
        Garbage(file, f"ledger {file.number} was committed")
        for kind in (Kind.INTENTS, Kind.IMPORT)
        for file in listing.of(kind, collection_key)
        if file.number <= latest.number
    ]
    parts = [
        Garbage(file, "no kept ledger names it")
        for file in listing.of(Kind.PART, collection_key)
        if file.name not in named_parts and is_older(file, latest)
    ]
    return intents + parts


def temporary_garbage(listing: Listing) -> list[Garbage]:
    """Half-written files older than the last commit: writing takes seconds, so who wrote them is dead."""
    return [
        Garbage(file, "its writer died") for file in listing.of(Kind.TEMPORARY) if is_older(file, last_commit(listing))
    ]


def reject_garbage(listing: Listing, named: Mapping[str, Collection[str]]) -> list[Garbage]:
    """Reject files that their run's record does not name, older than it; those of runs without a record stay.

    Args:
        listing: of the workspace.
        named: names of the files that each run's record names.
    """
    records = {file.owner: file for file in listing.of(Kind.RECORD)}
    return [
        Garbage(file, f"the record of run {file.owner} does not name it")
        for file in listing.of(Kind.REJECTS)
        if file.owner in named and file.name not in named[file.owner] and is_older(file, records[file.owner])
    ]


def unreferenced_shards(listing: Listing, named_shards: Collection[str]) -> list[KeptFile]:
    """Shards that no kept ledger names, older than the last commit; nothing while any collection has unsettled intents."""
    if any(listing.unsettled_intents(key) for key in listing.owners(Kind.INTENTS)):
        return []
    commit = last_commit(listing)
    return [file for file in listing.of(Kind.SHARD) if file.name not in named_shards and is_older(file, commit)]


def last_commit(listing: Listing) -> KeptFile | None:
    """The ledger that the store dates last; None where there is none, or where the store gives no times."""
    dated = [file for file in listing.of(Kind.LEDGER) if file.modified_seconds is not None]
    return max(dated, key=lambda file: file.modified_seconds or 0, default=None)


def is_older(file: KeptFile, than: KeptFile | None) -> bool:
    """Whether the store says that a file was written before another one."""
    if than is None or file.modified_seconds is None or than.modified_seconds is None:
        return False
    return file.modified_seconds < than.modified_seconds
