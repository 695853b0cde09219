"""Rejects: what could not be processed, counted, shown, and processed again."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pipelines.command_line.tables import as_json, table
from pipelines.configuration import options
from pipelines.configuration.definitions import definitions
from transforms.adapters.rejected import check_reasons, count_rejects, read_rejects, reject_files
from transforms.adapters.run_records import NAMES, find_record
from transforms.logic.errors import ConfigurationError

_SHOWN_CHARACTERS = 60
_COUNTED = {"run_id": "run", "level": "level", "stage": "stage", "reason": "reason", "rows": "rejects"}
_SHOWN = {
    "reason": "reason",
    "level": "level",
    "stage": "stage",
    "source": "source",
    "locator": "place",
    "document_id": "document",
    "length_bytes": "bytes",
    "detail": "detail",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command each for counting, showing and processing again."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ls|show|replay")
    counting = commands.add_parser("ls", help="count rejects by run and reason", allow_abbrev=False)
    counting.set_defaults(act=_count)
    showing = commands.add_parser("show", help="show the rejects of a run", allow_abbrev=False)
    showing.set_defaults(act=_show)
    showing.add_argument("--run", required=True, help=NAMES)
    showing.add_argument("--limit", type=int, default=20, help="at most so many (default 20); 0 for all")
    replaying = commands.add_parser(
        "replay",
        help="read again the files with rejects, configured as their run was; options of `run` change that",
        allow_abbrev=False,
    )
    replaying.set_defaults(act=_replay)
    replaying.add_argument("--run", required=True, help=NAMES)
    options.add_arguments(replaying, needs_all=False)
    for command in (counting, showing, replaying):
        command.add_argument("uri", metavar="URI", help="the workspace")
        command.add_argument("--reason", nargs="+", default=[], help="only rejects with these reasons")
        command.add_argument("--json", action="store_true", help="print JSON instead of a table")


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Runs one sub-command and gives its exit code."""
    arguments, rest = parser.parse_known_args(list(argv))
    if rest and arguments.act is not _replay:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    check_reasons(arguments.reason)
    return int(arguments.act(arguments))


def _count(arguments: argparse.Namespace) -> int:
    rows = [
        {"run_id": run_id, **counted}
        for run_id, uris in reject_files(arguments.uri.rstrip("/")).items()
        for counted in count_rejects(uris)
        if not arguments.reason or counted["reason"] in arguments.reason
    ]
    sys.stdout.write(as_json(rows) if arguments.json else table(rows, _COUNTED, "") or "no rejects\n")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    (uris,) = reject_files(arguments.uri.rstrip("/"), arguments.run).values()
    rows: list[dict[str, Any]] = []
    more = 0
    for batch in read_rejects(uris, arguments.reason):
        room = batch.num_rows if arguments.limit <= 0 else min(batch.num_rows, arguments.limit - len(rows))
        rows += batch.slice(0, room).to_pylist()
        more += batch.num_rows - room
    if arguments.json:
        sys.stdout.write(as_json(rows))
        return 0
    columns = {**_SHOWN, "text": "begins"} if any(row["text"] for row in rows) else _SHOWN
    shown = [{**row, "text": row["text"] and repr(row["text"][:_SHOWN_CHARACTERS])} for row in rows]
    sys.stdout.write(table(shown, columns, "") or "no rejects\n")
    if more:
        sys.stdout.write(f"{more:,} more; --limit 0 shows all\n")
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    from pipelines.replay import replay  # noqa: PLC0415  Beam takes seconds to import, and counting needs none of it

    changes = {name: value for name, value in vars(arguments).items() if name in definitions()}
    if arguments.config is not None:
        raise ConfigurationError("--config is not for a replay: it is configured as its run was; change it by flags")
    beam_options = options.to_pipeline_options(arguments.rest, "rejects replay")
    say: Callable[[str], object] = (lambda _: None) if arguments.json else sys.stdout.write
    uri = arguments.uri.rstrip("/")
    run_id = find_record(uri, arguments.run)["run_id"]
    found = replay(uri, run_id, arguments.reason, changes, beam_options, say)
    rows = [
        {
            "reason": reason,
            "places": found.before[reason],
            "cured": found.before[reason] - found.remaining.get(reason, 0),
            "remaining": found.remaining.get(reason, 0),
        }
        for reason in sorted(found.before)
    ]
    if arguments.json:
        sys.stdout.write(as_json({"run_id": found.record["run_id"], "status": found.record["status"], "reasons": rows}))
    else:
        sys.stdout.write(table(rows, {name: name for name in ("reason", "places", "cured", "remaining")}, ""))
        sys.stdout.write(f"run {found.record['run_id']}: {found.record['status']}\n")
    return int(found.record["exit_code"])
