"""Config: checks a configuration without a run, writes a template of one, prints its JSON Schema."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.command_line.tables import as_json, table
from pipelines.configuration import options
from pipelines.configuration.config import Config
from pipelines.configuration.definitions import definitions, section_titles
from pipelines.configuration.schema import schema, template
from pipelines.preflight.partitions import read_kept_languages, read_own_partitions
from transforms.adapters.detectors import names_files, read_choice
from transforms.adapters.pushing import check_push_url
from transforms.logic.errors import ConfigurationError
from transforms.logic.record import EXIT_CONFIGURATION

_FOUND = {"option": "option", "value": "value", "from": "from"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command each for checking, the template and the schema."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="check|init|schema")
    checking = commands.add_parser(
        "check",
        help="check a configuration without looking at input, model, workspace or Milvus, and show where each value is from",
        allow_abbrev=False,
    )
    checking.set_defaults(act=_check)
    checking.add_argument("file", nargs="?", metavar="FILE.toml", help="the file, as in run --config")
    checking.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options.add_arguments(checking, needs_all=False)
    writing = commands.add_parser(
        "init", help="write a TOML file with every option, to be filled in", allow_abbrev=False
    )
    writing.set_defaults(act=_init)
    writing.add_argument("file", nargs="?", metavar="FILE.toml", help="a file that is not there yet; default print it")
    describing = commands.add_parser(
        "schema", help="print the JSON Schema of the file, for editors", allow_abbrev=False
    )
    describing.set_defaults(act=_schema)


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Runs one sub-command and gives its exit code."""
    # Of `check` alone: Beam's options are none of this program's.
    given, arguments = options.read(parser, argv)
    if given.rest and arguments.act is not _check:
        parser.error(f"unrecognized arguments: {' '.join(given.rest)}")
    return int(arguments.act(arguments, given))


def _check(arguments: argparse.Namespace, given: options.Given) -> int:
    try:
        if arguments.file is not None:
            given = _with_file(arguments, given)
        config, beam_options = options.checked(given)
        _check_words(config)
    except ConfigurationError as error:
        if not arguments.json:
            raise
        sys.stdout.write(as_json({"valid": False, "errors": str(error).split("\n")}))
        return EXIT_CONFIGURATION
    found = list(_values(config, given.origins))
    runner = options.runner_of(beam_options)
    if arguments.json:
        shown = [{name: value for name, value in one.items() if name != "section"} for one in found]
        sys.stdout.write(as_json({"valid": True, "runner": runner, "options": shown}))
        return 0
    for section in section_titles():
        rows = [{**one, "value": _cell(one["value"])} for one in found if one["section"] == section]
        sys.stdout.write(f"{section}\n{table(rows, _FOUND)}\n")
    sys.stdout.write(f"the configuration is valid; runner {runner}\n")
    return 0


def _with_file(arguments: argparse.Namespace, given: options.Given) -> options.Given:
    if not arguments.file.endswith(".toml"):
        # It may be what a flag was given that nobody knows, so it is not repeated.
        raise ConfigurationError(
            "what stands without a flag is no file ending in .toml; write: corpus-embed config check FILE.toml [options]"
        )
    if arguments.config is not None:
        raise ConfigurationError(
            f"{arguments.file!r} and --config {arguments.config!r} both name the file; name it once"
        )
    of_file = options.read_toml(arguments.file)
    origins = {**dict.fromkeys(of_file, "file"), **given.origins}
    return options.Given({**of_file, **given.values}, origins, given.rest)


def _check_words(config: Config) -> None:
    """Refuses what a run refuses before it looks at anything: detectors, languages, the URL of figures."""
    read_kept_languages(config.selection)
    if config.run.push_metrics is not None:
        check_push_url(config.run.push_metrics)
    if not names_files(config.language.detector):
        read_own_partitions(config.language, read_choice(config.language.detector, config.language.language_floor))


def _values(config: Config, origins: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Every option with its value, as the run record has it, and where that is from."""
    values = config.model_dump(mode="json")
    for name, option in definitions().items():
        yield {
            "section": option.section,
            "option": name,
            "value": values[option.section][name],
            "from": origins.get(name, "default"),
        }


def _cell(value: Any) -> str | None:
    """A value as the file has it; None for none."""
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _init(arguments: argparse.Namespace, _: options.Given) -> int:
    if arguments.file is None:
        sys.stdout.write(template())
        return 0
    try:
        with Path(arguments.file).open("x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError as error:
        raise ConfigurationError(f"{arguments.file!r} is there already; name a new file") from error
    except OSError as error:
        raise ConfigurationError(f"{arguments.file!r} cannot be written: {error}") from error
    sys.stdout.write(f"wrote {arguments.file}; change it, then: corpus-embed config check {arguments.file}\n")
    return 0


def _schema(_: argparse.Namespace, __: options.Given) -> int:
    sys.stdout.write(as_json(schema()))
    return 0
