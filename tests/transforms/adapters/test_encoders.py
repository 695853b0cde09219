"""Which engine a model gets, and when a prompt may be put before a text as ids."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkpoints import EAST, SCRIPTS, WORDS, Architecture, Pieces, build_checkpoint
from transforms.adapters.encoders import can_pack, open_encoder, prompt_is_separable
from transforms.adapters.engines import ListEncoder, PackedEncoder
from transforms.adapters.models import describe_model
from transforms.adapters.tokenizers import ModelTokenizer, open_tokenizer

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
    ("bert", "wordpiece", {}, PackedEncoder),
    ("bert", "unigram", {"pooling": {"pooling_mode": "cls"}, "normalise": False}, PackedEncoder),
    ("xlm-roberta", "unigram", {}, PackedEncoder),
    ("bert", "wordpiece", {"pooling": {"pooling_mode": "max"}}, ListEncoder),
    ("bert", "wordpiece", {"pooling": {"pooling_mode": ["mean", "cls"]}}, ListEncoder),
    ("bert", "wordpiece", {"pooling": {"pooling_mode": "mean", "include_prompt": False}}, ListEncoder),
    ("bert", "wordpiece", {"dense": 8}, ListEncoder),
    ("distilbert", "wordpiece", {}, ListEncoder),
]


@pytest.mark.parametrize(("architecture", "pieces", "options", "engine"), CASES)
def test_the_engine_that_fits_is_opened(
    tmp_path: Path, architecture: Architecture, pieces: Pieces, options: dict[str, object], engine: type
) -> None:
    model = describe_model(str(build_checkpoint(tmp_path / "model", architecture, pieces, **options)))  # type: ignore[arg-type]
    assert can_pack(model) is (engine is PackedEncoder)
    encoder = open_encoder(model, "query: ", "float32")
    assert type(encoder) is engine
    assert encoder.dimensions == model.dimensions


def test_a_prompt_that_joins_the_text_goes_through_the_model_itself(tmp_path: Path) -> None:
    model = describe_model(str(build_checkpoint(tmp_path / "model")))
    assert type(open_encoder(model, "query:", "float32")) is ListEncoder


def test_an_unknown_module_is_never_packed(tmp_path: Path) -> None:
    model = describe_model(str(build_checkpoint(tmp_path / "model")))
    assert can_pack(model)
    assert not can_pack(replace(model, modules=("Transformer", "Pooling", "LayerNorm", "Normalize")))
    assert not can_pack(replace(model, model_type="roberta"))
