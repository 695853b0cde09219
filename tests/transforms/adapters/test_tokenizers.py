"""The model's own tokenizer: its ids, and the frame that its template puts around a text."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from tests.checkpoints import EAST, SCRIPTS, WORDS, build_checkpoint
from transforms.adapters import tokenizers
from transforms.adapters.tokenizers import ModelTokenizer, open_tokenizer

TEXTS = st.lists(
    st.sampled_from(
        [
            *WORDS,
            *EAST,
            *SCRIPTS,
            *" \n\t\u3000\u00a0",
            "\u0301",
            "\u200d",
            "\U0001f9d1\u200d\U0001f680",
            "<s>",
            "[SEP]",
        ]
    ),
    max_size=40,
).map("".join)


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("models") / "wordpiece")


@pytest.fixture(scope="module")
def unigram(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("models") / "unigram", "xlm-roberta", "unigram")


@pytest.fixture(params=["wordpiece", "unigram", "offline_model"])
def directory(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def ids_of(tokenizer: ModelTokenizer, texts: Sequence[str]) -> list[list[int]]:
    return [np.frombuffer(ids, np.int32).tolist() for ids in tokenizer.tokenise(texts)]


def test_ids_are_those_that_the_model_is_fed(directory: Path) -> None:
    texts = [
        "the river runs to the sea.",
        "Der Fluss fließt zum Meer",
        "川は海へ流れる",
        "नदी समुद्र तक 🎉 بحر",
        "  spaced \n out  ",
        "",
    ]
    tokenizer = open_tokenizer(str(directory))
    before, after = tokenizer.frame()
    features = SentenceTransformer(str(directory), device="cpu", local_files_only=True).preprocess(texts)
    fed = [
        ids[mask.bool()].tolist() for ids, mask in zip(features["input_ids"], features["attention_mask"], strict=True)
    ]
    assert [[*before, *ids, *after] for ids in ids_of(tokenizer, texts)] == fed
    assert [tokenizer.ids(text) for text in texts] == ids_of(tokenizer, texts)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_a_batch_changes_no_text_of_it(unigram: Path, wordpiece: Path, texts: list[str]) -> None:
    for directory in (unigram, wordpiece):
        own = Tokenizer.from_file(str(directory / "tokenizer.json"))
        alone = [own.encode(text, add_special_tokens=False).ids for text in texts]
        assert ids_of(open_tokenizer(str(directory)), texts) == alone


def test_remembered_words_are_those_of_the_first_time(wordpiece: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = ModelTokenizer(str(wordpiece))
    words = [*WORDS, "river " * 30, *WORDS]
    first = tokenizer.tokenise(words)
    monkeypatch.setattr(tokenizers, "_CACHED_TEXTS", 3)  # now it forgets before every call
    assert tokenizer.tokenise(words) == tokenizer.tokenise(words[:5]) + tokenizer.tokenise(words[5:]) == first


def test_the_unknown_token_is_told(directory: Path) -> None:
    tokenizer = open_tokenizer(str(directory))
    assert tokenizer.unknown_id in tokenizer.ids("\U00010a60")
    assert tokenizer.unknown_id not in tokenizer.ids("river")


def test_frame_of_bert(wordpiece: Path) -> None:
    own = Tokenizer.from_file(str(wordpiece / "tokenizer.json"))
    assert ModelTokenizer(str(wordpiece)).frame() == ([own.token_to_id("[CLS]")], [own.token_to_id("[SEP]")])


def test_frame_of_xlm_roberta(unigram: Path, offline_model: Path) -> None:
    for directory in (unigram, offline_model):
        own = Tokenizer.from_file(str(directory / "tokenizer.json"))
        assert open_tokenizer(str(directory)).frame() == ([own.token_to_id("<s>")], [own.token_to_id("</s>")])


def test_a_template_without_special_tokens_has_no_frame(wordpiece: Path, tmp_path: Path) -> None:
    values = json.loads((wordpiece / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer.json").write_text(json.dumps({**values, "post_processor": None}))
    assert ModelTokenizer(str(tmp_path)).frame() == ([], [])


def test_text_that_looks_like_special_tokens_is_seen_as_the_model_sees_it(directory: Path) -> None:
    texts = ["<s> river </s>", "[CLS] river [SEP]", "a<mask>b", "river</s>", "<pad><pad>", "[PAD]"]
    own = Tokenizer.from_file(str(directory / "tokenizer.json"))
    ours = open_tokenizer(str(directory))
    assert ids_of(ours, texts) == [own.encode(text, add_special_tokens=False).ids for text in texts]


def test_truncation_and_padding_of_the_file_are_switched_off(wordpiece: Path, tmp_path: Path) -> None:
    own = Tokenizer.from_file(str(wordpiece / "tokenizer.json"))
    own.enable_truncation(4)
    own.enable_padding(length=12)
    own.save(str(tmp_path / "tokenizer.json"))
    lengths = [len(ids) for ids in ids_of(ModelTokenizer(str(tmp_path)), ["river " * 20, "river"])]
    assert lengths == [20, 1]


def test_a_model_that_lower_cases_gets_the_ids_of_lower_case(wordpiece: Path, tmp_path: Path) -> None:
    directory = build_checkpoint(tmp_path / "lower")
    (directory / "sentence_bert_config.json").write_text(json.dumps({"do_lower_case": True}))
    text = "The RIVER runs to the Sea: Fluss"
    (lower,) = ids_of(open_tokenizer(str(directory)), [text])
    assert lower == ModelTokenizer(str(wordpiece)).ids(text.lower())
    assert lower != ModelTokenizer(str(wordpiece)).ids(text)
    features = SentenceTransformer(str(directory), device="cpu", local_files_only=True).preprocess([text])
    assert features["input_ids"][0].tolist()[1:-1] == lower


def test_lone_surrogates_are_refused(wordpiece: Path) -> None:
    with pytest.raises(TypeError):
        ModelTokenizer(str(wordpiece)).tokenise(["river \ud800"])


@pytest.mark.parametrize(
    ("pre_tokenizer", "splits"),
    [
        (None, False),
        ({"type": "BertPreTokenizer"}, True),
        ({"type": "WhitespaceSplit"}, True),
        ({"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}, False),
        ({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}, False),
        (
            {
                "type": "Sequence",
                "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Digits", "individual_digits": True}],
            },
            True,
        ),
        (
            {
                "type": "Sequence",
                "pretokenizers": [{"type": "Digits", "individual_digits": True}, {"type": "WhitespaceSplit"}],
            },
            False,
        ),
        ({"type": "Sequence", "pretokenizers": []}, False),
    ],
)
def test_splitting_at_white_space_is_told_by_the_first_step(
    wordpiece: Path, tmp_path: Path, pre_tokenizer: object, splits: bool
) -> None:
    values = json.loads((wordpiece / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer.json").write_text(json.dumps({**values, "pre_tokenizer": pre_tokenizer}))
    assert ModelTokenizer(str(tmp_path)).splits_at_whitespace is splits


def test_white_space_splits_only_where_what_stands_around_it_is_independent(tmp_path: Path, unigram: Path) -> None:
    """Metaspace can mark the first word of a text only; then a word's ids depend on what stands before it."""
    values = json.loads((unigram / "tokenizer.json").read_bytes())
    values["pre_tokenizer"]["pretokenizers"][1]["prepend_scheme"] = "first"
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    tokenizer = ModelTokenizer(str(tmp_path))
    assert tokenizer.ids("river sea") != [*tokenizer.ids("river"), *tokenizer.ids("sea")]
    assert not tokenizer.splits_at_whitespace


def test_a_tokenizer_is_read_once(wordpiece: Path) -> None:
    assert open_tokenizer(str(wordpiece)) is open_tokenizer(str(wordpiece))
