"""The JSON Schema of a configuration file, and a template of one, both made from the definitions of the options."""

import json
from typing import Any

from pipelines.configuration.definitions import Option, definitions, section_titles

_WIDTH = 100
_PLACEHOLDERS = {
    "input": ["corpus/**/*.jsonl.gz"],
    "model": "path/to/multilingual-e5-small",
    "workspace": "workspace",
    "milvus": "milvus.db",
    "collection": "corpus",
}
"""What a template has where a value must be given."""


def schema() -> dict[str, Any]:
    """JSON Schema (draft 7, which editors know) of a TOML file that is enough alone, read as JSON; a date of TOML is its text.

    It says of each option alone what `corpus-embed config check` accepts; that also knows rules between options.
    """
    options = definitions().values()
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of corpus-embed run",
        "description": "Rules between options are checked by corpus-embed config check.",
        "type": "object",
        "properties": {option.name: _property(option) for option in options},
        "required": [option.name for option in options if option.is_required],
        "additionalProperties": False,
    }


def _property(option: Option) -> dict[str, Any]:
    default = option.field.default
    has_default = not option.is_required and default not in {None, ""}
    value = list(default) if isinstance(default, tuple) else default
    return {
        "description": option.description,
        **option.schema,
        **({"default": value} if has_default else {}),
    }


def template() -> str:
    """A TOML file with every option and what it means; those with a default are commented out, and the others have a value to change."""
    lines = [
        "# Configuration of corpus-embed run: change what stands without a hash, then",
        "#   corpus-embed config check FILE.toml",
        "#   corpus-embed run --config FILE.toml",
        "# Lines with a hash hold defaults. Flags win over this file.",
    ]
    for section, title in section_titles().items():
        lines += ["", f"# --- {section}: {title}"]
        for option in definitions().values():
            if option.section == section:
                lines += ["", *_entry(option)]
    return "\n".join(lines) + "\n"


def _entry(option: Option) -> list[str]:
    remark = values_of(option)
    said = wrapped(f"{option.description} ({remark})" if remark else option.description)
    if option.name in _PLACEHOLDERS:
        return [*said, f"{option.name} = {toml_value(_PLACEHOLDERS[option.name])}"]
    default = option.field.default
    return [*said, f"# {option.name} =" + ("" if default is None else f" {toml_value(default)}")]


def wrapped(text: str) -> list[str]:
    """Lines of comments."""
    lines, line = [], "#"
    for word in text.split():
        if len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = "#"
        line += f" {word}"
    return [*lines, line]


def toml_value(value: Any) -> str:
    """A text, number, switch or list of texts as TOML; of JSON's escapes TOML knows all."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def values_of(option: Option) -> str:
    """What values an option takes, in words: `integer, 1 to 64`."""
    if option.is_switch:
        return "true or false"
    if option.choices:
        choices = ", ".join(option.choices)
        return f"some of {choices}" if option.is_list else f"one of {choices}"
    kind = "list of text" if option.is_list else option.kind
    of_unit = f" ({option.unit})" if option.unit else ""
    return ", ".join(part for part in (kind + of_unit, option.range) if part)
