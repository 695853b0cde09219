"""Finds and removes what of a workspace nothing names (`logic.garbage` says what that is).

A vector is known by its content key, whatever shard it lies in, and one that no ledger names today may spare a run its encoding
tomorrow. So a shard goes only if every content of it lies in a shard that stays, unless all unreferenced shards are asked for.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from transforms.adapters import stores
from transforms.adapters.inventory import list_workspace, named_rejects, read_records
from transforms.adapters.storage import filesystem_of, join
from transforms.adapters.workspace import Workspace, read_ledger
from transforms.logic.errors import ConfigurationError, CorruptDataError, TransientError
from transforms.logic.garbage import (
    Garbage,
    ledger_garbage,
    reject_garbage,
    temporary_garbage,
    unreferenced_shards,
)
from transforms.logic.inventory import KeptFile, Kind, Listing

_Range = tuple[int, int]


def find_garbage(uri: str, keep_ledgers: int = 2, *, all_unreferenced_shards: bool = False) -> list[Garbage]:
    """What may be removed, ordered by path.

    Args:
        uri: of the workspace.
        keep_ledgers: how many of each collection's newest ledgers keep their parts and shards.
        all_unreferenced_shards: also shards with contents that no other shard holds.

    Raises:
        ConfigurationError: there is no workspace, or no ledger would be kept.
        CorruptDataError: something that a kept ledger names is gone or damaged, so that nothing can be said.
    """
    if keep_ledgers < 1:
        raise ConfigurationError(
            f"--keep-ledgers {keep_ledgers}: at least the current ledger is kept; choose 1 or more"
        )
    listing = list_workspace(uri)
    garbage: list[Garbage] = temporary_garbage(listing)
    named_shards: set[str] = set()
    for key in listing.owners(Kind.LEDGER):
        parts = _named_parts(uri, listing, key, keep_ledgers)
        garbage += ledger_garbage(listing, key, parts)
        for part in sorted(parts):
            named_shards.update(Workspace(uri, "", key).read_ledger_part(part).column("shard").unique().to_pylist())
    named = {
        run_id: {file.name for file in named_rejects(listing.of(Kind.REJECTS, run_id), record)}
        for run_id, record in read_records(uri, listing).items()
    }
    garbage += reject_garbage(listing, named)
    candidates = unreferenced_shards(listing, named_shards)
    if all_unreferenced_shards:
        garbage += [Garbage(file, "no kept ledger names it") for file in candidates]
    else:
        garbage += _held_elsewhere(uri, listing, candidates)
    return sorted(garbage, key=lambda one: one.file.path)


def _named_parts(uri: str, listing: Listing, key: str, keep_ledgers: int) -> set[str]:
    newest = sorted(listing.of(Kind.LEDGER, key), key=lambda file: file.number)[-keep_ledgers:]
    current, _ = read_ledger(join(uri, newest[-1].path), newest[-1].number)
    there = {file.name for file in listing.of(Kind.PART, key)}
    missing = sorted(set(current.parts) - there)
    if missing:
        raise CorruptDataError(
            f"{join(uri, 'ledger', key, 'parts', missing[0])} is gone, though a ledger names it; restore it"
        )
    # An earlier removal may have kept fewer ledgers.
    return {
        part for file in newest for part in read_ledger(join(uri, file.path), file.number)[0].parts if part in there
    }


def _held_elsewhere(uri: str, listing: Listing, candidates: Sequence[KeptFile]) -> list[Garbage]:
    """Shards whose every content lies in shards that stay; two that hold the same leave one."""
    garbage = []
    for space in listing.owners(Kind.SHARD):
        workspace = Workspace(uri, space, "")
        ranges = {shard.name: (shard.first, shard.last) for shard in workspace.shards()}
        for file in candidates:
            if file.owner == space and file.name in ranges and _is_held(workspace, file.name, ranges):
                del ranges[file.name]
                garbage.append(Garbage(file, "other shards hold every content of it"))
    return garbage


def _is_held(workspace: Workspace, name: str, ranges: Mapping[str, _Range]) -> bool:
    first, last = ranges[name]
    lacking = _contents(workspace, name)
    for other, (start, stop) in ranges.items():
        if not len(lacking):
            return True
        if other != name and start <= last and first <= stop:
            lacking = lacking.filter(pc.invert(pc.is_in(lacking, _contents(workspace, other))))
    return not len(lacking)


def _contents(workspace: Workspace, name: str) -> pa.Array:
    return pc.unique(workspace.read_shard(name, ["content_key"]).column("content_key"))


def remove_garbage(uri: str, garbage: Sequence[Garbage]) -> None:
    """Removes files; one that is gone already is no error.

    Raises:
        TransientError: the store failed beyond the retries at the call.
        ConfigurationError: the store does not let this user remove.
    """
    for one in garbage:
        place = join(uri, one.file.path)
        filesystem, path = filesystem_of(place)
        try:
            filesystem.rm_file(path)
        except FileNotFoundError:
            continue
        except stores.store_errors() as error:
            message = f"{place} cannot be removed: {error}"
            if stores.is_transient(error):
                raise TransientError(message) from error
            raise ConfigurationError(f"{message}; {stores.remedy(place)}") from error
