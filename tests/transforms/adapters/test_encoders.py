"""Which engine a model gets, and when a prompt may be put before a text as ids."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkpoints import (
    EAST,
    SCRIPTS,
    WORDS,
    Architecture,
    Pieces,
    build_checkpoint,
    build_late_interaction,
    build_plain_checkpoint,
    build_splade,
    build_static,
)
from transforms.adapters.encoders import Computation, Engine, TokenIds, can_pack, open_engine, prompt_is_separable
from transforms.adapters.engines.lists import ListEngine
from transforms.adapters.engines.packed import PackedEngine
from transforms.adapters.models import describe_model
from transforms.adapters.tokenizers import ModelTokenizer, open_tokenizer
from transforms.logic.errors import ConfigurationError

FLOAT32 = Computation("float32", "cpu")

PROMPTS = ["query: ", "passage: ", "query:\n", "Instruct: find the river\nquery: ", " "]
TEXTS = st.lists(
    st.sampled_from([*WORDS, *EAST, *SCRIPTS, *" \n\t\u3000", "\u0301", "\u093e", "\u200d", "<s>", "<mask>", "[SEP]"]),
    max_size=12,
).map("".join)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> list[ModelTokenizer]:
    root = tmp_path_factory.mktemp("models")
    wordpiece = build_checkpoint(root / "wordpiece")
    unigram = build_checkpoint(root / "unigram", pieces="unigram")
    values = json.loads((unigram / "tokenizer.json").read_bytes())
    changed = {"whole": dict(values["pre_tokenizer"]["pretokenizers"][1]), "first": values["pre_tokenizer"]}
    opened = [ModelTokenizer(str(wordpiece)), ModelTokenizer(str(unigram))]
    for name, pre_tokenizer in changed.items():
        if name == "first":
            pre_tokenizer["pretokenizers"][1]["prepend_scheme"] = "first"
        (root / name).mkdir()
        (root / name / "tokenizer.json").write_text(json.dumps({**values, "pre_tokenizer": pre_tokenizer}))
        opened.append(ModelTokenizer(str(root / name)))
    return opened


@settings(deadline=None, derandomize=True, max_examples=200)
@given(text=TEXTS, prompt=st.one_of(st.sampled_from(PROMPTS), TEXTS))
def test_a_separable_prompt_never_changes_the_ids_of_a_text(
    tokenizers: list[ModelTokenizer], text: str, prompt: str
) -> None:
    for tokenizer in tokenizers:
        if prompt_is_separable(tokenizer, prompt):
            assert tokenizer.ids(prompt + text) == [*tokenizer.ids(prompt), *tokenizer.ids(text)]


def test_a_separable_prompt_never_changes_the_ids_of_the_real_model(offline_model: Path) -> None:
    tokenizer = open_tokenizer(str(offline_model))
    texts = [
        *WORDS,
        *EAST,
        "  two",
        "\u0301mark",
        "\u093eaa",
        "\u200d🚀",
        "<mask> a",
        "</s>",
        "",
        "\ufb01nal",
        "\u2460",
    ]
    for prompt in PROMPTS:
        assert prompt_is_separable(tokenizer, prompt)
        assert [tokenizer.ids(prompt + text) for text in texts] == [
            [*tokenizer.ids(prompt), *tokenizer.ids(text)] for text in texts
        ]


def test_which_prompts_are_separable(tokenizers: list[ModelTokenizer]) -> None:
    wordpiece, unigram, whole, first = tokenizers
    for tokenizer in (wordpiece, unigram):
        assert [prompt_is_separable(tokenizer, prompt) for prompt in ("", "query: ", "query:\n", "query:", "q")] == [
            True,
            True,
            True,
            False,
            False,
        ]
    for tokenizer in (whole, first):
        assert prompt_is_separable(tokenizer, "")
        assert not prompt_is_separable(tokenizer, "query: ")
    assert unigram.ids("query:river") != [*unigram.ids("query:"), *unigram.ids("river")]


CASES: list[tuple[Architecture, Pieces, dict[str, object], type]] = [
    ("bert", "wordpiece", {}, PackedEngine),
    ("bert", "unigram", {"pooling": {"pooling_mode": "cls"}, "normalise": False}, PackedEngine),
    ("xlm-roberta", "unigram", {}, PackedEngine),
    ("bert", "wordpiece", {"pooling": {"pooling_mode": "max"}}, ListEngine),
    ("bert", "wordpiece", {"pooling": {"pooling_mode": ["mean", "cls"]}}, ListEngine),
    ("bert", "wordpiece", {"pooling": {"pooling_mode": "mean", "include_prompt": False}}, ListEngine),
    ("bert", "wordpiece", {"dense": 8}, ListEngine),
    ("distilbert", "wordpiece", {}, ListEngine),
    ("mpnet", "unigram", {}, ListEngine),
    ("qwen3", "bytes", {"pooling": {"pooling_mode": "lasttoken"}}, ListEngine),
]


@pytest.mark.parametrize(("architecture", "pieces", "options", "engine"), CASES)
def test_the_engine_that_fits_is_opened(
    tmp_path: Path, architecture: Architecture, pieces: Pieces, options: dict[str, object], engine: type
) -> None:
    model = describe_model(str(build_checkpoint(tmp_path / "model", architecture, pieces, **options)))  # type: ignore[arg-type]
    assert can_pack(model) is (engine is PackedEngine)
    opened = open_engine(model, "query: ", FLOAT32)
    assert type(opened) is engine
    before, after = open_tokenizer(model.directory).frame()
    prompt = open_tokenizer(model.directory).ids("query: ")
    assert opened.frame_tokens == len(before) + len(prompt) + len(after)
    assert opened.by_length is (engine is ListEngine)


@pytest.mark.parametrize("build", [build_splade, build_late_interaction, build_static, build_plain_checkpoint])
def test_models_of_other_kinds_are_read_by_the_library(tmp_path: Path, build: Callable[[Path], Path]) -> None:
    model = describe_model(str(build(tmp_path / "model")))
    packed = build is build_plain_checkpoint
    assert can_pack(model) is packed
    opened = open_engine(model, "", Computation("float32", "cpu", model.outputs))
    assert type(opened) is (PackedEngine if packed else ListEngine)


def test_a_prompt_that_joins_the_text_goes_through_the_model_itself(tmp_path: Path) -> None:
    model = describe_model(str(build_checkpoint(tmp_path / "model")))
    assert type(open_engine(model, "query:", FLOAT32)) is ListEngine


def test_an_unknown_module_is_never_packed(tmp_path: Path) -> None:
    model = describe_model(str(build_checkpoint(tmp_path / "model")))
    assert can_pack(model)
    assert not can_pack(replace(model, modules=("Transformer", "Pooling", "LayerNorm", "Normalize")))
    assert not can_pack(replace(model, model_type="roberta"))
    assert not can_pack(replace(model, kind="SparseEncoder"))


def test_the_packed_engine_reads_ids_and_the_other_reads_texts(tmp_path: Path) -> None:
    model = describe_model(str(build_checkpoint(tmp_path / "model")))
    packed, listed = open_engine(model, "", FLOAT32), open_engine(model, "query:", FLOAT32)
    river, sea = (np.array(open_tokenizer(model.directory).ids(text), np.int32) for text in ("the river", "the sea"))

    def vector(engine: Engine, text: str, ids: TokenIds) -> list[float]:
        dense = engine.submit([text], [ids])().dense
        assert dense is not None
        return [float(number) for number in dense[0]]

    assert vector(packed, "the river", river) == vector(packed, "the sea", river) != vector(packed, "the sea", sea)
    assert vector(listed, "the river", river) == vector(listed, "the river", sea) != vector(listed, "the sea", sea)


def test_an_output_that_the_model_lacks_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    directory = build_checkpoint(tmp_path / "model")
    model = describe_model(str(directory))
    (directory / "model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match=r"makes no sparse output; choose among dense"):
        open_engine(model, "", Computation("float32", "cpu", ("dense", "sparse")))
