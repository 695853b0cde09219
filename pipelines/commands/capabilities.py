"""What a Milvus can do, or what each version of it can."""

import argparse
import sys
from collections.abc import Sequence

from pipelines.configuration.access import access_of, add_access_arguments
from transforms.adapters.milvus import Collection, Target, capability_table, release, served


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command."""
    parser.add_argument("--milvus", help="address of a server, or a path ending in .db; default all versions")
    add_access_arguments(parser)


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Prints the table, as Markdown."""
    values = parser.parse_args(list(argv))
    if values.milvus is None:
        sys.stdout.write(capability_table())
        return 0
    try:
        # Nothing is asked of a collection, so it needs no name.
        connection = Collection(served(Target(values.milvus, "", access_of(values))))
        sys.stdout.write(capability_table(connection.version))
        connection.close()
    finally:
        release(values.milvus)
    return 0
