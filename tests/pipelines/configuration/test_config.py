"""The configuration: frozen, closed, checked without looking at the world."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.configuration.config import Config
from pipelines.configuration.sections import Chunking, Encoding, Language, Section, Source, Storage
from transforms.logic.outputs import OUTPUTS

NEEDED: dict[str, dict[str, Any]] = {
    "source": {"input": "a.jsonl"},
    "selection": {},
    "language": {},
    "chunking": {},
    "encoding": {"model": "m"},
    "representation": {},
    "storage": {"workspace": "w", "milvus": "m.db", "collection": "c"},
    "labelling": {},
    "run": {},
}


def test_a_configuration_cannot_be_changed() -> None:
    config = Config.model_validate(NEEDED)
    with pytest.raises(ValidationError, match="frozen"):
        config.chunking.max_tokens = 64  # type: ignore[misc]


@pytest.mark.parametrize("section", NEEDED)
def test_an_unknown_name_is_refused_in_every_section(section: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Config.model_validate({**NEEDED, section: {**NEEDED[section], "surprise": 1}})


def test_a_configuration_survives_its_own_record() -> None:
    config = Config.model_validate({**NEEDED, "language": {"languages": "de,th"}})
    assert Config.model_validate(config.model_dump(mode="json")) == config


def test_names_are_unique_over_all_sections() -> None:
    kinds = [field.annotation for field in Config.model_fields.values()]
    names = [
        name for kind in kinds if isinstance(kind, type) and issubclass(kind, Section) for name in kind.model_fields
    ]
    assert len(names) == len(set(names))


@settings(deadline=None, derandomize=True, max_examples=100)
@given(max_tokens=st.integers(0, 2000), overlap=st.integers(-5, 600))
def test_overlap_is_at_most_a_quarter(max_tokens: int, overlap: int) -> None:
    try:
        Chunking(max_tokens=max_tokens, overlap=overlap)
    except ValidationError:
        assert max_tokens < 32 or overlap < 0 or overlap > max_tokens // 4
    else:
        assert max_tokens >= 32
        assert 0 <= overlap <= max_tokens // 4


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.text("abcdefgh", min_size=1, max_size=3), min_size=1, max_size=5))
def test_names_are_the_same_by_list_or_by_comma(names: list[str]) -> None:
    expected = tuple(names)
    assert Language.model_validate({"languages": names}).languages == expected
    assert Language.model_validate({"languages": " , ".join(names)}).languages == expected


def test_partitions_are_named_or_counted_but_not_both() -> None:
    assert Language.model_validate({"top_languages": 3}).languages is None
    with pytest.raises(ValidationError, match="--languages and --top-languages exclude each other; leave one out"):
        Language.model_validate({"languages": "de", "top_languages": 3})
    with pytest.raises(ValidationError):
        Language.model_validate({"languages": " , "})


def test_patterns_keep_their_commas() -> None:
    assert Source.model_validate({"input": "a,{b,c}.jsonl"}).input == ("a,{b,c}.jsonl",)
    assert Source.model_validate({"input": ["a", "b"]}).input == ("a", "b")
    with pytest.raises(ValidationError):
        Source.model_validate({"input": []})


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("c", True),
        ("_c9", True),
        ("c" * 255, True),
        ("9c", False),
        ("c-d", False),
        ("", False),
        ("ü", False),
        ("c\n", False),
        ("c" * 256, False),
    ],
)
def test_collection_names_are_those_that_milvus_admits(name: str, good: bool) -> None:
    values = {"workspace": "w", "milvus": "m.db", "collection": name}
    if good:
        assert Storage.model_validate(values).collection == name
    else:
        with pytest.raises(ValidationError):
            Storage.model_validate(values)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.sampled_from(OUTPUTS), min_size=1, max_size=6))
def test_outputs_are_a_set_in_one_order(names: list[str]) -> None:
    expected = tuple(output for output in OUTPUTS if output in names)
    assert Encoding.model_validate({"model": "m", "outputs": names}).outputs == expected
    assert Encoding.model_validate({"model": "m", "outputs": " , ".join(names)}).outputs == expected


@pytest.mark.parametrize("names", ["", " , ", "dense,colbert", "Dense", []])
def test_outputs_are_some_of_the_three(names: Any) -> None:
    with pytest.raises(ValidationError):
        Encoding.model_validate({"model": "m", "outputs": names})


@pytest.mark.parametrize(
    ("device", "good"),
    [
        ("auto", True),
        ("cpu", True),
        ("cuda", True),
        ("cuda:0", True),
        ("cuda:15", True),
        ("gpu", False),
        ("cuda:", False),
        ("cuda:-1", False),
        ("cpu:0", False),
        ("", False),
        ("cuda\n", False),
    ],
)
def test_devices_are_those_that_torch_names(device: str, good: bool) -> None:
    if good:
        assert Encoding.model_validate({"model": "m", "device": device}).device == device
    else:
        with pytest.raises(ValidationError):
            Encoding.model_validate({"model": "m", "device": device})
