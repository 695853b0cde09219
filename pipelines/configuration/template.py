"""The parameters of a Dataflow Flex template, made from the options of the main job; and the options that parameters stand for.

A parameter is one string, named as in a configuration file, so `max_tokens` for `--max-tokens`. Types and fields are those of Dataflow's
`ParameterMetadata` (REST reference of v1b3, `TemplateMetadata`); the service checks values by regular expressions before it starts a
machine.
"""

import shlex
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from pipelines.configuration.access import REFERRED
from pipelines.configuration.definitions import default_of, option_fields
from pipelines.configuration.sections import Patterns
from transforms.logic.errors import ConfigurationError

NAME = "corpus-embed"
DESCRIPTION = "Embeds a multilingual corpus into a Milvus collection; run again, it writes only what changed."
MODEL_DIRECTORY = "/opt/corpus-embed/model"
"""Where the template's image has its model: the value of `model` where none is given."""

LEFT_OUT = frozenset({"publish", "keep_generations"})
"""Options of a run that is waited for."""

_EVERYWHERE = r"^(gs|s3)://[^/]+/.*$"
_REGEXES = MappingProxyType(
    {
        "input": r"^['\"]?(gs|s3)://[^/]+/.*$",
        "workspace": _EVERYWHERE,
        "milvus": r"^https?://.+$",
    }
)
"""What a worker elsewhere cannot reach is refused before the launcher starts."""
# Not env:NAME, as workers have not the environment of who launches; in a form that any dialect of regular expressions reads.
_REFERENCE = r"^(file:/.+|secret:projects/[^/]+/secrets/[^/]+/versions/[^/]+)$"

_KINDS = MappingProxyType({bool: "BOOLEAN", int: "NUMBER", float: "NUMBER"})
_NUMBERS = MappingProxyType({int: r"^[0-9]+$", float: r"^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"})
_OF_BEAM = (
    {
        "name": "sdk_container_image",
        "label": "sdk container image",
        "helpText": "image of the workers: the template's own, best by digest",
        "regexes": [r"^[^\s]+(:[A-Za-z0-9_.-]+|@sha256:[0-9a-f]{64})$"],
        "paramType": "TEXT",
    },
    {
        "name": "number_of_worker_harness_threads",
        "label": "number of worker harness threads",
        "helpText": "threads of a worker process; they share its model and its GPU",
        "isOptional": True,
        "regexes": [r"^[1-9][0-9]*$"],
        "paramType": "NUMBER",
    },
    {
        "name": "disk_size_gb",
        "label": "disk size gb",
        "helpText": "disk of a worker, which must hold the image",
        "isOptional": True,
        "regexes": [r"^[1-9][0-9]*$"],
        "paramType": "NUMBER",
    },
)
"""Options of Beam that have no place in the environment of a launch, or none that gcloud knows."""


def metadata() -> dict[str, Any]:
    """The content of `metadata.json`."""
    ours = [_parameter(name, field) for _, name, field in option_fields() if name not in LEFT_OUT]
    needed_first = sorted([*ours, *_OF_BEAM], key=lambda one: bool(one.get("isOptional")))
    return {"name": NAME, "description": DESCRIPTION, "parameters": needed_first}


def from_parameters(arguments: Sequence[str]) -> list[str]:
    """Flags for what a launcher passes as `--name=value`; flags stay as they are, and so does what is no option of this project.

    An empty value stands for none. Several patterns stand in one value as in a shell: apart by spaces, in quotes if they hold one.

    Raises:
        ConfigurationError: a switch is neither true nor false, or a quote is open.
    """
    return [part for argument in arguments for part in _flags(argument)]


def _flags(argument: str) -> Iterator[str]:
    flag, assigned, value = argument.partition("=")
    name = flag.removeprefix("--").replace("-", "_")
    field = _FIELDS.get(name)
    if field is None or not assigned or not flag.startswith("--"):
        yield argument
        return
    flag = f"--{name.replace('_', '-')}"
    if not value:
        return
    if field.annotation is bool:
        if value.lower() not in {"true", "false"}:
            message = f"{flag} is a switch, so its parameter is true or false (got {value!r})"
            raise ConfigurationError(message)
        yield from [flag] if value.lower() == "true" else []
    elif _holds_patterns(field):
        try:
            patterns = shlex.split(value)
        except ValueError as error:
            message = f"{flag}: patterns stand apart by spaces, and in quotes if they hold one: {error} (got {value!r})"
            raise ConfigurationError(message) from error
        yield from [flag, *patterns]
    else:
        yield f"{flag}={value}"


def _parameter(name: str, field: FieldInfo) -> dict[str, Any]:
    """One of `parameters`; fields that say nothing are left out."""
    kind, choices = _kind(field)
    help_text = str(field.description)
    if name == "model":
        help_text += f"; default {MODEL_DIRECTORY}, which the image brings"
    if _holds_patterns(field):
        help_text += "; several stand apart by spaces, and in quotes if they hold one"
    optional = (not field.is_required() or name == "model") and name != "collection"
    regexes = _regexes(name, field, kind)
    default = "false" if kind is bool else default_of(field)
    return {
        "name": name,
        "label": name.replace("_", " "),
        "helpText": help_text,
        **({"isOptional": True} if optional else {}),
        **({"regexes": regexes} if regexes else {}),
        "paramType": "ENUM" if choices else _KINDS.get(kind, "TEXT"),
        **({"enumOptions": [{"value": choice, "label": choice} for choice in choices]} if choices else {}),
        **({"defaultValue": default} if default else {}),
    }


def _kind(field: FieldInfo) -> tuple[type, tuple[str, ...]]:
    """The type of a value, and what it may be if it is one of few."""
    if get_origin(field.annotation) is Literal:
        return str, get_args(field.annotation)
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind in _KINDS]
    return (kinds[0] if kinds and "tuple" not in str(field.annotation) else str), ()


def _regexes(name: str, field: FieldInfo, kind: type) -> list[str]:
    if name in _REGEXES:
        return [_REGEXES[name]]
    if name in REFERRED:
        # The service keeps the parameters of a job and shows them: a secret must not get so far.
        return [_REFERENCE]
    if kind is bool:
        return ["^(true|false)$"]
    patterns = [one.pattern for one in field.metadata if getattr(one, "pattern", None)]
    if patterns:
        return patterns
    return [_NUMBERS[kind]] if kind in _NUMBERS else []


def _holds_patterns(field: FieldInfo) -> bool:
    return any(one is _AS_PATTERNS for one in field.metadata)


_FIELDS = {name: field for _, name, field in option_fields()}
_AS_PATTERNS = get_args(Patterns)[1]
