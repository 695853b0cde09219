"""Commands that the pages tell one to type, and what each of them is.

A console block is a session: `$ ` and a command, which goes on after a backslash, then what it prints. A bash block is a script: every
line is a command. Each command is of exactly one kind; a program that nobody knows is an error, so that none is skipped in silence.

    demo      `make demo`, and commands of corpus-embed on what it left: they run (`test_pages_run.py`)
    parsed    other commands of corpus-embed: their options are parsed and checked as the program does it
    module    `python -m`: the module is there, and has the flags
    make      the target is there
    elsewhere programs of others, each with where its commands are checked
"""

import argparse
import ast
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import embed_corpus
from pipelines.cli import COMMANDS, add_common_arguments
from pipelines.command_line.arguments import take
from pipelines.configuration import options
from pipelines.configuration.template import from_parameters
from tests.conftest import ROOT
from tests.docs.pages import SHELL, Block, blocks, name_of, read
from transforms.logic.errors import CorpusEmbedError

PROGRAMS = ("corpus-embed", ".venv/bin/corpus-embed")
PYTHONS = ("python", ".venv/bin/python")
MORE = "…"
"""Stands for what a command leaves out: it is then checked by its flags alone."""
ELSEWHERE: Mapping[str, str] = {
    "airflow": "tests/deploy/airflow/test_airflow.py parses them with Airflow's own parser",
    "docker": "no container engine to run them with; tests/deploy/dataflow/test_image.py checks what they build",
    "gcloud": "no cloud to run them in; tests/deploy/test_pages.py checks syntax and variables",
    "helm": "no cluster to run them in; tests/deploy/milvus/test_milvus_files.py checks the values",
    "kubectl": "no cluster to run them in",
    "git": "needs an address to clone from",
    "cd": "the shell's own",
    "do": "the shell's own",
    "done": "the shell's own",
    "export": "the shell's own; later commands are parsed with what it names",
    "for": "the shell's own",
    "printf": "the shell's own",
    "read": "the shell's own",
}
_OPTIONS_OF_A_RUN = ("run", "plan", "launch", "calibrate")
_SERVING = ("explore",)
"""Commands that end when they are told to; their own tests run them."""
_ASSIGNMENT = re.compile(r"^([A-Za-z_]+)=(.*)$", re.DOTALL)
_FILE_NAME = re.compile(r"# (\S+\.(?:toml|py|json))\n")


class UnknownCommandError(AssertionError):
    """A command on a page that would not work, or that nobody checks."""


@dataclass(frozen=True)
class Command:
    """A command as typed, what the page shows of its output, and its comment."""

    block: Block
    line: int
    text: str
    output: str = ""

    @property
    def place(self) -> str:
        """The page and the line, as an editor opens them."""
        return f"{name_of(self.block.page)}:{self.line}"

    @property
    def exit_code(self) -> int:
        """What it ends with: 0 unless its comment says `exit code N`."""
        said = re.search(r"#.*\bexit code (\d)", self.text)
        return int(said[1]) if said else 0

    def parts(self) -> list[list[str]]:
        """The words of each simple command, without comment or file that it writes; pipes, lists and `&` part them."""
        reader = shlex.shlex(self.text, posix=True, punctuation_chars="|&;>")
        reader.whitespace_split = True
        parts: list[list[str]] = [[]]
        is_file = False
        for word in reader:
            if set(word) <= set("|&;>"):
                # What follows > is a file, and no command.
                parts.append([])
                is_file = word == ">"
            elif is_file:
                is_file = False
            else:
                parts[-1].append(word)
        return [part for part in parts if part]


def commands(page: Path) -> list[Command]:
    """Every command of a page, in order."""
    return [command for block in blocks(page, *SHELL) for command in commands_of(block)]


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a block; what stands before the first prompt of a console block would be lost, so there must be nothing."""
    prompts = block.language == "console"
    last: Command | None = None
    lines = iter(enumerate(block.text.splitlines(), block.line))
    for number, line in lines:
        text = line
        if prompts and not line.startswith("$ "):
            if last is None:
                raise UnknownCommandError(f"{name_of(block.page)}:{number} comes before the first prompt")
            last = replace(last, output=f"{last.output}{line}\n")
            continue
        while text.endswith("\\"):
            text = text[:-1].rstrip() + " " + next(lines)[1].strip()
        if last is not None:
            yield last
        last = Command(block, number, text.removeprefix("$ ").strip())
        if not last.text:
            last = None
    if last is not None:
        yield last


def kind_of(command: Command) -> str:
    """What a command is.

    Raises:
        UnknownCommandError: nobody knows its program.
    """
    kinds = [_kind_of_part(part, command) for part in command.parts()]
    if "demo" in kinds and len(kinds) > 1:
        raise UnknownCommandError(f"{command.place}: a command that runs stands alone, not in a pipe or list")
    return next((kind for kind in ("demo", "parsed", "module", "make") if kind in kinds), "elsewhere")


def _kind_of_part(words: Sequence[str], command: Command) -> str:
    program, *arguments = _without_assignments(words)[1] or ["export"]
    if program == "make":
        return "demo" if arguments == ["demo"] else "make"
    if program in PROGRAMS:
        on_demo = any(one.startswith("demo/") for one in arguments)
        return "demo" if on_demo and MORE not in arguments and arguments[0] not in _SERVING else "parsed"
    if program in PYTHONS and arguments[:1] == ["-m"]:
        return "module"
    if program in ELSEWHERE:
        return "elsewhere"
    raise UnknownCommandError(f"{command.place}: {program!r} is of no kind that the tests know: {command.text}")


def files_of(page: Path) -> dict[str, str]:
    """The files that a page shows: blocks of code whose first line is a comment with their name."""
    shown = {}
    for block in blocks(page, "toml", "python", "json"):
        named = _FILE_NAME.match(block.text)
        if named:
            shown[named[1]] = block.text
    return shown


def exported(page: Path) -> dict[str, str]:
    """What the page's `export` lines name, with what they name before filled in."""
    known: dict[str, str] = {}
    for command in commands(page):
        for words in command.parts():
            if words[0] == "export":
                for word in words[1:]:
                    name, _, value = word.partition("=")
                    known[name] = filled(value, known) if "=" in word else name.lower()
    return known


