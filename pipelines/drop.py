"""Drop: a collection goes, its vectors stay in the dataset."""

import argparse
import sys
from collections.abc import Sequence

from pipelines.command_line.arguments import add_on_busy
from pipelines.configuration.access import access_of, add_access_arguments
from transforms.adapters.lease import OnBusy, leased
from transforms.adapters.milvus import Target, release, served
from transforms.adapters.milvus.aliases import Alias
from transforms.adapters.workspace import Ledger, Workspace, collection_key
from transforms.logic.errors import ConfigurationError


def drop(uri: str, target: Target, on_busy: OnBusy = "refuse") -> None:
    """Removes a collection from Milvus, and says in its ledger that it holds nothing, so that what it held may be collected.

    Args:
        uri: of the workspace.
        target: the collection as its runs named it; one that is gone already is no error.
        on_busy: while a run writes to it: end, or wait.

    Raises:
        ConfigurationError: an alias means it, it is itself an alias, or this project did not make it.
        TransientError: Milvus does not answer, or a run is under way.
    """
    workspace = Workspace(uri.rstrip("/"), "", collection_key(target.uri, target.collection))
    with leased(workspace.lease, "drop", on_busy):
        collection = Alias(served(target))
        try:
            if collection.exists():
                if (meant := collection.meant()) != target.collection:
                    raise ConfigurationError(f"{target.collection!r} is an alias of {meant!r}; nothing was dropped")
                # Somebody else's is refused here.
                collection.space()
            collection.drop(target.collection)
        finally:
            collection.close()
            release(target.uri)
        ledger = workspace.latest_ledger()
        if ledger.parts:
            workspace.commit_ledger(Ledger(ledger.number + 1, (), {}), "drop")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command."""
    parser.add_argument("collection", help="the collection")
    parser.add_argument("--workspace", required=True, metavar="URI", help="the workspace of its runs")
    parser.add_argument("--milvus", required=True, help="address of the Milvus, as the runs named it")
    parser.add_argument("--yes", metavar="COLLECTION", help="the name again, as nothing is dropped without")
    add_access_arguments(parser)
    add_on_busy(parser)


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Drops a collection whose name was typed twice."""
    values = parser.parse_args(list(argv))
    if values.yes != values.collection:
        raise ConfigurationError(
            f"{values.collection!r} would be dropped with all its rows; if that is meant: --yes {values.collection}"
        )
    drop(values.workspace, Target(values.milvus, values.collection, access_of(values)), values.on_busy)
    sys.stdout.write(f"dropped {values.collection}; its vectors stay in the dataset\n")
    return 0
