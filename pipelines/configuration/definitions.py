"""The options of the main job as they are defined: type, range, choices, default. Help, reference, schema and errors are made of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import getdoc
from types import MappingProxyType
from typing import Any, get_args

from pydantic.fields import FieldInfo

from pipelines.configuration.config import Config
from pipelines.configuration.sections import Patterns, Section

_UNITS = ("bytes", "seconds", "tokens", "dimensions")
_KINDS = MappingProxyType({"boolean": "switch", "integer": "integer", "number": "number", "string": "text"})
_METAVARS = MappingProxyType(
    {
        **dict.fromkeys(("calibration", "labels", "projection"), "FILE"),
        **dict.fromkeys(("date_from", "date_to"), "DATE"),
        **dict.fromkeys(("exclude", "input"), "PATTERN"),
        **dict.fromkeys(("import_storage", "workspace"), "URI"),
        "collection": "NAME",
        "milvus": "ADDRESS",
        "publish": "ALIAS",
        "push_metrics": "URL",
    }
)
_SHORT_CHOICES = 30


def option_fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """(section, field, definition) of every option, in order of declaration."""
    for section_name, kind in _sections():
        for name, field in kind.model_fields.items():
            yield section_name, name, field


def default_of(field: FieldInfo) -> str:
    """The default of an option as a user would write it; empty for one that has none, and for a switch."""
    if field.is_required() or field.default is None or field.annotation is bool:
        return ""
    return ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        section: the part of the configuration that holds it.
        name: as in a TOML file; the flag has hyphens for its underscores.
        field: its definition.
        schema: the JSON Schema (draft 7) of its value in a TOML file, without description and default.
    """

    section: str
    name: str
    field: FieldInfo
    schema: Mapping[str, Any]

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def description(self) -> str:
        return str(self.field.description)

    @property
    def is_required(self) -> bool:
        return self.field.is_required()

    @property
    def is_switch(self) -> bool:
        return self.schema.get("type") == "boolean"

    @property
    def is_list(self) -> bool:
        return "anyOf" in self.schema

    @property
    def default(self) -> str:
        """As a user would write it; empty for none, and for a switch."""
        return default_of(self.field)

    @property
    def choices(self) -> tuple[str, ...]:
        """What the value, or each of a list, may be; empty where that is open."""
        return tuple(self._one.get("enum", ()))

    @property
    def unit(self) -> str:
        """The unit that the name says; empty for none."""
        last = self.name.rsplit("_", 1)[-1]
        return last if last in _UNITS and self._one["type"] in {"integer", "number"} else ""

    @property
    def range(self) -> str:
        """Between what a number lies, in words; empty for what is no number."""
        one = self._one
        least, above = one.get("minimum"), one.get("exclusiveMinimum")
        most = one.get("maximum")
        if least is not None:
            return f"{least:,} to {most:,}" if most is not None else f"{least:,} or more"
        if above is not None:
            return f"above {above:,}" + (f", at most {most:,}" if most is not None else "")
        return ""

    @property
    def kind(self) -> str:
        """switch, integer, number or text."""
        return _KINDS[self._one["type"]]

    @property
    def pattern(self) -> str:
        """What a text must match; empty where it is open."""
        return str(self._one.get("pattern", ""))

    @property
    def metavar(self) -> str:
        """What stands for the value in a help text."""
        listed = f"{{{','.join(self.choices)}}}"
        if self.choices and len(listed) <= _SHORT_CHOICES:
            return listed
        if self.kind != "text":
            return "N" if self.kind == "integer" else "X"
        if self.section == "access":
            return "REFERENCE"
        return _METAVARS.get(self.name, self.name.rsplit("_", 1)[-1].upper())

    @property
    def _one(self) -> Mapping[str, Any]:
        """The schema of the value, or of one of a list."""
        return self.schema["anyOf"][0]["items"] if self.is_list else self.schema


@cache
def definitions() -> Mapping[str, Option]:
    """Every option by its name, in order of declaration."""
    schemas = {name: kind.model_json_schema(mode="validation")["properties"] for name, kind in _sections()}
    return MappingProxyType(
        {
            name: Option(section, name, field, _in_toml(schemas[section][name], field))
            for section, name, field in option_fields()
        }
    )


@cache
def section_titles() -> Mapping[str, str]:
    """What each section is about, in a sentence, in order of declaration."""
    return MappingProxyType({name: str(getdoc(kind)).split("\n", 1)[0] for name, kind in _sections()})


def _sections() -> Iterator[tuple[str, type[Section]]]:
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield name, field.annotation


def _in_toml(schema: Mapping[str, Any], field: FieldInfo) -> dict[str, Any]:
    """Pydantic's schema of a field as that of a value in a TOML file, which has no null; a list may be one text, with commas perhaps."""
    (plain,) = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    kept = {name: value for name, value in plain.items() if name not in {"default", "description", "title"}}
    if kept["type"] != "array":
        return kept
    # Of a union with null, pydantic calls the least number of items a length.
    least = kept.pop("minItems", kept.pop("minLength", 0))
    text = {} if _AS_PATTERNS in field.metadata else _text_of_items(kept["items"], least)
    some = {"minItems": least} if least else {}
    if text and "enum" not in kept["items"]:
        # Items are parted at commas too, and empty parts do not count.
        some = {"contains": text}
    return {"anyOf": [{**kept, **some}, {"type": "string", **text}]}


def _text_of_items(items: Mapping[str, Any], least: int) -> dict[str, str]:
    if "enum" in items:
        one = f"({'|'.join(items['enum'])})"
        return {"pattern": rf"^[\s,]*{one}(\s*,[\s,]*{one})*[\s,]*$"}
    return {"pattern": r"[^\s,]"} if least else {}


_AS_PATTERNS = get_args(Patterns)[1]
