"""Workspace: what one holds, what of it nothing names, and a collection's rows for other stores."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from pipelines.command_line.tables import as_json, size, table
from transforms.adapters.export import FORMATS, export_collection
from transforms.adapters.garbage import find_garbage, remove_garbage
from transforms.adapters.inventory import describe_workspace, list_workspace
from transforms.adapters.lease import leased
from transforms.adapters.workspace import Workspace
from transforms.logic.garbage import Garbage
from transforms.logic.inventory import Kind, sizes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command each for looking, removing and exporting."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ls|gc|export")
    listing = commands.add_parser("ls", help="show what the workspace holds", allow_abbrev=False)
    listing.set_defaults(act=_list)
    collecting = commands.add_parser("gc", help="remove what nothing names; a dry run unless told", allow_abbrev=False)
    collecting.set_defaults(act=_collect)
    collecting.add_argument("--delete", action="store_true", help="remove it; without, only show it")
    collecting.add_argument(
        "--keep-ledgers", type=int, default=2, help="newest ledgers of each collection that stay whole (default 2)"
    )
    collecting.add_argument(
        "--unreferenced-shards",
        action="store_true",
        help="also shards with contents that no other shard holds: a run that meets these again encodes them again",
    )
    exporting = commands.add_parser("export", help="write a collection's rows for other stores", allow_abbrev=False)
    exporting.set_defaults(act=_export)
    exporting.add_argument("--collection", required=True, help="the collection")
    exporting.add_argument("--milvus", help="where it lives, as its runs named it; needed if several have the name")
    exporting.add_argument("--to", required=True, metavar="URI", help="an empty directory")
    exporting.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="plain Parquet, the layout of Pinecone's import, or JSON lines for Weaviate (default parquet)",
    )
    for command in (listing, collecting, exporting):
        command.add_argument("workspace", metavar="URI", help="the workspace")
        command.add_argument("--json", action="store_true", help="print JSON instead of tables")


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Runs one sub-command and gives its exit code."""
    arguments = parser.parse_args(list(argv))
    return int(arguments.act(arguments))


def _list(arguments: argparse.Namespace) -> int:
    found = describe_workspace(arguments.workspace.rstrip("/") or "/")
    sys.stdout.write(as_json(found) if arguments.json else show(found))
    return 0


def _collect(arguments: argparse.Namespace) -> int:
    uri = arguments.workspace.rstrip("/")
    with ExitStack() as until_done:
        for key in (
            list_workspace(uri).owners(Kind.LEDGER, Kind.PART, Kind.INTENTS, Kind.LEASE) if arguments.delete else ()
        ):
            # Whoever holds all leases knows that no run is under way.
            until_done.enter_context(leased(Workspace(uri, "", key).lease, "workspace gc"))
        garbage = find_garbage(uri, arguments.keep_ledgers, all_unreferenced_shards=arguments.unreferenced_shards)
        if arguments.delete:
            remove_garbage(uri, garbage)
    total = sizes([one.file for one in garbage])
    if arguments.json:
        files = [
            {"path": one.file.path, "kind": one.file.kind, "bytes": one.file.size_bytes, "reason": one.reason}
            for one in garbage
        ]
        sys.stdout.write(as_json({"deleted": arguments.delete, **total, "garbage": files}))
        return 0
    sys.stdout.write(_garbage(garbage))
    outcome = "removed" if arguments.delete else "may go; --delete removes them"
    sys.stdout.write(
        f"{total['files']:,} files ({size(total['bytes'])}) {outcome}\n" if garbage else "nothing to remove\n"
    )
    return 0


def _garbage(garbage: Sequence[Garbage]) -> str:
    groups: dict[tuple[str, str], list[Garbage]] = defaultdict(list)
    for one in garbage:
        groups[one.file.kind, one.file.owner].append(one)
    rows = [
        {
            "kind": kind,
            "owner": owner,
            "files": len(some),
            "bytes": size(sum(one.file.size_bytes for one in some)),
            "first": some[0].file.path,
        }
        for (kind, owner), some in sorted(groups.items())
    ]
    return table(rows, {"kind": "kind", "owner": "of", "files": "files", "bytes": "size", "first": "first"})


def _export(arguments: argparse.Namespace) -> int:
    found = export_collection(
        arguments.workspace.rstrip("/"), arguments.collection, arguments.milvus, arguments.to, arguments.format
    )
    if arguments.json:
        values = {
            "collection": arguments.collection,
            "ledger": found.ledger,
            "rows": found.rows,
            "partitions": found.partitions,
            "files": found.files,
        }
        sys.stdout.write(as_json(values))
        return 0
    rows = [{"partition": name, "rows": count} for name, count in found.partitions.items()]
    sys.stdout.write(table(rows, {"partition": "partition", "rows": "rows"}))
    sys.stdout.write(
        f"{found.rows:,} rows in {found.files:,} files below {arguments.to}, all that ledger {found.ledger} holds\n"
    )
    return 0


def show(found: Mapping[str, Any]) -> str:
    """`describe_workspace` as tables."""
    with_sizes = {
        name: [{**one, "bytes": size(one["bytes"])} for one in found[name]]
        for name in ("spaces", "collections", "rejects")
    }
    parts = [f"workspace {found['workspace']} (format {found['format']}): {size(found['bytes'])}\n"]
    tables = {
        "embedding spaces": table(
            with_sizes["spaces"],
            {
                "embedding_space": "space",
                "model": "model",
                "shards": "shards",
                "rows": "rows",
                "bytes": "size",
                "calibrations": "calibrations",
            },
        ),
        "collections": _collections(with_sizes["collections"]),
        "runs": table(
            found["runs"],
            {
                "run_id": "run",
                "started_at": "started",
                "collection": "collection",
                "ledger": "ledger",
                "documents": "documents",
                "rows": "rows",
                "status": "status",
            },
        ),
        "rejects": table(
            with_sizes["rejects"],
            {"run_id": "run", "rows": "rejects", "bytes": "size", "unnamed_files": "unnamed files"},
        ),
    }
    parts += [f"\n{name}\n{text}" for name, text in tables.items() if text]
    kinds = {
        "evaluations": "evaluations",
        "proofs of tokenizers": "tokenizers",
        "temporary files": "temporary",
        "files of other programs or versions": "other",
    }
    others = [
        f"{found[name]['files']:,} {what} ({size(found[name]['bytes'])})"
        for what, name in kinds.items()
        if found[name]["files"]
    ]
    return "".join(parts) + (f"\nbesides: {', '.join(others)}\n" if others else "")


def _collections(collections: Sequence[Mapping[str, Any]]) -> str:
    columns = {
        "key": "key",
        "collection": "collection",
        "milvus": "milvus",
        "ledger": "ledger",
        "rows": "rows",
        "unsettled_intents": "unsettled intents",
        "bytes": "size",
    }
    text = table(collections, columns)
    for collection in collections:
        partitions = ", ".join(f"{name} {rows:,}" for name, rows in collection["partitions"].items())
        text += f"  rows of {collection['key']}: {partitions}\n" if partitions else ""
    return text
