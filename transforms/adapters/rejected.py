"""Rejects that runs kept: those that a run's record names, and no other, so that retries never double them."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transforms.adapters.inventory import list_workspace, named_rejects
from transforms.adapters.run_records import find_record
from transforms.adapters.storage import join
from transforms.adapters.workspace import Workspace, open_parquet
from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.inventory import Kind
from transforms.logic.schemas import REJECTS, Reason, with_columns
from transforms.logic.suggestions import did_you_mean

Kept = Mapping[str, list[str]]
"""URIs of the reject files of each run."""


def reject_files(uri: str, run: str | None = None) -> Kept:
    """URIs of the reject files of one run (named as to `find_record`), or of every run that has a record; runs and files in order.

    Raises:
        ConfigurationError: there is no such workspace or run.
        CorruptDataError: a file that a record names is gone.
    """
    listing = list_workspace(uri)
    found = {}
    for one in listing.owners(Kind.RECORD) if run is None else [find_record(uri, run)["run_id"]]:
        record = Workspace(uri, "", "").read_record(one)
        named = named_rejects(listing.of(Kind.REJECTS, one), record)
        wanted = {name.rsplit("/", 1)[-1] for name in record["reject_files"]}
        missing = sorted(wanted - {file.name for file in named})
        if missing:
            raise CorruptDataError(
                f"{join(uri, 'rejects', one, missing[0])} is gone, though the record of run {one} names it; restore it"
            )
        found[one] = [join(uri, file.path) for file in named]
    return found


def read_rejects(uris: Collection[str], reasons: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
    """Batches of the `REJECTS` schema, with these reasons or with all, in order of files and of rows within each."""
    for uri in uris:
        with open_parquet(uri) as file:
            for batch in file.iter_batches(use_threads=False):
                rows = with_columns(batch, REJECTS)
                yield rows.filter(pc.is_in(rows.column("reason"), pa.array(list(reasons)))) if reasons else rows


def count_rejects(uris: Collection[str]) -> list[dict[str, Any]]:
    """Rejects by level, stage and reason, ordered."""
    counts: Counter[tuple[str, str, str]] = Counter()
    names = ["level", "stage", "reason"]
    for batch in read_rejects(uris):
        for row in batch.select(names).to_pylist():
            counts[row["level"], row["stage"], row["reason"]] += 1
    return [{**dict(zip(names, key, strict=True)), "rows": counts[key]} for key in sorted(counts)]


def check_reasons(reasons: Collection[str]) -> None:
    """Raises `ConfigurationError` for a reason that is not of the closed list."""
    known = [reason.value for reason in Reason]
    unknown = sorted(set(reasons) - set(known))
    if unknown:
        raise ConfigurationError(
            f"--reason {', '.join(unknown)} is no reason of a reject; choose of {', '.join(known)}{did_you_mean(unknown[0], known)}"
        )
