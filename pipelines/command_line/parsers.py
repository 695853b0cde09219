"""Parsers of commands: usage in a line or two, help that fits a terminal, and errors that name the nearest flag, never a value behind one.

What is unknown may be a secret behind a misspelt flag, so that of it only the flag is shown.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, cast

from transforms.logic.suggestions import did_you_mean

# As long as what argparse puts there.
_BEFORE_USAGE = " " * len("usage: ")
_MISSING = "the following arguments are required: "
_UNKNOWN = "unrecognized arguments: "
_FLAG = re.compile(r"--[A-Za-z][A-Za-z0-9_-]*|-[A-Za-z]")


class _Formatter(argparse.HelpFormatter):
    """Lines that begin with a space, as examples do, stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(
            f"{indent}{line}"
            if line.startswith(" ") or not line
            else textwrap.fill(line, width, initial_indent=indent, subsequent_indent=indent)
            for line in text.splitlines()
        )


class Parser(argparse.ArgumentParser):
    """Of a command, and of its sub-commands."""

    def __init__(self, *names: Any, **settings: Any) -> None:
        super().__init__(*names, **{"allow_abbrev": False, "formatter_class": _Formatter, **settings})
        self.given: tuple[str, ...] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.given = tuple(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def format_usage(self) -> str:
        return self._with_usage(super().format_usage)

    def format_help(self) -> str:
        return self._with_usage(super().format_help)

    def error(self, message: str) -> NoReturn:
        what, colon, words = message.partition(_UNKNOWN)
        if colon:
            # Words that are no flags are values of the flag before them, perhaps.
            shown = [f"{flag}{meant}" for flag, meant in self._unknown(words.split())]
            message = f"{what}{colon}{', '.join(shown) or '(not shown)'}"
        elif message.startswith(_MISSING):
            # What lacks may be there under a misspelt name.
            shown = [f"{flag}{meant}" for flag, meant in self._unknown(self.given or ()) if meant]
            message += f"; {_UNKNOWN}{', '.join(shown)}" if shown else ""
        super().error(message)

    def _unknown(self, words: Iterable[str]) -> list[tuple[str, str]]:
        """Flags among words that are none of this parser, each with what may have been meant."""
        known = flags_of(self)
        flags = [word.partition("=")[0] for word in words]
        return [(flag, did_you_mean(flag, known)) for flag in flags if _FLAG.fullmatch(flag) and flag not in known]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            message = f"invalid choice: {value!r} (choose from {', '.join(known)}){did_you_mean(str(value), known)}"
            raise argparse.ArgumentError(action, message)

    def _with_usage(self, format_it: Any) -> str:
        given = self.usage
        width = self._get_formatter()._width  # noqa: SLF001  that of the terminal
        words = (given or usage_of(self).replace("%", "%%")).replace("%(prog)s", self.prog)
        self.usage = textwrap.fill(words, width, initial_indent=_BEFORE_USAGE, subsequent_indent="  ").strip()
        try:
            return str(format_it())
        finally:
            self.usage = given


def flags_of(parser: argparse.ArgumentParser) -> list[str]:
    """Flags of a parser, and of the sub-command that was chosen, in order of declaration."""
    chosen = [one for one in sub_parsers(parser).values() if isinstance(one, Parser) and one.given is not None]
    own = [flag for action in _actions(parser) for flag in action.option_strings]
    return [*own, *(flag for one in chosen for flag in flags_of(one))]


def usage_of(parser: argparse.ArgumentParser) -> str:
    """What must be given, in the order in which it may be written; everything else is `[options]`."""
    actions = _actions(parser)
    required = [_word(action) for action in actions if action.option_strings and action.required]
    positional = [_word(action) for action in actions if not action.option_strings]
    has_options = any(action.option_strings for action in actions)
    tail = ["..."] if sub_parsers(parser) else ["[options]"] if has_options else []
    return " ".join([parser.prog, *positional, *required, *tail])


def sub_parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Parsers of sub-commands by name, in order of declaration."""
    return {name: one for action in _actions(parser) if _is_choice(action) for name, one in _choices(action).items()}


def sub_parser_help(parser: argparse.ArgumentParser) -> dict[str, str]:
    """What each sub-command does, by name."""
    chosen: list[Any] = [action for action in _actions(parser) if _is_choice(action)]
    return {one.dest: str(one.help or "") for action in chosen for one in action._choices_actions}  # noqa: SLF001


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Flags and positional arguments but for help and sub-commands, in order of declaration."""
    return [action for action in _actions(parser) if not _is_choice(action)]


def metavar_of(action: argparse.Action) -> str:
    """What stands for the values of an argument; empty for a switch."""
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    listed = f"{{{','.join(map(str, action.choices))}}}" if action.choices is not None else None
    one = action.metavar or listed or (action.dest.upper() if action.option_strings else action.dest)
    if action.nargs in {"+", "*"}:
        return f"{one} ..."
    return f"[{one}]" if action.nargs == "?" else one


def _word(action: argparse.Action) -> str:
    return " ".join([*action.option_strings[:1], metavar_of(action)])


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All but `--help`, which is always there; argparse has no public list."""
    return [action for action in parser._actions if action.dest != "help"]  # noqa: SLF001


def _is_choice(action: argparse.Action) -> bool:
    """Whether it is the choice of a sub-command."""
    return isinstance(action.choices, Mapping)


def _choices(action: argparse.Action) -> Mapping[str, argparse.ArgumentParser]:
    return dict(cast("Mapping[str, argparse.ArgumentParser]", action.choices))
