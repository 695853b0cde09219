"""corpus-embed <command>."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from types import MappingProxyType, ModuleType
from typing import NoReturn

from pipelines import logs
from transforms.adapters.events import report
from transforms.adapters.secrets import guard_output, redact
from transforms.logic.addresses import check_no_user
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, CorruptDataError, TransientError
from transforms.logic.record import EXIT_CONFIGURATION, EXIT_RETRY, EXIT_UNBALANCED

EXIT_FAILED = 1
_LOG = logging.getLogger(__name__)


def _run() -> ModuleType:
    from pipelines import embed_corpus  # noqa: PLC0415  Beam and torch take seconds to import, so only the chosen command is

    return embed_corpus


def _launch() -> ModuleType:
    from pipelines import launch  # noqa: PLC0415

    return launch


def _search() -> ModuleType:
    from pipelines import search_command  # noqa: PLC0415

    return search_command


def _capabilities() -> ModuleType:
    from pipelines import capabilities_command  # noqa: PLC0415

    return capabilities_command


def _calibrate() -> ModuleType:
    from pipelines import calibrate  # noqa: PLC0415

    return calibrate


def _verify() -> ModuleType:
    from pipelines import verify  # noqa: PLC0415

    return verify


def _load() -> ModuleType:
    from pipelines import load_command  # noqa: PLC0415

    return load_command


def _rollback() -> ModuleType:
    from pipelines import publish  # noqa: PLC0415

    return publish


def _drop() -> ModuleType:
    from pipelines import drop  # noqa: PLC0415

    return drop


def _workspace() -> ModuleType:
    from pipelines import workspace_command  # noqa: PLC0415

    return workspace_command


def _rejects() -> ModuleType:
    from pipelines import rejects_command  # noqa: PLC0415

    return rejects_command


def _runs() -> ModuleType:
    from pipelines import runs_command  # noqa: PLC0415

    return runs_command


def _explore() -> ModuleType:
    from pipelines import explore_command  # noqa: PLC0415

    return explore_command


COMMANDS: MappingProxyType[str, tuple[str, Callable[[], ModuleType]]] = MappingProxyType(
    {
        "run": ("embed a corpus into a Milvus collection; run again, it writes only what changed", _run),
        "launch": ("hand a run to a runner elsewhere without waiting, as the Dataflow template does", _launch),
        "calibrate": ("measure what each vector type loses on this corpus, and freeze what binary needs", _calibrate),
        "search": ("ask a collection a question in any language", _search),
        "explore": ("serve a page to this machine: search, chunks in their documents, rankings side by side", _explore),
        "capabilities": ("show what a Milvus can do, or what each version of it can", _capabilities),
        "verify": ("hold a collection against its ledger and the dataset", _verify),
        "load": ("fill a collection from the dataset, in another representation perhaps, without a model", _load),
        "rollback": ("let an alias of run --publish mean the collection that it meant before", _rollback),
        "drop": ("remove a collection that no alias means; its vectors stay in the dataset", _drop),
        "workspace": ("show what a workspace holds, remove what nothing names, export a collection's rows", _workspace),
        "runs": ("list and show the records of runs, and in what two of them differ", _runs),
        "rejects": ("count, show and process again what could not be processed", _rejects),
    }
)


class _Parser(argparse.ArgumentParser):
    """Does not repeat what it does not know: it may be a secret behind a misspelt flag."""

    def error(self, message: str) -> NoReturn:
        what, colon, words = message.partition("unrecognized arguments: ")
        if colon:
            flags = [word.split("=")[0] for word in words.split() if word.startswith("-")]
            message = f"{what}{colon}{' '.join(flags) or '(not shown)'}"
        super().error(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code: 0, or what the README's table says."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        shown = "\n".join(f"  {name:<12} {what}" for name, (what, _) in COMMANDS.items())
        asked_for_help = bool(arguments) and arguments[0] in {"-h", "--help"}
        stream = sys.stdout if asked_for_help else sys.stderr
        stream.write(
            f"usage: corpus-embed <command> [options]\n\n{shown}\n\ncorpus-embed <command> --help shows a command's options.\n"
        )
        return 0 if asked_for_help else EXIT_CONFIGURATION
    name, *rest = arguments
    what, command = COMMANDS[name]
    of_logs, rest = logs.take_arguments(rest)
    logs.configure(of_logs.log_format, of_logs.log_level, redact=redact)
    guard_output()
    try:
        _check_arguments(rest)
        module = command()
        parser = _Parser(f"corpus-embed {name}", description=what, allow_abbrev=False)
        module.add_arguments(parser)
        logs.add_arguments(parser)
        return int(module.execute(parser, rest))
    except CorpusEmbedError as error:
        code = _exit_code(error)
        if logs.is_json():
            report(_LOG, logging.ERROR, "command failed", command=name, exit_code=code, error=str(error))
        else:
            sys.stderr.write(redact(f"corpus-embed {name}: {error}\n"))
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


if __name__ == "__main__":
    sys.exit(main())
