"""Writes the reference of options, commands and codes, and the JSON Schema: `python -m pipelines.reference DIRECTORY`, or `make reference`.

All of it is made from definitions: pydantic fields, parsers of the commands, enumerations and constants.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pipelines import cli
from pipelines.command_line.examples import EXAMPLES
from pipelines.command_line.exit_codes import MEANINGS
from pipelines.command_line.parsers import metavar_of, options_of, sub_parsers, usage_of
from pipelines.command_line.tables import as_json
from pipelines.configuration.access import MilvusAccess
from pipelines.configuration.definitions import Option, definitions, section_titles
from pipelines.configuration.reject_reasons import REASONS
from pipelines.configuration.schema import schema, values_of
from transforms.adapters import crashpoints, progress
from transforms.logic.references import FORMS

PAGE = "reference.md"
SCHEMA = "config.schema.json"
_FLAG = re.compile(r"--[a-z][a-z-]*[a-z]")
_REMARKS = re.compile(r" \((?:one of|above|default|[0-9])[^()]*\)$")
_DEFAULT = re.compile(r" \(default [^()]*\)")
_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        "NAME of `env:NAME`": "a secret that an option refers to, as `--milvus-token env:MILVUS_TOKEN`",
        "`AWS_PROFILE`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, …": "credentials for `s3://`, read by s3fs",
        "`GOOGLE_APPLICATION_CREDENTIALS`": "credentials for `gs://` and Secret Manager, read by Google's libraries",
        "`HF_TOKEN`": "for models of a hub that are not public, read by huggingface_hub",
        "`TERM`": "`dumb`: progress is shown in lines, on a terminal too",
        f"`{progress.VARIABLE}`": "set by a run for its own worker processes: where they tell how far they are",
        f"`{crashpoints.VARIABLE}`": "for tests: the process kills itself at a named point",
    }
)


def page() -> str:
    """The reference, as Markdown."""
    return "".join(
        f"{line}\n"
        for part in (_head(), _options(), _commands(), _exit_codes(), _reject_reasons(), _environment())
        for line in part
    )


def files() -> dict[str, str]:
    """What each file holds, by name."""
    return {PAGE: page(), SCHEMA: as_json(schema())}


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the files into a directory."""
    parser = argparse.ArgumentParser("python -m pipelines.reference")
    parser.add_argument("directory", help="where the files go")
    directory = Path(parser.parse_args(argv).directory)
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (directory / name).write_text(text, encoding="utf-8")
    return 0


def _head() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "<!-- Made by `make reference` from the definitions of options and commands; a test holds it against them. -->"
    yield ""
    parts = ("Options of run", "Commands", "Exit codes", "Reject reasons", "Environment")
    yield " · ".join(f"[{part}](#{part.lower().replace(' ', '-')})" for part in parts)


def _options() -> Iterator[str]:
    yield from ("", "## Options of run", "")
    yield "Each is a flag, and a name in the TOML file of `--config`; a flag wins over the file, the file over the default. A list is"
    yield "given on the command line by spaces, in the file as an array; commas also part it, but not patterns; the flag given twice goes"
    yield "on with it. A switch has no value as a flag, and `true` or `false` in the file. Flags that are none of these are Beam's, as"
    yield "`--runner`; without that the run uses `FnApiRunner`."
    yield ""
    yield "`corpus-embed config init FILE.toml` writes a file with every option, `corpus-embed config check FILE.toml` checks one, and"
    yield f"[`{SCHEMA}`]({SCHEMA}) is its JSON Schema, for editors."
    for section, title in section_titles().items():
        yield from ("", f"### {section}", "", title, "")
        yield "| flag | in a file | value | default | meaning | see also |"
        yield "|---|---|---|---|---|---|"
        for option in definitions().values():
            if option.section == section:
                yield _option_row(option)


def _option_row(option: Option) -> str:
    default = "**required**" if option.is_required else _code(option.default) or ("off" if option.is_switch else "")
    pattern = f" matching {_code(option.pattern)}" if option.pattern else ""
    cells = [
        f'<a id="{option.flag[2:]}"></a>`{option.flag}`',
        _code(option.name),
        ("a reference" if option.section == "access" and pattern else f"{values_of(option)}{pattern}"),
        default,
        option.description,
        ", ".join(f"[`{flag}`](#{flag[2:]})" for flag in _related(option)),
    ]
    return _row(cells)


def _related(option: Option) -> list[str]:
    """Options that its description names, and those whose descriptions name it, in order of declaration."""
    named = set(_FLAG.findall(option.description))
    return [
        other.flag
        for other in definitions().values()
        if other is not option and (other.flag in named or option.flag in _FLAG.findall(other.description))
    ]


