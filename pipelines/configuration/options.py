"""Flags and a TOML file in, a `Config` and Beam's own options out. Flags win."""

import argparse
import os
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from pydantic import ValidationError

from pipelines.configuration.accelerators import with_gpu
from pipelines.configuration.access import check_workers
from pipelines.configuration.config import Config
from pipelines.configuration.definitions import Option, definitions, section_titles
from pipelines.configuration.schema import values_of
from transforms.logic.addresses import check_no_user
from transforms.logic.errors import ConfigurationError
from transforms.logic.suggestions import did_you_mean

# `DirectRunner` tries to download another engine first and silently falls back; the name below always means the same one.
DEFAULT_RUNNER = "FnApiRunner"
# Beam keeps its options in the job's graph, and Dataflow shows them.
_SECRET_OPTIONS = frozenset(
    {"--azure_connection_string", "--s3_access_key_id", "--s3_secret_access_key", "--s3_session_token"}
)
# What a runner is told of the environment of its workers, and names in it of what holds a secret.
_OF_ENVIRONMENTS = ("environment_config", "environment_options")
_NAMES_SECRET = re.compile(r"(?i)(?:token|password|passwd|secret|credentials?|_key)[\\\"']*\s*[:=]")
_RUNNERS_HERE = frozenset(
    {DEFAULT_RUNNER, "DirectRunner", "BundleBasedDirectRunner", "SwitchingDirectRunner", "PrismRunner"}
)
# Airflow and the launcher of Flex templates name a job's labels by Beam's flag of that name. No path ends like a label.
_LABELS_OF_A_JOB = re.compile(r"\{.*\}|[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}", re.DOTALL)
_OF_BEAM = f"Other flags are Beam's, as --runner DataflowRunner --project NAME; without --runner it is {DEFAULT_RUNNER}, on this machine."
_TYPES: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {"switch": (bool,), "integer": (int,), "number": (int, float), "text": (str, date)}
)
_NAMES_OF_TYPES: Mapping[type, str] = MappingProxyType(
    {
        bool: "true or false",
        int: "an integer",
        float: "a number",
        str: "text",
        list: "a list of other things",
        dict: "a table",
    }
)


@dataclass(frozen=True)
class Given:
    """What a command line and its file say.

    Attributes:
        values: by name of the option, those of flags before those of the file.
        origins: `flag` or `file`, by name of the option; all others have their default.
        rest: arguments that are none of this project's.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    rest: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser, *, needs_all: bool = True) -> None:
    """Adds a flag for every option, in a group for each section, and `--config`; `needs_all` if required options are required.

    The help tells of Beam's options too, which are told apart later.
    """
    parser.add_argument("--config", metavar="FILE.toml", help="TOML file with the same names; flags win")
    groups = {name: parser.add_argument_group(name, description) for name, description in section_titles().items()}
    for option in definitions().values():
        add_option(groups[option.section], option, is_required=needs_all and option.is_required)
    parser.add_argument_group("Beam", _OF_BEAM)
    if needs_all and parser.usage is None:
        needed = [f"{option.flag} {_metavar(option)}" for option in definitions().values() if option.is_required]
        parser.usage = f"%(prog)s {' '.join(needed)} --collection NAME [options]"


def add_option(
    group: argparse._ActionsContainer, option: Option, *, is_required: bool = False, said: str = "", without: str = ""
) -> None:
    """Adds the flag of an option, whose value is left out of the namespace where it is not given, and is checked by `to_config`.

    Args:
        group: of a parser, or the parser.
        option: the option.
        is_required: whether the help says so.
        said: in place of its description.
        without: what is said in place of its default.
    """
    if option.is_switch:
        group.add_argument(
            option.flag, dest=option.name, action="store_true", default=argparse.SUPPRESS, help=option.description
        )
        return
    listed = f"one of {', '.join(option.choices)}" if option.choices and "{" not in option.metavar else ""
    default = f"default {option.default}" if option.default and not without else ""
    remarks = [one for one in ("required" if is_required else "", listed, option.range, default) if one]
    text = (said or option.description) + without + (f" ({'; '.join(remarks)})" if remarks else "")
    group.add_argument(
        option.flag,
        dest=option.name,
        nargs="+" if option.is_list else None,
        # Named twice, a list goes on: of two inputs none is dropped.
        action="extend" if option.is_list else "store",
        metavar=option.metavar,
        default=argparse.SUPPRESS,
        help=text.replace("%", "%%"),
    )


def _metavar(option: Option) -> str:
    return f"{option.metavar} ..." if option.is_list else option.metavar


def read(parser: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[Given, argparse.Namespace]:
    """What arguments and the file that they name say, unchecked but for names; and all that the parser found.

    Raises:
        ConfigurationError: the file cannot be read, or holds a name that is no option.
    """
    known, rest = parser.parse_known_args(list(_with_labels_of_beam(argv)))
    found = dict(vars(known))
    path = found.get("config")
    of_file = read_toml(path) if path else {}
    of_flags = {name: found[name] for name in definitions() if name in found}
    origins = {**dict.fromkeys(of_file, "file"), **dict.fromkeys(of_flags, "flag")}
    return Given({**of_file, **of_flags}, origins, tuple(rest)), known


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[Config, PipelineOptions]:
    """Parses arguments of a parser that `add_arguments` filled; any wrong or unknown value raises `ConfigurationError`."""
    return checked(read(parser, argv)[0])


def checked(given: Given) -> tuple[Config, PipelineOptions]:
    """The configuration and Beam's options; any wrong or unknown value raises `ConfigurationError`."""
    # First: an option that lacks may be one of those that nobody knows.
    beam_options = to_pipeline_options(given.rest)
    config = to_config(given.values)
    check_workers(config.access.value, runner_of(beam_options))
    return config, with_gpu(beam_options, config.workers)


