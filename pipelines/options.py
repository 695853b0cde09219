"""Flags and a TOML file in, a `Config` and Beam's own options out. Flags win."""

import argparse
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from pipelines.accelerators import with_gpu
from pipelines.access import MilvusAccess, check_workers
from pipelines.config import Config
from pipelines.sections import Section
from transforms.logic.addresses import check_no_user
from transforms.logic.errors import ConfigurationError

# `DirectRunner` tries to download another engine first and silently falls back; the name below always means the same one.
DEFAULT_RUNNER = "FnApiRunner"
# Beam keeps its options in the job's graph, and Dataflow shows them.
_SECRET_OPTIONS = frozenset(
    {"--azure_connection_string", "--s3_access_key_id", "--s3_secret_access_key", "--s3_session_token"}
)
_RUNNERS_HERE = frozenset(
    {DEFAULT_RUNNER, "DirectRunner", "BundleBasedDirectRunner", "SwitchingDirectRunner", "PrismRunner"}
)
# Airflow and the launcher of Flex templates name a job's labels by Beam's flag of that name. No path ends like a label.
_LABELS_OF_A_JOB = re.compile(r"\{.*\}|[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}", re.DOTALL)


def option_fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """(section, field, definition) of every option, in order of declaration."""
    for section_name, section in Config.model_fields.items():
        kind = section.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            for name, field in kind.model_fields.items():
                yield section_name, name, field


def default_of(field: FieldInfo) -> str:
    """The default of an option as a user would write it; empty for one that has none, and for a switch."""
    if field.is_required() or field.default is None or field.annotation is bool:
        return ""
    return ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for every option, and `--config`."""
    parser.add_argument("--config", metavar="FILE.toml", help="TOML file with the same names; flags win")
    for _, name, field in option_fields():
        flag = f"--{name.replace('_', '-')}"
        if field.annotation is bool:
            parser.add_argument(flag, dest=name, action="store_true", default=argparse.SUPPRESS, help=field.description)
            continue
        many = "tuple" in str(field.annotation)
        default = f" (default {default_of(field)})" if default_of(field) else ""
        parser.add_argument(
            flag,
            dest=name,
            nargs="+" if many else None,
            metavar="VALUE",
            default=argparse.SUPPRESS,
            help=f"{field.description}{default}".replace("%", "%%"),
        )


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[Config, PipelineOptions]:
    """Parses arguments of a parser that `add_arguments` filled; any wrong or unknown value raises `ConfigurationError`."""
    known, rest = parser.parse_known_args(list(_with_labels_of_beam(argv)))
    values = dict(vars(known))
    path = values.pop("config", None)
    merged = {**(_read_toml(path) if path else {}), **values}
    config, beam_options = to_config(merged), to_pipeline_options(rest)
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
            check_no_user(str(one), f"--{name.replace('_', '-')}")
    sections: dict[str, dict[str, Any]] = {name: {} for name in Config.model_fields}
    places = {name: section for section, name, _ in option_fields()}
    for name, value in values.items():
        if name in places:
            sections[places[name]][name] = value
    try:
        return Config.model_validate(sections)
    except ValidationError as error:
        raise ConfigurationError("\n".join(explain(one) for one in error.errors())) from error


def to_pipeline_options(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options.

    Raises:
        ConfigurationError: an option that neither this project nor Beam knows, which Beam would drop, or one that holds a secret.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
    for options in PipelineOptions.__subclasses__():
        add = getattr(options, "_add_argparse_args", None)
        if add is not None:
            add(parser)
    _, unknown = parser.parse_known_args(list(arguments))
    flags = sorted(parser._option_string_actions)  # noqa: SLF001  argparse has no public list of its flags
    flags += [f"--{name.replace('_', '-')}" for _, name, _ in option_fields()]
    for argument in arguments:
        if argument.split("=")[0] in _SECRET_OPTIONS:
            raise ConfigurationError(
                f"{argument.split('=')[0]} would show a secret to all who may look at the job; leave it out, and give "
                "workers credentials by their environment: a role, a service account, AWS_PROFILE"
            )
    for argument in (one.split("=")[0] for one in unknown):
        close = get_close_matches(argument, flags, 1)
        hint = f"; did you mean {close[0]}?" if close else "; see corpus-embed run --help"
        message = f"unknown option {argument!r}{hint}"
        raise ConfigurationError(message)
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


def _read_toml(path: str) -> dict[str, Any]:
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"--config {path!r} cannot be read: {error}"
        raise ConfigurationError(message) from error
    named = {name.replace("-", "_"): value for name, value in values.items()}
    known = [name for _, name, _ in option_fields()]
    for name in named:
        if name not in known:
            close = get_close_matches(name, known, 1)
            message = f"--config {path!r}: unknown name {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")
            raise ConfigurationError(message)
    return named


def explain(error: Any, depth: int = 2) -> str:
    """One of pydantic's errors, about a field so deep in the configuration, as the user would put it."""
    if len(error["loc"]) < depth:
        # Of a whole section, or of all: its validators name the flags themselves.
        return str(error["ctx"]["error"])
    name = str(error["loc"][depth - 1])
    flag = f"--{name.replace('_', '-')}"
    if error["type"] == "missing":
        return f"{flag} is required"
    if name in MilvusAccess.model_fields:
        # What it was given may be a secret.
        return str(error["ctx"]["error"]) if error["type"] == "value_error" else f"{flag}: {error['msg']}"
    shown = "" if isinstance(error["input"], dict) else f" (got {error['input']!r})"
    return f"{flag}: {error['msg']}{shown}"
