"""Parsers name what was meant, never a value behind it, and say in a line or two what must be given."""

import argparse

import pytest

from pipelines.command_line.parsers import (
    Parser,
    flags_of,
    metavar_of,
    options_of,
    sub_parser_help,
    sub_parsers,
    usage_of,
)


def _parser() -> Parser:
    parser = Parser("tool")
    commands = parser.add_subparsers(dest="action", required=True, metavar="ls|show")
    listing = commands.add_parser("ls", help="list them")
    listing.add_argument("uri", metavar="URI")
    listing.add_argument("--limit", type=int)
    listing.add_argument("--form", choices=("text", "json"), default="text")
    showing = commands.add_parser("show", help="show one")
    showing.add_argument("uri", metavar="URI")
    showing.add_argument("--run", required=True)
    showing.add_argument("--weights", nargs=2, metavar=("DENSE", "SPARSE"))
    return parser


def _said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        _parser().parse_args(arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ls", "w", "--limt=3"), "unrecognized arguments: --limt; did you mean --limit?"),
        (("ls", "w", "--limt", "3"), "unrecognized arguments: --limt; did you mean --limit?"),
        (("ls", "w", "--wieghts", "3"), "unrecognized arguments: --wieghts\n"),
        (("show", "w", "--run", "r", "--wieghts", "3"), "--wieghts; did you mean --weights?"),
        (("show", "w", "--rnu=r"), "are required: --run; unrecognized arguments: --rnu; did you mean --run?"),
        (("show", "w", "--zzz=r"), "are required: --run\n"),
        (("ls", "w", "stray"), "unrecognized arguments: (not shown)"),
        (("lst", "w"), "invalid choice: 'lst' (choose from ls, show); did you mean ls?"),
        (("ls", "w", "--form", "jsn"), "invalid choice: 'jsn' (choose from text, json); did you mean json?"),
        (("ls", "w", "--form", "qqq"), "invalid choice: 'qqq' (choose from text, json)\n"),
    ],
)
def test_what_was_meant_is_named(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str) -> None:
    assert said in _said(capsys, *arguments)


@pytest.mark.parametrize("written", [("--tokn", "swordfish"), ("--tokn=swordfish",), ("swordfish",), ("-swordfish",)])
def test_a_value_that_nobody_knows_is_not_repeated(
    capsys: pytest.CaptureFixture[str], written: tuple[str, ...]
) -> None:
    assert "swordfish" not in _said(capsys, "ls", "w", *written)


def test_usage_is_what_must_be_given() -> None:
    parser = _parser()
    assert usage_of(parser) == "tool ls|show ..."
    assert usage_of(sub_parsers(parser)["ls"]) == "tool ls URI [options]"
    assert usage_of(sub_parsers(parser)["show"]) == "tool show URI --run RUN [options]"


def test_usage_is_broken_into_lines_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    parser = Parser("tool", usage="%(prog)s --input PATTERN --model MODEL --share 5%% [options]")
    shown = parser.format_usage()
    assert all(len(line) <= 40 for line in shown.splitlines())
    assert " ".join(shown.split()) == "usage: tool --input PATTERN --model MODEL --share 5% [options]"
    assert parser.usage == "%(prog)s --input PATTERN --model MODEL --share 5%% [options]"


def test_lines_of_examples_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    parser = Parser("tool", description="word " * 20, epilog="for example:\n  tool a \\\n    --b\n\nthe end")
    shown = parser.format_help()
    assert "for example:\n  tool a \\\n    --b\n\nthe end" in shown
    assert all(len(line) <= 40 for line in shown.splitlines())


def test_parts_of_a_parser_are_found() -> None:
    parser = _parser()
    showing = sub_parsers(parser)["show"]
    assert sub_parser_help(parser) == {"ls": "list them", "show": "show one"}
    assert [metavar_of(action) for action in options_of(showing)] == ["URI", "RUN", "DENSE SPARSE"]
    assert options_of(parser) == []
    assert flags_of(parser) == []
    parser.parse_args(["show", "w", "--run", "r"])
    assert flags_of(parser) == ["--run", "--weights"]
    assert isinstance(showing, argparse.ArgumentParser)