def filled(text: str, known: Mapping[str, str]) -> str:
    """The text with variables filled in, as far as they are known."""
    return re.sub(r"\$\{?([A-Z_]+)\}?", lambda match: known.get(match[1], match[0]), text)


def check(command: Command, known: Mapping[str, str]) -> None:
    """Holds a command that does not run against what it would meet; files of its page must lie in the current directory.

    Raises:
        UnknownCommandError: it would not work.
    """
    for part in command.parts():
        _, words = _without_assignments(part)
        if not words:
            continue
        program, *arguments = (filled(word, known) for word in words)
        try:
            if program == "make":
                _check_make(arguments)
            elif program in PROGRAMS:
                check_arguments(arguments)
            elif program in PYTHONS:
                _check_module(arguments)
        except (CorpusEmbedError, argparse.ArgumentError, ValueError) as error:
            raise UnknownCommandError(f"{command.place}: {command.text}\n{error}") from error


class _Parser(argparse.ArgumentParser):
    """Says what is wrong to the test, in place of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def check_arguments(arguments: Sequence[str]) -> None:
    """Takes arguments of corpus-embed as the program does, up to where it would open something.

    Raises:
        CorpusEmbedError, ValueError: what the program would say.
    """
    name, *rest = arguments
    if name not in COMMANDS:
        raise ValueError(f"corpus-embed has no command {name!r}")
    if MORE in rest or "..." in rest:
        flags = [word.split("=")[0] for word in rest if word.startswith("--")]
        beam = [flag for flag in flags if flag not in flags_of(name)]
        if beam and name not in _OPTIONS_OF_A_RUN:
            raise ValueError(f"corpus-embed {name} has no {beam}")
        if set(beam) - beam_flags():
            raise ValueError(f"neither corpus-embed {name} nor Beam has {sorted(set(beam) - beam_flags())}")
        return
    _, rest = take(rest, add_common_arguments)
    parser = _parser(name)
    if name in _OPTIONS_OF_A_RUN:
        options.parse(parser, from_parameters(rest) if name == "launch" else rest)
    else:
        parser.parse_args(rest)


def _parser(name: str) -> argparse.ArgumentParser:
    parser = _Parser(f"corpus-embed {name}", allow_abbrev=False)
    module = embed_corpus if name == "run" else COMMANDS[name][1]()
    module.add_arguments(parser)
    add_common_arguments(parser)
    return parser


def flags_of(name: str) -> set[str]:
    """Every flag of a command of corpus-embed, of its parts too."""
    return set(_flags(_parser(name)))


def _flags(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from _flags(one)


@cache
def beam_flags() -> frozenset[str]:
    """Every flag of Beam's own options."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
    for one in PipelineOptions.__subclasses__():
        add = getattr(one, "_add_argparse_args", None)
        if add is not None:
            add(parser)
    return frozenset(parser._option_string_actions)


def make_targets() -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))


def _check_make(arguments: Sequence[str]) -> None:
    wrong = {one for one in arguments if "=" not in one and one != "-n"} - make_targets()
    if wrong:
        raise ValueError(f"the Makefile has no target {sorted(wrong)}")


def _check_module(arguments: Sequence[str]) -> None:
    _, module, *rest = arguments
    if module == "pipelines.embed_corpus":
        options.parse(_parser("run"), rest)
        return
    if find_spec(module) is None:
        raise ValueError(f"there is no module {module}")
    if module.split(".")[0] == "benchmarks":
        wrong = {one.split("=")[0] for one in rest if one.startswith("--")} - benchmark_flags(module)
        if wrong:
            raise ValueError(f"{module} has no {sorted(wrong)}")


def benchmark_flags(module: str) -> set[str]:
    """The flags that a benchmark adds to its parser, read from its source, as importing it would import its contenders."""
    path = ROOT.joinpath(*module.split("."))
    flags = {"--help"}
    for source in sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
        for node in ast.walk(ast.parse(read(source))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
                flags |= {
                    one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)
                }
    return flags


def _without_assignments(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Variables that are set for one command alone, and the command."""
    set_here: dict[str, str] = {}
    rest = list(words)
    while rest and (match := _ASSIGNMENT.match(rest[0])):
        set_here[match[1]] = match[2]
        rest.pop(0)
    return set_here, rest


def write_files(page: Path, directory: Path) -> None:
    """Puts the files that a page shows into a directory."""
    for name, text in files_of(page).items():
        (directory / Path(name).name).write_text(text, encoding="utf-8")
