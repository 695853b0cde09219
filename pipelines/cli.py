"""corpus-embed <command>."""

import argparse
import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from textwrap import fill
from types import MappingProxyType, ModuleType
from typing import Any, NoReturn

from pipelines.command_line.arguments import take
from pipelines.command_line.examples import EXAMPLES
from pipelines.command_line.exit_codes import EXIT_FAILED
from pipelines.command_line.interruption import InterruptedCommand, interruptible, leave
from pipelines.command_line.parsers import Parser, sub_parser_help, sub_parsers
from pipelines.command_line.streams import guard_streams
from pipelines.watching import logs, progress
from transforms.adapters.events import report
from transforms.adapters.secrets import guard_output, redact
from transforms.logic.addresses import check_no_user
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, CorruptDataError, TransientError
from transforms.logic.record import EXIT_CONFIGURATION, EXIT_RETRY, EXIT_UNBALANCED
from transforms.logic.suggestions import did_you_mean
from transforms.logic.terminal import visible

_RESUME = "interrupted; what was done is kept, and the same command goes on from there"
_INTERRUPTED = MappingProxyType(dict.fromkeys(("run", "load", "calibrate", "rejects"), _RESUME))
"""What is said of commands that are interrupted, where there is more to say."""
_LOG = logging.getLogger(__name__)


def _run() -> ModuleType:
    from pipelines import embed_corpus  # noqa: PLC0415  Beam and torch take seconds to import, so only the chosen command is

    return embed_corpus


def _plan() -> ModuleType:
    from pipelines.commands import plan  # noqa: PLC0415

    return plan


def _launch() -> ModuleType:
    from pipelines import launch  # noqa: PLC0415

    return launch


def _search() -> ModuleType:
    from pipelines.commands import search  # noqa: PLC0415

    return search


def _capabilities() -> ModuleType:
    from pipelines.commands import capabilities  # noqa: PLC0415

    return capabilities


def _calibrate() -> ModuleType:
    from pipelines import calibrate  # noqa: PLC0415

    return calibrate


def _verify() -> ModuleType:
    from pipelines import verify  # noqa: PLC0415

    return verify


def _load() -> ModuleType:
    from pipelines.commands import load  # noqa: PLC0415

    return load


def _rollback() -> ModuleType:
    from pipelines import publish  # noqa: PLC0415

    return publish


def _drop() -> ModuleType:
    from pipelines import drop  # noqa: PLC0415

    return drop


def _workspace() -> ModuleType:
    from pipelines.commands import workspace  # noqa: PLC0415

    return workspace


def _rejects() -> ModuleType:
    from pipelines.commands import rejects  # noqa: PLC0415

    return rejects


def _runs() -> ModuleType:
    from pipelines.commands import runs  # noqa: PLC0415

    return runs


def _config() -> ModuleType:
    from pipelines.commands import config  # noqa: PLC0415

    return config


def _completion() -> ModuleType:
    from pipelines.commands import completion  # noqa: PLC0415

    return completion


def _report() -> ModuleType:
    from pipelines.commands import report  # noqa: PLC0415

    return report


def _evaluate() -> ModuleType:
    from pipelines.commands import evaluate  # noqa: PLC0415

    return evaluate


def _explore() -> ModuleType:
    from pipelines.commands import explore  # noqa: PLC0415

    return explore


COMMANDS: MappingProxyType[str, tuple[str, Callable[[], ModuleType]]] = MappingProxyType(
    {
        "run": ("embed a corpus into a Milvus collection; run again, it writes only what changed", _run),
        "plan": ("tell from a sample what a run would find, do, cost and leave behind; nothing is written", _plan),
        "launch": ("hand a run to a runner elsewhere without waiting, as the Dataflow template does", _launch),
        "calibrate": ("measure what each vector type loses on this corpus, and freeze what binary needs", _calibrate),
        "search": ("ask a collection a question in any language", _search),
        "evaluate": ("measure what a collection finds across languages, before and after compression", _evaluate),
        "explore": ("serve a page to this machine: search, chunks in their documents, rankings side by side", _explore),
        "capabilities": ("show what a Milvus can do, or what each version of it can", _capabilities),
        "verify": ("hold a collection against its ledger and the dataset", _verify),
        "load": ("fill a collection from the dataset, in another representation perhaps, without a model", _load),
        "rollback": ("let an alias of run --publish mean the collection that it meant before", _rollback),
        "drop": ("remove a collection that no alias means; its vectors stay in the dataset", _drop),
        "workspace": ("show what a workspace holds, remove what nothing names, export a collection's rows", _workspace),
        "runs": ("list and show the records of runs, and in what two of them differ", _runs),
        "report": ("make one HTML page of a run: figures, charts, a map of vectors", _report),
        "rejects": ("count, show and process again what could not be processed", _rejects),
        "config": ("check a configuration file, write a template of one, or print its JSON Schema", _config),
        "completion": ("print a script that lets bash, zsh or fish complete commands and options", _completion),
    }
)


