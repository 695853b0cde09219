"""A workspace looked at from outside: which files it has, and what their records and footers say. Nothing is written here."""

import datetime as dt
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast

from transforms.adapters import stores
from transforms.adapters.calibrations import read_calibration
from transforms.adapters.storage import filesystem_of, join
from transforms.adapters.workspace import FORMAT, Ledger, Workspace, collection_key, open_parquet, read_ledger
from transforms.logic.errors import ConfigurationError, TransientError
from transforms.logic.inventory import KeptFile, Kind, Listing, kept_file, sizes

_READ_AT_ONCE = 16
_TIMES = ("mtime", "updated", "LastModified", "created")


def list_workspace(uri: str, folder: str = "") -> Listing:
    """Every file below the URI, or below one of its folders, hidden ones too, from one listing.

    Raises:
        ConfigurationError: there is nothing, or it cannot be listed.
        TransientError: the store failed beyond the retries at the call.
    """
    filesystem, path = filesystem_of(uri)
    try:
        found = filesystem.find(join(path, folder) if folder else path, detail=True)
    except stores.store_errors() as error:
        message = f"the workspace {uri!r} cannot be listed: {error}"
        if stores.is_transient(error):
            raise TransientError(message) from error
        raise ConfigurationError(f"{message}; {stores.remedy(uri)}") from error
    root = f"{path.rstrip('/')}/"
    files = [
        kept_file(name.removeprefix(root), int(info["size"]), _modified_seconds(info))
        for name, info in found.items()
        if info["type"] == "file" and name.startswith(root) and not name.endswith("/")
    ]
    if not files:
        place = f"its {folder}/" if folder else "it"
        raise ConfigurationError(f"there is no workspace at {uri!r}: nothing lies below {place}; check the name")
    return Listing(sorted(files, key=lambda file: file.path))


def _modified_seconds(info: Mapping[str, Any]) -> float | None:
    """When the store says that a file was written; None if it does not say."""
    for name in _TIMES:
        value = info.get(name)
        if isinstance(value, dt.datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None


def read_records(uri: str, listing: Listing) -> dict[str, dict[str, Any]]:
    """Every run record by run id, ordered by it."""
    workspace = Workspace(uri, "", "")
    runs = [file.owner for file in listing.of(Kind.RECORD)]
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        return dict(zip(runs, pool.map(workspace.read_record, runs), strict=True))


def count_rows(uri: str, files: Sequence[KeptFile]) -> int:
    """Rows of some Parquet files, by their footers."""
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        return sum(pool.map(partial(_rows_of, uri), files))


def _rows_of(uri: str, file: KeptFile) -> int:
    with open_parquet(join(uri, file.path)) as parquet:
        return int(parquet.metadata.num_rows)


def describe_workspace(uri: str) -> dict[str, Any]:
    """What a workspace holds, as plain values in a fixed order.

    Rows of the dataset and of rejects are those that the footers of their files name, rows of a collection those of its ledger.

    Raises:
        ConfigurationError: there is no workspace.
        CorruptDataError: a file is damaged, or of a format that this version does not know.
    """
    listing = list_workspace(uri)
    records = read_records(uri, listing)
    for file in listing.of(Kind.CALIBRATION):
        read_calibration(join(uri, file.path))
    return {
        "workspace": uri,
        "format": FORMAT,
        "spaces": [_space(uri, listing, space, records) for space in listing.owners(Kind.SHARD, Kind.CALIBRATION)],
        "collections": [
            _collection(uri, listing, key, records) for key in listing.owners(Kind.LEDGER, Kind.PART, Kind.INTENTS)
        ],
        "runs": [_run(run_id, records[run_id]) for run_id in records],
        "rejects": [_rejects(uri, listing, run_id, records.get(run_id)) for run_id in listing.owners(Kind.REJECTS)],
        "evaluations": sizes(listing.of(Kind.EVALUATION)),
        "tokenizers": sizes(listing.of(Kind.TOKENIZER)),
        "temporary": sizes(listing.of(Kind.TEMPORARY)),
        "other": sizes(listing.of(Kind.OTHER)),
        "bytes": sizes(listing.files)["bytes"],
    }


def _space(uri: str, listing: Listing, space: str, records: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    shards = listing.of(Kind.SHARD, space)
    models = {
        (record["model"]["name"], record["model"]["revision"])
        for record in records.values()
        if record["embedding_space"] == space
    }
    name, revision = min(models, default=(None, None), key=repr)
    return {
        "embedding_space": space,
        "model": name,
        "revision": revision,
        "shards": len(shards),
        "rows": count_rows(uri, shards),
        "bytes": sizes(shards)["bytes"],
        "calibrations": len(listing.of(Kind.CALIBRATION, space)),
        "projections": len(listing.of(Kind.PROJECTION, space)),
    }


def _collection(uri: str, listing: Listing, key: str, records: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    places = {
        (storage["collection"], storage["milvus"])
        for storage in (record["configuration"]["storage"] for record in records.values())
        if collection_key(storage["milvus"], storage["collection"]) == key
    }
    name, milvus = min(places, default=(None, None))
    latest = listing.latest_ledger(key)
    ledger, run_id = (Ledger(0, (), {}), None) if latest is None else read_ledger(join(uri, latest.path), latest.number)
    return {
        "key": key,
        "collection": name,
        "milvus": milvus,
        "ledger": ledger.number,
        "run_id": run_id,
        "rows": ledger.rows,
        "partitions": dict(sorted(ledger.partitions.items())),
        "unsettled_intents": len(listing.unsettled_intents(key)),
        "bytes": sizes([file for file in listing.files if file.path.startswith(f"ledger/{key}/")])["bytes"],
    }


def _run(run_id: str, record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "started_at": record["started_at"],
        "status": record["status"],
        "exit_code": record["exit_code"],
        "documents": record["documents"]["read"],
        "rows": record["rows"]["held"],
        "ledger": record["ledger"],
        "embedding_space": record["embedding_space"],
        "collection": record["configuration"]["storage"]["collection"],
    }


def _rejects(uri: str, listing: Listing, run_id: str, record: Mapping[str, Any] | None) -> dict[str, Any]:
    files = listing.of(Kind.REJECTS, run_id)
    named = named_rejects(files, record)
    return {
        "run_id": run_id,
        "rows": count_rows(uri, named),
        "bytes": sizes(named)["bytes"],
        "files": len(named),
        "unnamed_files": len(files) - len(named),
    }


def named_rejects(files: Sequence[KeptFile], record: Mapping[str, Any] | None) -> list[KeptFile]:
    """Those of a run's reject files that its record names; none without a record.

    They are told by their names, which digests of their content make unique, as a workspace may have been moved or copied.
    """
    names = {name.rsplit("/", 1)[-1] for name in cast("list[str]", (record or {}).get("reject_files", []))}
    return [file for file in files if file.name in names]