def _commands() -> Iterator[str]:
    yield from ("", "## Commands", "")
    yield "Each command shows its flags by `--help`. Every command has these:"
    yield ""
    yield from _table(_of_every_command())
    for name, (what, _) in cli.COMMANDS.items():
        parser = cli.parser_of(name)
        yield from ("", f"### corpus-embed {name}", "", f"{what[0].upper()}{what[1:]}.", "")
        yield from ("```console", *_as_console(EXAMPLES[name]), "```", "")
        yield from _command(parser)
        for sub_command, of_sub_command in sub_parsers(parser).items():
            yield from ("", f"#### corpus-embed {name} {sub_command}", "", str(of_sub_command.description), "")
            yield from _command(of_sub_command)


def _as_console(example: str) -> Iterator[str]:
    for line in example.strip("\n").split("\n"):
        # What goes on from the line before stands further in.
        yield line.removeprefix("  ") if line.startswith("   ") else f"$ {line.strip()}"


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"    {usage_of(parser)}"
    of_every_command = {action.dest for action in _of_every_command()}
    actions = [action for action in options_of(parser) if action.dest not in of_every_command]
    names = {action.dest for action in actions}
    if names.issuperset(definitions()):
        yield from (
            "",
            "Takes all [options of run](#options-of-run), a file of them by `--config`, and Beam's options.",
        )
        actions = [action for action in actions if action.dest not in {*definitions(), "config"}]
    elif names.issuperset(MilvusAccess.model_fields):
        yield from ("", "Takes the flags of [access](#access).")
        actions = [action for action in actions if action.dest not in MilvusAccess.model_fields]
    if actions:
        yield ""
        yield from _table(actions)


def _of_every_command() -> list[argparse.Action]:
    parser = argparse.ArgumentParser(add_help=False)
    cli.add_common_arguments(parser)
    return options_of(parser)


def _table(actions: Sequence[argparse.Action]) -> Iterator[str]:
    yield "| argument | value | default | meaning |"
    yield "|---|---|---|---|"
    yield from (_row(_argument(action)) for action in actions)


def _argument(action: argparse.Action) -> list[str]:
    said = str(action.help or "") % {**vars(action), "prog": ""}
    option = definitions().get(action.dest) if action.default is argparse.SUPPRESS else None
    if option is None:
        name = action.option_strings[0] if action.option_strings else metavar_of(action)
        return [_code(name), _value(action), _default(action), _DEFAULT.sub("", said)]
    # What brackets say stands in columns of their own.
    default = _code(option.default) if f"default {option.default})" in said else ""
    return [f"[`{option.flag}`](#{option.flag[2:]})", values_of(option), default, _REMARKS.sub("", said)]


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "switch"
    kinds = {int: "integer", float: "number"}
    one = kinds.get(action.type, "text") if isinstance(action.type, type) else "text"
    if action.choices is not None:
        of_all = ", ".join(map(str, action.choices))
        return f"some of {of_all}" if action.nargs in {"+", "*"} else f"one of {of_all}"
    if isinstance(action.nargs, int):
        return f"{action.nargs} of {one}"
    return f"list of {one}" if action.nargs in {"+", "*"} else one


def _default(action: argparse.Action) -> str:
    if action.required:
        return "**required**"
    value = action.default
    if value is None or value is argparse.SUPPRESS or value is False or action.nargs == 0:
        return ""
    return _code(" ".join(value) if isinstance(value, list | tuple) else str(value))


def _exit_codes() -> Iterator[str]:
    yield from ("", "## Exit codes", "", "| code | meaning |", "|---|---|")
    yield from (_row([str(code), meaning]) for code, meaning in sorted(MEANINGS.items()))


def _reject_reasons() -> Iterator[str]:
    yield from ("", "## Reject reasons", "")
    yield "What cannot be used becomes a reject of one of these reasons; `corpus-embed rejects` counts and shows them."
    yield from ("", "| reason | meaning |", "|---|---|")
    yield from (_row([_code(reason.value), meaning]) for reason, meaning in REASONS.items())


def _environment() -> Iterator[str]:
    yield from ("", "## Environment", "")
    yield f"Options do not come from the environment; secrets may, where an option refers to them ({FORMS})."
    yield from ("", "| variable | what for |", "|---|---|")
    yield from (_row(list(one)) for one in _ENVIRONMENT.items())


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |".replace("|  |", "| |")


if __name__ == "__main__":
    sys.exit(main())
