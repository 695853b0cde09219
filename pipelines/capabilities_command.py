"""What a Milvus can do, or what each version of it can."""

import argparse
import sys
from collections.abc import Sequence

from transforms.adapters.milvus import Collection, Target, capability_table, release, served


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command."""
    parser.add_argument("--milvus", help="address of a server, or a path ending in .db; default all versions")
    parser.add_argument("--milvus-token-env", help="environment variable that holds the Milvus token")


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Prints the table, as Markdown."""
    values = parser.parse_args(list(argv))
    if values.milvus is None:
        sys.stdout.write(capability_table())
        return 0
    try:
        # Nothing is asked of a collection, so it needs no name.
        connection = Collection(served(Target(values.milvus, "", values.milvus_token_env)))
        sys.stdout.write(capability_table(connection.version))
        connection.close()
    finally:
        release(values.milvus)
    return 0
