"""Runs: the run records of a workspace, listed, shown, and held against each other."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.command_line.tables import as_json, table
from transforms.adapters.run_records import NAMES, find_record, newest_first
from transforms.logic.record_diff import GROUPS, Change, compare_records

_SHOWN_CHARACTERS = 60
_LISTED = {
    "run_id": "run",
    "started_at": "started",
    "collection": "collection",
    "documents": "documents",
    "encoded": "encoded",
    "rows": "rows",
    "rejects": "rejects",
    "seconds": "seconds",
    "exit_code": "exit code",
    "status": "status",
}
_STAGES = {"stage": "stage", "seconds": "seconds", "tokens": "tokens", "tokens_per_second": "tokens/s"}
_LANGUAGES = {"language": "language", "documents": "documents", "chunks": "chunks", "tokens": "tokens"}
_PARTITIONS = {"partition": "partition", "expected": "in the ledger", "milvus": "in Milvus"}
_CHANGES = {"field": "field", "before": "before", "after": "after", "ratio": "after/before"}
_COUNTS = ("documents", "files", "chunks", "vectors", "rows", "rejects", "encodings")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command each for listing, showing and comparing."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ls|show|diff")
    listing = commands.add_parser("ls", help="list the runs, the last one first", allow_abbrev=False)
    listing.set_defaults(act=_list)
    showing = commands.add_parser("show", help="show the record of a run", allow_abbrev=False)
    showing.set_defaults(act=_show)
    comparing = commands.add_parser("diff", help="show in what the records of two runs differ", allow_abbrev=False)
    comparing.set_defaults(act=_compare)
    for command in (listing, showing, comparing):
        command.add_argument("workspace", metavar="URI", help="the workspace")
        command.add_argument("--json", action="store_true", help="print JSON instead of tables")
    listing.add_argument("--collection", help="only runs on this collection")
    listing.add_argument("--limit", type=int, default=0, help="at most so many (default 0: all)")
    showing.add_argument("run", metavar="RUN", help=NAMES)
    comparing.add_argument("before", metavar="BEFORE", help=NAMES)
    comparing.add_argument("after", metavar="AFTER", help=NAMES)
    comparing.add_argument(
        "--only",
        nargs="+",
        choices=GROUPS,
        default=GROUPS,
        metavar="GROUP",
        help=f"of {', '.join(GROUPS)}; default all",
    )


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Runs one sub-command and gives its exit code."""
    arguments = parser.parse_args(list(argv))
    return int(arguments.act(arguments))


def _list(arguments: argparse.Namespace) -> int:
    rows = [_row(record) for record in newest_first(arguments.workspace.rstrip("/"))]
    wanted = [row for row in rows if arguments.collection in {None, row["collection"]}]
    shown = wanted[: arguments.limit] if arguments.limit > 0 else wanted
    sys.stdout.write(as_json(shown) if arguments.json else table(shown, _LISTED, "") or "no runs\n")
    return 0


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run_id": record["run_id"],
        "started_at": record["started_at"],
        "collection": record["configuration"]["storage"]["collection"],
        "documents": record["documents"]["read"],
        "encoded": record["vectors"]["encoded"],
        "rows": record["rows"]["held"],
        "rejects": sum(record["rejects"].values()),
        "seconds": record["seconds"],
        "exit_code": record["exit_code"],
        "status": record["status"],
    }


def _show(arguments: argparse.Namespace) -> int:
    record = find_record(arguments.workspace.rstrip("/"), arguments.run)
    sys.stdout.write(as_json(record) if arguments.json else show(record))
    return 0


def show(record: Mapping[str, Any]) -> str:
    """A run record as a person reads it."""
    storage, model = record["configuration"]["storage"], record["model"]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [
        f"run {record['run_id']}: {record['status']} (exit code {record['exit_code']})",
        f"started {record['started_at']}, took {record['seconds']:,.1f} s",
        f"collection {storage['collection']} of {storage['milvus']}, ledger {record['ledger']}",
        f"model {model['name']} {model['revision'] or ''}".rstrip() + f", embedding space {record['embedding_space']}",
        f"versions {versions}",
        "",
        *(f"{name}: {_counts(record[name])}" for name in _COUNTS if record[name]),
        *(f"DOES NOT BALANCE: {difference}" for difference in record["differences"]),
    ]
    stages = [
        {"stage": name, **{key: one[key] for key in ("seconds", "tokens", "tokens_per_second")}}
        for name, one in record["stages"].items()
        if one["seconds"]
    ]
    languages = [{"language": name, **one} for name, one in record["languages"].items()]
    partitions = [{"partition": name, **one} for name, one in record["partitions"].items()]
    tables = (table(stages, _STAGES), table(languages, _LANGUAGES), table(partitions, _PARTITIONS))
    return "\n".join(lines) + "\n" + "".join(f"\n{one}" for one in tables if one)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _compare(arguments: argparse.Namespace) -> int:
    uri = arguments.workspace.rstrip("/")
    before, after = find_record(uri, arguments.before), find_record(uri, arguments.after)
    changes = [change for change in compare_records(before, after) if change.group in arguments.only]
    if arguments.json:
        found = {"before": before["run_id"], "after": after["run_id"], "changes": [one.describe() for one in changes]}
        sys.stdout.write(as_json(found))
        return 0
    sys.stdout.write(f"before {before['run_id']}, after {after['run_id']}\n")
    for group in GROUPS:
        rows = [_changed(change) for change in changes if change.group == group]
        if rows:
            sys.stdout.write(f"\n{group}\n{table(rows, _CHANGES)}")
    if not changes:
        sys.stdout.write("no difference\n")
    return 0


def _changed(change: Change) -> dict[str, Any]:
    # Ratios of anything but figures mean nothing.
    ratio = change.ratio if change.group in {"counts", "times"} else None
    return {
        "field": change.field,
        "before": _cell(change.before),
        "after": _cell(change.after),
        "ratio": None if ratio is None else f"{ratio:.2f}",
    }


def _cell(value: Any) -> str:
    """A value on one line: numbers with their thousands, anything but text as JSON, what is long cut short."""
    if value is None:
        return "-"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
