"""Run records of a workspace, found by name."""

from collections.abc import Mapping
from typing import Any

from transforms.adapters.inventory import list_workspace, read_records
from transforms.adapters.workspace import Workspace
from transforms.logic.errors import ConfigurationError
from transforms.logic.inventory import Kind
from transforms.logic.suggestions import what_there_is

LATEST = "latest"
"""Names the record of the run that started last."""
NAMES = f"a run id, the beginning of one, or {LATEST!r}"
"""What `find_record` takes."""


def newest_first(uri: str) -> list[dict[str, Any]]:
    """Every run record of a workspace, the one that started last first; equal times by run id.

    Raises:
        ConfigurationError: there is no workspace.
        CorruptDataError: a record is damaged, or of a format that this version does not know.
    """
    records = read_records(uri, list_workspace(uri, "runs"))
    return sorted(records.values(), key=_started, reverse=True)


def find_record(uri: str, name: str) -> dict[str, Any]:
    """The run record that a run id, the beginning of one, or `latest` names.

    Raises:
        ConfigurationError: none is named so, or several are.
        CorruptDataError: the record is damaged, or of a format that this version does not know.
    """
    if name == LATEST:
        records = newest_first(uri)
        if not records:
            raise ConfigurationError(f"the workspace {uri!r} has no run record yet")
        return records[0]
    runs = [file.owner for file in list_workspace(uri, "runs").of(Kind.RECORD)]
    found = [name] if name in runs else [one for one in runs if one.startswith(name)]
    if len(found) != 1:
        known = f"; several do: {', '.join(found)}" if found else what_there_is(name, runs, "run records")
        raise ConfigurationError(f"run {name!r}: exactly one run record of {uri!r} must be named so or begin so{known}")
    return Workspace(uri, "", "").read_record(found[0])


def _started(record: Mapping[str, Any]) -> tuple[str, str]:
    return record["started_at"], record["run_id"]