def parser_of(name: str) -> Parser:
    """The parser of a command, with all its flags; imports what the command needs."""
    return _fill(Parser(f"corpus-embed {name}", **_texts(name)), name)


def parser_of_all() -> Parser:
    """One parser with every command as a sub-command; imports what all commands need, which takes seconds."""
    parser = Parser("corpus-embed")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (what, _) in COMMANDS.items():
        _fill(commands.add_parser(name, help=what, **_texts(name)), name)
    return parser


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags that every command has."""
    logs.add_arguments(parser)
    progress.add_arguments(parser)


def _fill(parser: Parser, name: str) -> Parser:
    COMMANDS[name][1]().add_arguments(parser)
    add_common_arguments(parser)
    for sub_command, what in sub_parser_help(parser).items():
        of_sub_command = sub_parsers(parser)[sub_command]
        of_sub_command.description = of_sub_command.description or _sentence(what)
    return parser


def _texts(name: str) -> dict[str, Any]:
    """What the help of a command says besides its flags."""
    what, _ = COMMANDS[name]
    return {
        "description": _sentence(what),
        "epilog": f"for example:{EXAMPLES[name]}\n\nTypes, ranges, exit codes: docs/reference.md",
    }


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _overview(arguments: Sequence[str]) -> int:
    """Shows the commands, on stderr unless that was asked for; of a word that is none only that, and where they are shown."""
    first = arguments[0] if arguments else ""
    if first == "--version":
        sys.stdout.write(f"corpus-embed {version('corpus-embed')}\n")
        return 0
    asked_for_help = first in {"-h", "--help", "help"}
    if first and not asked_for_help:
        # What is like no command may be a secret in the wrong place.
        meant = did_you_mean(first, COMMANDS)
        named = f" as {first!r}" if meant else ""
        sys.stderr.write(
            redact(f"corpus-embed: there is no such command{named}{meant or '; corpus-embed --help shows all'}\n")
        )
        return EXIT_CONFIGURATION
    width = shutil.get_terminal_size().columns
    shown = "\n".join(
        fill(f"  {name:<12} {what}", width, subsequent_indent=" " * 15) for name, (what, _) in COMMANDS.items()
    )
    (sys.stdout if asked_for_help else sys.stderr).write(
        f"usage: corpus-embed <command> [options]\n\n{shown}\n\n"
        "corpus-embed <command> --help shows a command's options, corpus-embed --version the version.\n"
        "All options, with types and ranges: docs/reference.md.\n"
    )
    return 0 if asked_for_help else EXIT_CONFIGURATION


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code: 0, or what the table of docs/operate.md says."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        return _overview(arguments)
    name, *rest = arguments
    of_logs, rest = logs.take_arguments(rest)
    of_progress, rest = take(rest, progress.add_arguments)
    logs.configure(of_logs.log_format, of_logs.log_level, redact=redact)
    guard_output()
    try:
        with interruptible():
            _check_arguments(rest)
            progress.configure(of_progress.progress, quiet=of_progress.quiet)
            return int(COMMANDS[name][1]().execute(parser_of(name), rest))
    except CorpusEmbedError as error:
        return _tell_end(name, "command failed", _exit_code(error), str(error))
    except InterruptedCommand as interrupt:
        return _tell_end(name, "command interrupted", interrupt.exit_code, _INTERRUPTED.get(name, "interrupted"))


def _tell_end(name: str, event: str, code: int, message: str) -> int:
    """Says why a command ended before its end, and gives its exit code."""
    logging.disable(logging.NOTSET)
    if logs.is_json():
        report(_LOG, logging.ERROR, event, command=name, exit_code=code, error=message)
    else:
        sys.stderr.write(visible(redact(f"corpus-embed {name}: {message}\n")))
    return code


def _check_arguments(arguments: Sequence[str]) -> None:
    """Refuses a password in a URI, in any place."""
    flag = "an argument"
    for argument in arguments:
        if argument.startswith("--"):
            flag, _, value = argument.partition("=")
            check_no_user(value, flag)
        else:
            check_no_user(argument, flag)


def _exit_code(error: CorpusEmbedError) -> int:
    if isinstance(error, ConfigurationError):
        return EXIT_CONFIGURATION
    if isinstance(error, TransientError):
        return EXIT_RETRY
    return EXIT_UNBALANCED if isinstance(error, CorruptDataError) else EXIT_FAILED


def script(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs one command as a process of its own, and ends that; output that could not be written is told of, unless its reader went away."""
    output = guard_streams()
    code = main(argv)
    output.flush()
    if output.error is not None and not isinstance(output.error, BrokenPipeError):
        sys.stderr.write(f"corpus-embed: the output is not whole: {output.error.strerror}\n")
        code = code or EXIT_FAILED
    leave(code)


if __name__ == "__main__":
    script()
