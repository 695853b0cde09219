"""What is said of an option is what its definition says."""

from typing import Literal, get_args, get_origin

import pytest

from pipelines.configuration.config import Config
from pipelines.configuration.definitions import Option, definitions, option_fields, section_titles


def test_every_option_is_there_in_order() -> None:
    assert [(one.section, one.name) for one in definitions().values()] == [
        (section, name) for section, name, _ in option_fields()
    ]
    assert list(section_titles()) == list(Config.model_fields)
    assert all(title.endswith(".") for title in section_titles().values())


@pytest.mark.parametrize("option", definitions().values(), ids=lambda option: option.name)
def test_kind_and_choices_are_those_of_the_annotation(option: Option) -> None:
    annotation = option.field.annotation
    kinds = {annotation, *(() if get_origin(annotation) is Literal else get_args(annotation))}
    assert option.is_list == ("tuple" in str(annotation))
    assert option.is_switch == (annotation is bool)
    assert (option.kind == "integer") == (int in kinds)
    assert (option.kind == "number") == (float in kinds)
    if get_origin(option.field.annotation) is Literal:
        assert option.choices == get_args(option.field.annotation)
    elif not option.is_list:
        assert option.choices == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("max_tokens", ("--max-tokens", "integer", "32 or more", "tokens", "N", "256")),
        ("writers", ("--writers", "integer", "1 to 64", "", "N", "4")),
        ("sample", ("--sample", "number", "above 0, at most 1", "", "X", "1")),
        ("import_patience_seconds", ("--import-patience-seconds", "number", "above 0", "seconds", "X", "3600")),
        (
            "import_file_bytes",
            ("--import-file-bytes", "integer", "1,048,576 to 8,589,934,592", "bytes", "N", "536870912"),
        ),
        ("limit", ("--limit", "integer", "1 or more", "", "N", "")),
        ("outputs", ("--outputs", "text", "", "", "{dense,sparse,multi}", "dense")),
        ("vector_type", ("--vector-type", "text", "", "", "TYPE", "float32")),
        ("milvus_token", ("--milvus-token", "text", "", "", "REFERENCE", "")),
        ("mirror", ("--mirror", "switch", "", "", "X", "")),
    ],
)
def test_what_is_said_of_an_option(name: str, said: tuple[str, ...]) -> None:
    one = definitions()[name]
    assert (one.flag, one.kind, one.range, one.unit, one.metavar, one.default) == said
