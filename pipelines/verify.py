"""Verify: whether a collection is what its ledger and the dataset say."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from pipelines.command_line.arguments import add_on_busy
from pipelines.command_line.tables import as_json
from pipelines.configuration.access import access_of, add_access_arguments
from transforms.adapters.lease import OnBusy, leased
from transforms.adapters.milvus import Target, is_lite_path, release, served
from transforms.adapters.milvus.aliases import Alias, no_such_collection
from transforms.adapters.publications import Publications
from transforms.adapters.verifier import Depth, Form, verify
from transforms.adapters.workspace import Ledger, Workspace, collection_key
from transforms.logic.errors import ConfigurationError
from transforms.logic.publication import Publication
from transforms.logic.record import EXIT_COMPLETE, EXIT_UNBALANCED
from transforms.logic.verification import Finding, Kind, Verification

_CONFIDENCE = 3.0
"""Rule of three (Hanley and Lippman-Hand 1983): no fault in n rows bounds their share by 3 / n, with 95 % confidence."""


def verify_collection(
    uri: str,
    target: Target,
    form: Form = "full",
    depth: Depth | None = None,
    on_busy: OnBusy = "refuse",
    say: Callable[[str], object] = lambda _: None,
) -> Verification:
    """Holds a collection against its ledger. Nothing is changed; runs on the collection are kept away by its lease meanwhile.

    An alias that this workspace published is also held against what was published; of a collection, or an alias, that the workspace knows
    and that is there no more, it is the finding that it is gone.

    Args:
        uri: of the workspace.
        target: the collection as its runs named it, or an alias of it.
        form: `quick` or `full`, see `transforms.adapters.verifier`.
        depth: of the full form.
        on_busy: while a run writes to the collection: end, or wait.
        say: hears what is waited for.

    Raises:
        ConfigurationError: there is no such collection, or the workspace has no ledger of it.
        TransientError: Milvus does not answer, or a run is under way.
        CorruptDataError: a file of the workspace is not what was written.
    """
    reached = served(target)
    moved: list[Finding] = []
    try:
        opened = Alias(reached)
        try:
            if not opened.exists():
                gone = _gone(uri, target, form)
                if gone is None:
                    raise no_such_collection(target)
                return gone
            name = opened.meant()
            if name != target.collection:
                moved = _moved(uri, target, name)
                if moved and not _ledger(uri, replace(target, collection=name)).number:
                    return Verification(form, 0, 0, findings=moved, collection=name)
            space = opened.space()
            if is_lite_path(target.uri):
                # Milvus Lite forgets what was loaded when its process ends.
                opened.load()
        finally:
            opened.close()
        workspace = Workspace(uri.rstrip("/"), space.embedding_space, collection_key(target.uri, name))
        with leased(workspace.lease, "verify", on_busy, say):
            ledger = workspace.latest_ledger()
            intents = workspace.unsettled_intents(ledger)
            if not ledger.number and not intents:
                raise ConfigurationError(
                    f"the workspace {uri!r} has no ledger of collection {name!r} at {target.uri!r}; "
                    "name both as the runs that filled it did"
                )
            found = verify(workspace, replace(reached, collection=name), ledger, form, depth=depth)
        if intents:
            detail = f"a run towards ledger {ledger.number + 1} died or did not balance; run it again, then verify"
            found.findings.insert(0, Finding(Kind.UNFINISHED, detail))
        return replace(found, collection=name, findings=[*moved, *found.findings])
    finally:
        release(target.uri)


def _gone(uri: str, target: Target, form: Form) -> Verification | None:
    """What is found of a collection, or an alias, that is not there; None if the workspace does not know it either."""
    ledger, published = _ledger(uri, target), _published(uri, target).served
    if ledger.rows:
        finding = Finding(Kind.GONE, "the collection is not there, and with it all rows of the ledger", "", ledger.rows)
    elif published is not None:
        finding = Finding(Kind.GONE, f"the alias is not there; what was published last is {published.collection}")
    else:
        return None
    return Verification(form, ledger.number, ledger.rows, findings=[finding], collection=target.collection)


def _moved(uri: str, target: Target, meant: str) -> list[Finding]:
    """The finding that an alias means what this workspace did not let it mean."""
    published = _published(uri, target)
    # Whoever publishes moves the alias and then writes that down.
    building = published.building.collection if published.building is not None else None
    if published.served is None or meant in {published.served.collection, building}:
        return []
    last = published.served.collection
    detail = f"it means {meant}, what was published last is {last}; corpus-embed rollback {target.collection} --to {last} goes back to it"
    return [Finding(Kind.ALIAS, detail)]


def _ledger(uri: str, target: Target) -> Ledger:
    return Workspace(uri.rstrip("/"), "", collection_key(target.uri, target.collection)).latest_ledger()


def _published(uri: str, target: Target) -> Publication:
    return Publications(uri.rstrip("/"), collection_key(target.uri, target.collection)).latest()


def show(found: Verification, name: str) -> str:
    """A verification for people."""
    meant = f", which means {found.collection}" if found.collection not in {"", name} else ""
    lines = [f"{found.form} verification of {name}{meant}: ledger {found.ledger}, {found.rows:,} rows"]
    if found.form == "full":
        lines.append(f"  ids         {found.ids_compared:>9,} compared by checksum and count")
    bound = (
        f"; had more than {min(1.0, _CONFIDENCE / found.rows_compared):.2%} of the rows been wrong, it would show (95 %)"
        if 0 < found.rows_compared < found.rows
        else ""
    )
    lines.append(
        f"  rows        {found.rows_compared:>9,} fetched back, {found.vectors_exact:,} with vectors equal to the last bit{bound}"
    )
    if found.form == "full":
        lines.append(f"  searches    {found.searched:>9,} of stored vectors")
    if found.recall:
        lowest = min(found.recall, key=lambda partition: found.recall[partition])
        lines.append(
            f"  recall@10   {found.recall[lowest]:>9.3f} against exact search in the worst partition, {lowest}"
        )
    lines += [f"FOUND: {finding}" for finding in found.findings]
    lines.append(
        f"the collection is not what its ledger says; {found.next_step}"
        if found.findings
        else "nothing found: the collection is what its ledger says"
    )
    return "\n".join(lines) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command."""
    depth = Depth()
    parser.add_argument("--workspace", required=True, metavar="URI", help="the workspace of the collection's runs")
    parser.add_argument("--milvus", required=True, help="address of the Milvus, as the runs named it")
    parser.add_argument("--collection", required=True, help="the collection, or an alias of it")
    add_access_arguments(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--quick", dest="form", action="store_const", const="quick", help="counts, index and load state, a few rows"
    )
    form.add_argument(
        "--full",
        dest="form",
        action="store_const",
        const="full",
        help="also every id, rows of every partition, and what the index finds; the default",
    )
    parser.set_defaults(form="full")
    parser.add_argument(
        "--rows", type=int, default=depth.rows, help=f"rows of each partition fetched back (default {depth.rows})"
    )
    parser.add_argument(
        "--queries",
        type=int,
        default=depth.queries,
        help=f"of these, how many search; 0 spares reading all vectors (default {depth.queries})",
    )
    parser.add_argument(
        "--min-recall",
        type=float,
        default=depth.min_recall,
        help=f"recall@10 that the index of every partition must reach (default {depth.min_recall:g})",
    )
    add_on_busy(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Verifies and prints what was found; exit code 5 if that is anything."""
    values = parser.parse_args(list(argv))
    if values.rows < 1 or values.queries < 0 or not 0 <= values.min_recall <= 1:
        raise ConfigurationError(
            f"--rows {values.rows}, --queries {values.queries}, --min-recall {values.min_recall:g}: "
            "rows are 1 or more, queries 0 or more, and a recall is between 0 and 1"
        )
    target = Target(values.milvus, values.collection, access_of(values))
    say = sys.stderr.write if values.json else sys.stdout.write
    depth = Depth(values.rows, values.queries, values.min_recall)
    found = verify_collection(values.workspace, target, values.form, depth, values.on_busy, say)
    sys.stdout.write(
        as_json({"collection": found.collection, **found.describe()}) if values.json else show(found, values.collection)
    )
    return EXIT_UNBALANCED if found.findings else EXIT_COMPLETE
