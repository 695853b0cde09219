"""What a collection records about itself."""

from dataclasses import replace
from typing import Any

import pytest

from tests.transforms.adapters.milvus.four import SPACE
from transforms.adapters.milvus import CollectionSpace
from transforms.logic.errors import ConfigurationError
from transforms.logic.representations import Recorded


@pytest.mark.parametrize(
    "text",
    [
        "",
        "words",
        "[]",
        "3",
        "null",
        "{}",
        '{"format": 2}',
        '{"format": 3}',
        '{"format": 2, "model": "a"}',
        '{"format": 4}',
        '{"format": 5}',
        '"text"',
    ],
)
def test_a_description_of_somebody_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        CollectionSpace.from_json(text)


@pytest.mark.parametrize("languages", [None, (), ("de", "th")])
def test_a_space_reads_back_as_written(languages: tuple[str, ...] | None) -> None:
    space = replace(SPACE, languages=languages)
    assert CollectionSpace.from_json(space.to_json()) == space


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (1, "written in format 1, this version reads 4; choose another --collection"),
        (5, "written in format 5, this version reads 4; use a newer corpus-embed"),
    ],
)
def test_a_space_of_another_version_is_refused_with_what_to_do(version: int, said: str) -> None:
    text = SPACE.to_json().replace('"format": 4', f'"format": {version}')
    with pytest.raises(ConfigurationError, match=said):
        CollectionSpace.from_json(text)


FULL = replace(
    SPACE,
    languages=("de", "th"),
    outputs=("dense", "sparse", "multi"),
    milvus_outputs=("dense", "sparse"),
    vector_type="binary",
    dimensions=8,
    calibration="c" * 64,
    calibration_uri="gs://bucket/c.json",
    projection="d" * 64,
    projection_uri="gs://bucket/d.safetensors",
    labels=("a", "b"),
    labels_digest="f" * 32,
    max_tokens=256,
    min_tokens=8,
    overlap=16,
    structure="auto",
)


def test_every_part_of_a_space_reads_back() -> None:
    assert CollectionSpace.from_json(FULL.to_json()) == FULL


def test_the_format_before_outputs_reads_as_dense_float32() -> None:
    text = (
        '{"dimensions": 4, "document_prompt": "passage: ", "dtype": "bfloat16", "embedding_space": "' + "e" * 32 + '", '
        '"format": 2, "languages": ["de"], "model": "some/model", "partition_by": "language", '
        '"query_prompt": "query: \\"\\u00e4\\" ", "revision": "' + "a" * 40 + '", "vector_type": "float32"}'
    )
    read = CollectionSpace.from_json(text)
    assert read == replace(SPACE, languages=("de",))
    assert (read.outputs, read.milvus_outputs, read.labels) == (("dense",), ("dense",), ())


def test_the_representation_of_a_space() -> None:
    assert FULL.recorded == Recorded("binary", 8, "c" * 64, "gs://bucket/c.json", "d" * 64, "gs://bucket/d.safetensors")
    assert replace(SPACE, dimensions=None, vector_type=None, milvus_outputs=("sparse",)).recorded is None
    assert FULL.field_kinds == {"dense": "binary", "sparse": "sparse"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"embedding_space": "x"}, "embedding_space: 'x' in the collection"),
        ({"outputs": ("dense",)}, "outputs: dense in the collection, dense,sparse,multi in this run"),
        ({"milvus_outputs": ("dense",)}, "milvus_outputs: dense in the collection, dense,sparse in this run"),
        ({"dimensions": 16}, "dimensions: 16 in the collection, 8 in this run"),
        ({"multi_dimensions": 16}, "multi_dimensions: 16 in the collection, None in this run"),
        ({"vector_type": "int8"}, "vector_type: 'int8' in the collection, 'binary' in this run"),
        ({"calibration": None}, f"calibration: None in the collection, '{'c' * 64}' in this run"),
        ({"projection": None}, f"projection: None in the collection, '{'d' * 64}' in this run"),
        ({"partition_by": "none"}, "partition_by: 'none' in the collection, 'language' in this run"),
        ({"languages": None}, "languages: None in the collection, de,th in this run"),
        ({"labels": ()}, "labels: none in the collection, a,b in this run"),
        ({"labels_digest": "0"}, "labels_digest: '0' in the collection"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_space_is_refused_with_the_difference(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        replace(FULL, **change).check_same(FULL, "corpus")
    message = str(caught.value)
    assert "collection 'corpus' holds vectors of another space" in message
    assert said in message
    assert len(message.splitlines()) == 2


CUT_IN_ANOTHER_WAY: dict[str, Any] = {"max_tokens": 128, "min_tokens": 0, "overlap": 0, "structure": "plain"}


def test_another_way_of_cutting_is_refused_field_by_field_unless_it_is_wanted() -> None:
    other = replace(FULL, **CUT_IN_ANOTHER_WAY)
    with pytest.raises(ConfigurationError) as caught:
        other.check_same(FULL, "corpus")
    first, *lines = str(caught.value).splitlines()
    assert "collection 'corpus' holds documents that were cut in another way" in first
    assert "--new-space" in first
    assert lines == [
        "  max_tokens: 128 in the collection, 256 in this run",
        "  min_tokens: 0 in the collection, 8 in this run",
        "  overlap: 0 in the collection, 16 in this run",
        "  structure: 'plain' in the collection, 'auto' in this run",
    ]
    other.check_same(FULL, "corpus", may_cut_anew=True)
    assert other.cut_as(FULL) == FULL


def test_vectors_of_another_space_are_refused_however_documents_may_be_cut() -> None:
    other = replace(FULL, **CUT_IN_ANOTHER_WAY, embedding_space="x")
    with pytest.raises(ConfigurationError, match="holds vectors of another space") as caught:
        other.check_same(FULL, "corpus", may_cut_anew=True)
    assert "--new-space" not in str(caught.value)
    assert "  max_tokens: 128 in the collection, 256 in this run" in str(caught.value)


def test_a_collection_that_does_not_say_how_its_documents_were_cut_is_taken_as_it_is() -> None:
    unknown: dict[str, Any] = dict.fromkeys(CUT_IN_ANOTHER_WAY)
    replace(FULL, **unknown).check_same(FULL, "corpus")


def test_what_does_not_decide_a_vector_may_differ() -> None:
    moved = replace(FULL, model="elsewhere", query_prompt="", calibration_uri="moved", projection_uri="moved")
    moved.check_same(FULL, "corpus")


def test_a_model_is_shown_where_another_space_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"model: 'elsewhere' in the collection, 'some/model' in this run"):
        replace(FULL, model="elsewhere", embedding_space="x").check_same(FULL, "corpus")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"embedding_space": "x"}, "embedding_space: 'x' in the collection, '" + "e" * 32 + "' of model 'm'"),
        ({"outputs": ("dense",)}, "outputs: dense in the collection, dense,sparse,multi of model 'm'"),
        ({"multi_dimensions": 16}, "multi_dimensions: 16 in the collection, None of model 'm'"),
        ({"query_prompt": "q"}, "query_prompt: 'q' in the collection, "),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_queries_of_another_space_are_refused_with_the_difference(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        replace(FULL, **change).check_asked(FULL, "corpus", "model 'm'", "do better")
    first, line = str(caught.value).splitlines()
    assert first == "model 'm' is of another space than collection 'corpus'; do better:"
    assert line.startswith(f"  {said}")


def test_queries_take_the_way_of_a_representation() -> None:
    replace(FULL, vector_type="int8", dimensions=4, calibration=None, projection=None, labels=()).check_asked(
        FULL, "corpus", "model 'm'", ""
    )
