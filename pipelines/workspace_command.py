"""Workspace: what one holds, what of it nothing names, and a collection's rows for other stores."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.tables import as_json, size, table
from transforms.adapters.inventory import describe_workspace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command each for looking, removing and exporting."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ls|gc|export")
    listing = commands.add_parser("ls", help="show what the workspace holds", allow_abbrev=False)
    listing.set_defaults(act=_list)
    for command in (listing,):
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
