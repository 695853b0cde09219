"""Arguments that several commands share, each said once."""

import argparse
from collections.abc import Callable, Sequence
from itertools import islice
from typing import get_args

from pipelines.command_line.parsers import Parser
from transforms.adapters.lease import OnBusy


def add_on_busy(parser: argparse.ArgumentParser, busy: str = "while a run writes") -> None:
    """Adds `--on-busy`; `busy` says when it counts."""
    parser.add_argument(
        "--on-busy", choices=get_args(OnBusy), default="refuse", help=f"{busy}: end with exit code 6, or wait"
    )


def take(argv: Sequence[str], add: Callable[[argparse.ArgumentParser], object]) -> tuple[argparse.Namespace, list[str]]:
    """The flags that `add` adds, each with one value or none, wherever they stand, and what is left of the arguments without them."""
    parser = Parser("corpus-embed", add_help=False)
    add(parser)
    # argparse has no public list of its flags.
    values = {flag: action.nargs != 0 for flag, action in parser._option_string_actions.items()}  # noqa: SLF001
    taken: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        flag, equals, _ = word.partition("=")
        if word == "--":
            rest += [word, *words]
        elif flag in values:
            taken += [word, *islice(words, 1 if values[flag] and not equals else 0)]
        else:
            rest.append(word)
    return parser.parse_args(taken), rest
