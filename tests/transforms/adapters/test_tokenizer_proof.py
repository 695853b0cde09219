"""A faster tokenizer serves only where it is proven, and then with the ids of the model's own."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkpoints import build_checkpoint
from transforms.adapters.formats import plan_splits, read_split
from transforms.adapters.storage import list_matching
from transforms.adapters.tokenizer_proof import FastTokenizer, Proven, fingerprint, known_proof, prove
from transforms.adapters.tokenizers import ModelTokenizer
from transforms.logic.errors import CorruptDataError
from transforms.logic.records import Reading


@pytest.fixture(scope="module")
def proven(offline_model: Path) -> Proven:
    proof = prove(str(offline_model))
    assert proof is not None
    return proof


@pytest.fixture(scope="module")
def fast(offline_model: Path, proven: Proven) -> ModelTokenizer:
    return ModelTokenizer(str(offline_model), proven)


@pytest.fixture(scope="module")
def own(offline_model: Path) -> ModelTokenizer:
    return ModelTokenizer(str(offline_model))


@pytest.fixture(scope="module")
def texts(sample_corpus: Path) -> list[str]:
    splits = plan_splits(list_matching([f"{sample_corpus}/*.jsonl*"]))
    pages = (page for split in splits for page in read_split(split, Reading()))
    return [document["text"] for page in pages for document in page.documents]


def every_character() -> Iterator[str]:
    return (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("context", ["X", "aXb XX क्X"], ids=["alone", "in context"])
def test_every_code_point_has_the_ids_of_the_models_own_tokenizer(
    context: str, fast: ModelTokenizer, own: ModelTokenizer
) -> None:
    texts = [context.replace("X", character) for character in every_character()]

    assert fast.tokenise(texts) == own.tokenise(texts)


def test_most_of_unicode_is_proven(proven: Proven) -> None:
    assert sum(last - first + 1 for first, last in proven) > 140_000


def test_the_sample_corpus_has_the_same_ids_in_whole_and_word_by_word(
    texts: list[str], fast: ModelTokenizer, own: ModelTokenizer
) -> None:
    words = [word for text in texts for word in text.split()]

    assert len({*words}) > 5_000
    assert fast.tokenise(texts) == own.tokenise(texts)
    assert fast.tokenise(words) == own.tokenise(words)


PIECES = st.one_of(
    st.sampled_from(
        ["<s>", "</s>", "<mask>", "<unk>", "\u200d", "\u200b", "\ufdfa", "½", "▁", "\ue000", "\U0002fa3f", " ", "ﬁ"]
    ),
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from("aeоλकกমあ字한ا"),
)


@settings(deadline=None, derandomize=True, max_examples=400)
@given(texts=st.lists(st.lists(PIECES, max_size=12).map("".join), max_size=20))
def test_any_texts_have_the_same_ids_in_any_company(
    texts: list[str], fast: ModelTokenizer, own: ModelTokenizer
) -> None:
    assert fast.tokenise(texts) == own.tokenise(texts)


def test_what_is_not_proven_is_refused(offline_model: Path, proven: Proven) -> None:
    path = offline_model / "tokenizer.json"
    engine = FastTokenizer(path, json.loads(path.read_bytes()), proven)

    ids, refused = engine.tokenise(["river", "<s>", "", "a\u200db", "see"])

    assert refused == [1, 3]
    assert [len(of_text) > 0 for of_text in ids] == [True, False, False, False, True]


def test_a_tokenizer_that_marks_no_words_is_served_word_by_word(tmp_path: Path) -> None:
    directory = str(build_checkpoint(tmp_path / "wordpiece"))
    texts = ["the river", "sea", "it's (the) river", "", "RIVER sea"]
    proven = ((ord(" "), ord("~")),)

    assert ModelTokenizer(directory, proven).tokenise(texts) == ModelTokenizer(directory).tokenise(texts)


def test_a_file_that_the_engine_cannot_read_is_not_proven(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")

    assert prove(str(tmp_path)) is None


def test_a_proof_is_kept_and_read_again(offline_model: Path, tmp_path: Path) -> None:
    workspace = str(tmp_path)
    directory = str(offline_model)
    kept = tmp_path / "tokenizers" / f"{fingerprint(directory)}.json"

    assert known_proof(directory, workspace, worth_proving=False) is None
    assert not kept.exists()
    kept.parent.mkdir()
    kept.write_text(json.dumps({"format": 1, "proven": [[97, 122]]}))
    assert known_proof(directory, workspace, worth_proving=False) == ((97, 122),)
    kept.write_text(json.dumps({"format": 1, "proven": None}))
    assert known_proof(directory, workspace, worth_proving=True) is None


def test_a_first_proof_is_written(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "tokenizer.json").write_text("{}")

    assert known_proof(str(directory), str(tmp_path), worth_proving=True) is None
    assert [path.name for path in (tmp_path / "tokenizers").iterdir()] == [f"{fingerprint(str(directory))}.json"]


def test_a_damaged_proof_is_named(offline_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokenizers" / f"{fingerprint(str(offline_model))}.json"
    path.parent.mkdir()
    path.write_text("{")

    with pytest.raises(CorruptDataError, match=path.name):
        known_proof(str(offline_model), str(tmp_path), worth_proving=True)


def test_a_fingerprint_names_the_file(tmp_path: Path, offline_model: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((offline_model / "tokenizer.json").read_bytes() + b"\n")

    assert fingerprint(str(tmp_path)) != fingerprint(str(offline_model))


def test_ids_of_the_fast_engine_are_int32(fast: ModelTokenizer) -> None:
    assert np.frombuffer(fast.tokenise(["river"])[0], np.int32).tolist() == fast.ids("river")
