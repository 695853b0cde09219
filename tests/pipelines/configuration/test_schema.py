"""The JSON Schema takes what the configuration takes, as far as a schema can say; the template is a configuration of defaults."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from pydantic import ValidationError

from pipelines.configuration import options
from pipelines.configuration.definitions import Option, definitions
from pipelines.configuration.schema import schema, template, values_of
from transforms.logic.errors import ConfigurationError

NEEDED: dict[str, Any] = {"input": "a.jsonl", "workspace": "w", "milvus": "m.db", "collection": "c", "model": "m"}
SCHEMA = Draft7Validator(schema())
OPTIONS = list(definitions().values())


def _is_taken(option: Option, value: Any) -> bool:
    """Whether the configuration takes the value, rules between options left aside."""
    try:
        options.to_config({**NEEDED, option.name: value})
    except ConfigurationError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        return all(len(one["loc"]) < 2 for one in error.__cause__.errors())
    return True


def _is_plain(option: Option, value: Any) -> bool:
    """Whether the value is of the type that a file should have; the configuration also takes `"5"` for 5, and commas within items."""
    if option.is_switch:
        return isinstance(value, bool)
    if option.kind in {"integer", "number"}:
        return type(value) in ({int} if option.kind == "integer" else {int, float})
    if isinstance(value, list):
        return option.is_list and all(isinstance(one, str) and not re.search(r"[\s,]", one) for one in value)
    return isinstance(value, str)


def _values(option: Option) -> st.SearchStrategy[Any]:
    # A pattern's last character is the text's last here; `$` of Python's expressions also goes before a line break.
    text = st.text(max_size=6).filter(lambda one: not one.endswith("\n"))
    near = [st.sampled_from(option.choices)] if option.choices else []
    if option.pattern:
        near.append(
            st.from_regex(option.pattern, alphabet=st.characters(codec="ascii")).filter(lambda one: "\n" not in one)
        )
    words = st.one_of(text, *near)
    numbers = st.integers(-2, 5) | st.integers(0, 1 << 41) | st.floats(-1, 1e7) | st.just(float("inf"))
    # What looks like a user in an address is refused before anything else.
    return st.one_of(words, numbers, st.booleans(), st.lists(words, max_size=3)).filter(
        lambda one: "://" not in str(one)
    )


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(schema())


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.data())
def test_schema_and_configuration_take_the_same(data: st.DataObject) -> None:
    option = data.draw(st.sampled_from(OPTIONS))
    value = data.draw(_values(option))
    is_valid = SCHEMA.is_valid({**NEEDED, option.name: value})
    is_taken = _is_taken(option, value)
    if is_valid:
        assert is_taken
    if is_taken and _is_plain(option, value):
        assert is_valid


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_defaults_and_ends_of_ranges_are_told_apart(option: Option) -> None:
    one = option.schema
    good = [one[name] for name in ("minimum", "maximum") if name in one] + list(option.choices)
    bad = [one[name] + step for name, step in (("minimum", -1), ("maximum", 1), ("exclusiveMinimum", 0)) if name in one]
    bad += [f"{choice}x" for choice in option.choices]
    default = schema()["properties"][option.name].get("default")
    for value in [*good, *([] if default is None else [default])]:
        assert SCHEMA.is_valid({**NEEDED, option.name: value})
        assert _is_taken(option, value)
    for value in bad:
        assert not SCHEMA.is_valid({**NEEDED, option.name: value})
        assert not _is_taken(option, value)


@pytest.mark.parametrize("name", sorted(NEEDED.keys() - {"collection"}))
def test_what_is_required_is_required_by_both(name: str) -> None:
    values = {one: value for one, value in NEEDED.items() if one != name}
    assert not SCHEMA.is_valid(values)
    with pytest.raises(ConfigurationError, match=f"--{name} is required"):
        options.to_config(values)


def test_an_unknown_name_is_none_of_the_schema() -> None:
    assert not SCHEMA.is_valid({**NEEDED, "max_token": 3})


@given(st.sampled_from(["milvus_token", "milvus_ca"]), st.text(max_size=20))
@example("milvus_token", "root:Milvus")
@settings(deadline=None, derandomize=True)
def test_a_literal_secret_is_no_value_of_the_schema(name: str, literal: str) -> None:
    assert not SCHEMA.is_valid({**NEEDED, name: literal})
    assert SCHEMA.is_valid({**NEEDED, name: "env:MILVUS_TOKEN"})


def _named(text: str) -> Mapping[str, Any]:
    """Values by name, of lines that are commented out too."""
    return tomllib.loads(re.sub(r"^# (\w+ = .+)$", r"\1", text, flags=re.MULTILINE))


def test_the_template_has_every_option_and_its_defaults_are_the_defaults() -> None:
    text = template()
    given_ = tomllib.loads(text)
    assert set(given_) == set(NEEDED)
    assert SCHEMA.is_valid(given_)
    every = _named(text)
    assert re.findall(r"^(?:# )?(\w+) =", text, re.MULTILINE) == list(definitions())
    without_default = {name for name, option in definitions().items() if option.field.default is None}
    assert set(every) == set(definitions()) - without_default
    assert options.to_config(every) == options.to_config(given_)


def test_the_template_says_what_each_option_takes() -> None:
    said = " ".join(line.removeprefix("# ") for line in template().splitlines() if line.startswith("# "))
    for option in OPTIONS:
        assert option.description in said
        assert values_of(option) in said