def _with_labels_of_beam(argv: Sequence[str]) -> Iterator[str]:
    for argument in argv:
        flag, _, value = argument.partition("=")
        yield f"--label={value}" if flag == "--labels" and _LABELS_OF_A_JOB.fullmatch(value) else argument


def to_config(values: Mapping[str, Any]) -> Config:
    """Puts flat values into sections and checks them."""
    for name, value in values.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            check_no_user(str(one), _flag(name))
    sections: dict[str, dict[str, Any]] = {name: {} for name in Config.model_fields}
    places = {name: option.section for name, option in definitions().items()}
    for name, value in values.items():
        if name in places:
            sections[places[name]][name] = value
    try:
        return Config.model_validate(sections)
    except ValidationError as error:
        raise ConfigurationError(explain(error.errors())) from error


def to_pipeline_options(
    arguments: Sequence[str], command: str = "run", own_flags: Collection[str] | None = None
) -> PipelineOptions:
    """Beam's options.

    Args:
        arguments: that are none of the command's own.
        command: whose help is named where an option is unknown.
        own_flags: of the command, those of `run` by default, which may have been meant.

    Raises:
        ConfigurationError: an option that neither this project nor Beam knows, which Beam would drop, or one that holds a secret.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
    for options in PipelineOptions.__subclasses__():
        add = getattr(options, "_add_argparse_args", None)
        if add is not None:
            add(parser)
    known, unknown = parser.parse_known_args(list(arguments))
    for name in _OF_ENVIRONMENTS:
        if _NAMES_SECRET.search(str(getattr(known, name, None) or "")):
            raise ConfigurationError(
                f"--{name} gives workers a variable that holds a secret (it is not shown), and all who may look at the job would see it; "
                "set it where the workers are started"
            )
    flags = sorted(parser._option_string_actions)  # noqa: SLF001  argparse has no public list of its flags
    flags += [option.flag for option in definitions().values()] if own_flags is None else own_flags
    for argument in arguments:
        if argument.split("=")[0] in _SECRET_OPTIONS:
            raise ConfigurationError(
                f"{argument.split('=')[0]} would show a secret to all who may look at the job; leave it out, and give "
                "workers credentials by their environment: a role, a service account, AWS_PROFILE"
            )
    for argument in (one.split("=")[0] for one in unknown):
        if not argument.startswith("-"):
            raise ConfigurationError(
                f"an argument belongs to no option (it is not shown, as it may be a secret): look for a space behind =, and quote what "
                f"holds spaces; see corpus-embed {command} --help"
            )
        hint = did_you_mean(argument, flags) or f"; see corpus-embed {command} --help"
        raise ConfigurationError(f"unknown option {argument!r}{hint}")
    named = any(argument == "--runner" or argument.startswith("--runner=") for argument in arguments)
    return PipelineOptions([*arguments, *([] if named else [f"--runner={DEFAULT_RUNNER}"])])


def runner_of(options: PipelineOptions) -> str:
    """The name of the runner, without its module."""
    return str(options.view_as(StandardOptions).runner or DEFAULT_RUNNER).rsplit(".", 1)[-1]


def workers_are_here(options: PipelineOptions) -> bool:
    """Whether the machine that launches the job is the one that runs it, so that its devices are those of the workers."""
    return runner_of(options) in _RUNNERS_HERE


def worker_processes(options: PipelineOptions) -> int:
    """How many processes of this machine do the work of an in-process runner; 1 for runners elsewhere."""
    if not workers_are_processes(options):
        return 1
    return int(options.view_as(DirectOptions).direct_num_workers) or os.cpu_count() or 1


def workers_are_processes(options: PipelineOptions) -> bool:
    """Whether the work is done by other processes of this machine than the launching one."""
    return workers_are_here(options) and options.view_as(DirectOptions).direct_running_mode == "multi_processing"


def read_toml(path: str) -> dict[str, Any]:
    """Values of a TOML file by name of the option, of the types that the options have, and unchecked but for that.

    Raises:
        ConfigurationError: the file cannot be read, or holds a name that is no option, one twice, or a value of another type.
    """
    try:
        # Some editors put a byte order mark first.
        values = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"--config {path!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"--config {path!r} is no TOML: {error}") from error
    named: dict[str, Any] = {}
    for written, value in values.items():
        name = written.replace("-", "_")
        if name not in definitions():
            is_section = isinstance(value, dict) and (name in section_titles() or definitions().keys() >= value.keys())
            hint = (
                "; options stand at the top of the file, in no table"
                if is_section
                else did_you_mean(name, definitions())
            )
            raise ConfigurationError(f"--config {path!r}: unknown name {name!r}{hint}")
        if name in named:
            raise ConfigurationError(f"--config {path!r}: {name!r} stands twice, with hyphens and without")
        named[name] = value
    wrong = [
        f"--config {path!r}: {name} needs {values_of(definitions()[name])}, and is {_NAMES_OF_TYPES.get(type(value), 'a date or time')}"
        for name, value in named.items()
        if not _is_of_type(definitions()[name], value)
    ]
    if wrong:
        raise ConfigurationError("\n".join(wrong))
    return named


def _is_of_type(option: Option, value: Any) -> bool:
    if isinstance(value, list):
        return option.is_list and not any(isinstance(one, list) or not _is_of_type(option, one) for one in value)
    # In Python a switch is an integer.
    return isinstance(value, _TYPES[option.kind]) and (option.is_switch or not isinstance(value, bool))


def explain(errors: Iterable[Any], depth: int = 2) -> str:
    """Pydantic's errors, about fields so deep in the configuration, as the user would put them: a line each, one for each option."""
    lines: dict[str, str] = {}
    missing = []
    for error in errors:
        name = str(error["loc"][depth - 1]) if len(error["loc"]) >= depth else ""
        if error["type"] == "missing":
            missing.append(_flag(name))
        elif not name:
            # Of a whole section, or of all: its validators name the flags themselves.
            line = str(error["ctx"]["error"])
            lines[line] = line
        else:
            # Of a list, what is wrong with it follows from what is wrong with one of its items.
            lines.setdefault(name, _explain(definitions()[name], error))
    needed = [f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} required, as flags or in a file"]
    return "\n".join([*lines.values(), *(needed if missing else [])])


def _explain(option: Option, error: Any) -> str:
    if option.section == "access":
        # What it was given may be a secret.
        return str(error["ctx"]["error"]) if error["type"] == "value_error" else f"{option.flag}: {error['msg']}"
    given = error["input"]
    more = ", at least one" if error["type"] == "too_short" else f" matching {option.pattern}" if option.pattern else ""
    said = f"; {option.description}" if option.pattern else ""
    meant = did_you_mean(str(given), option.choices)
    return f"{option.flag}: needs {values_of(option)}{more} (got {given!r}){said}{meant}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
