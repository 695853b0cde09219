"""Completion: a script for a shell, made once from the parsers of all commands, so that a TAB starts no Python."""

import argparse
import sys
from collections.abc import Sequence

import shtab

from pipelines.command_line.parsers import options_of, sub_parsers
from pipelines.configuration.definitions import definitions

SHELLS = ("bash", "zsh", "fish")
_DIRECTORIES = frozenset({"model"})
# Names of arguments whose values may be paths of this machine.
_FILES = frozenset({"config", "file", "input", "milvus", "from_milvus", "workspace", "uri", "to", "import_storage"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this command."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that the script is for")


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Prints the script."""
    arguments = parser.parse_args(list(argv))
    sys.stdout.write(script(arguments.shell))
    return 0


def script(shell: str) -> str:
    """The script for a shell of `SHELLS`; the same for the same version of this program."""
    from pipelines.cli import parser_of_all  # noqa: PLC0415  it knows this command

    parser = parser_of_all()
    _describe_values(parser)
    return f"{shtab.complete(parser, shell).rstrip()}\n"


def _describe_values(parser: argparse.ArgumentParser) -> None:
    """Says what values are, where the parser leaves that to the configuration."""
    for action in options_of(parser):
        option = definitions().get(action.dest)
        if option is not None and option.choices and action.default is argparse.SUPPRESS:
            action.choices = option.choices
        elif action.dest in _DIRECTORIES:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.dest in _FILES or action.metavar == "FILE":
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    for one in sub_parsers(parser).values():
        _describe_values(one)
