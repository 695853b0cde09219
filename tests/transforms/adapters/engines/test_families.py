"""Every family of models against `SentenceTransformer.encode` of the same checkpoint, with whichever engines read it."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.checkpoints import build_checkpoint
from tests.transforms.adapters.engines.families import FAMILIES, agreement, dense, ids_of, own_vectors, texts_of
from transforms.adapters.encoders import Computation, Engine, can_pack, open_encoder, open_engine
from transforms.adapters.engines.lists import ListEngine
from transforms.adapters.models import ModelDescription, describe_model
from transforms.adapters.tokenizers import open_tokenizer

LIKE_FLOAT32 = 0.99999
LIKE_BFLOAT16 = 0.9999


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelDescription]:
    root = tmp_path_factory.mktemp("models")
    return {name: describe_model(str(family.build(root / name))) for name, family in FAMILIES.items()}


def engines_of(model: ModelDescription, prompt: str, computation: Computation) -> list[Engine]:
    """The engine that is chosen, and the one that would be if the packed engine knew nothing."""
    fallback = ListEngine(model, open_tokenizer(model.tokenizer_directory), prompt, computation)
    return [open_engine(model, prompt, computation), fallback] if can_pack(model) else [fallback]


@pytest.mark.parametrize("name", FAMILIES)
def test_vectors_are_the_models_own(models: dict[str, ModelDescription], name: str) -> None:
    model, prompt = models[name], FAMILIES[name].prompt
    texts = texts_of(model, prompt)
    expected = own_vectors(model, texts, prompt)
    # Different texts are further apart than the tolerance, so a mix-up cannot pass.
    assert (expected @ expected.T)[~np.eye(len(texts), dtype=bool)].max() < LIKE_BFLOAT16
    for engine in engines_of(model, prompt, Computation("float32", "cpu")):
        vectors = dense(engine, model, texts)
        assert agreement(vectors, expected) >= LIKE_FLOAT32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for engine in engines_of(model, prompt, Computation("bfloat16", "cpu")):
        vectors = dense(engine, model, texts)
        assert agreement(vectors, expected) >= LIKE_BFLOAT16
        if model.model_type != "static":
            assert agreement(vectors, expected) < 1 - 1e-6, "computed in float32"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_frame_and_a_text_have_the_tokens_that_the_model_sees(models: dict[str, ModelDescription], name: str) -> None:
    """What preflight and budgets count with: the model's own tokenizer adds what `frame_tokens` says, and cuts nothing."""
    model = models[name]
    engine = ListEngine(model, open_tokenizer(model.tokenizer_directory), "", Computation("float32", "cpu"))
    for text, ids in zip(texts_of(model), ids_of(model, texts_of(model)), strict=True):
        features = engine._model.preprocess([text])
        assert features["input_ids"].numel() == len(ids) + (0 if model.model_type == "static" else engine.frame_tokens)


@pytest.mark.parametrize(
    "name", ["multilingual-e5-base", "all-mpnet", "Qwen3-Embedding", "static-similarity-multilingual"]
)
def test_order_is_kept_and_a_chunk_alone_has_the_same_vector(models: dict[str, ModelDescription], name: str) -> None:
    model = models[name]
    texts = texts_of(model, count=12)
    for engine in engines_of(model, "", Computation("float32", "cpu")):
        together = dense(engine, model, texts)
        backwards = dense(engine, model, texts[::-1])
        alone = np.concatenate([dense(engine, model, [text]) for text in texts])
        np.testing.assert_allclose(backwards[::-1], together, atol=1e-5)
        np.testing.assert_allclose(alone, together, atol=1e-5)


XLM_R_PADDING = "<s> </s> <pad> <unk> <mask> the river"
"""A padding token that was written: XLM-R gives it the position of padding, and counts on behind it as if it were not there."""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LaBSE", "[CLS] [SEP] [PAD] [UNK] [MASK] the river"),
        ("mBERT", "[CLS] [SEP] [PAD] [UNK] [MASK] the river"),
        ("multilingual-e5-base", XLM_R_PADDING.replace("<pad>", "")),
        ("multilingual-e5-base", XLM_R_PADDING),
        ("Qwen3-Embedding", "<|end|> the river <|pad|> runs"),
    ],
)
def test_special_tokens_written_in_a_text_are_read_as_the_model_does(
    models: dict[str, ModelDescription], name: str, text: str
) -> None:
    model = models[name]
    for engine in reversed(engines_of(model, "", Computation("float32", "cpu"))):
        vectors = dense(engine, model, [text, "sea"])
        assert agreement(vectors, own_vectors(model, [text, "sea"])) >= LIKE_FLOAT32


@pytest.mark.parametrize("name", ["multilingual-e5-small", "distiluse-multilingual"])
def test_a_text_without_tokens_is_encoded_as_the_model_does(models: dict[str, ModelDescription], name: str) -> None:
    model = models[name]
    for engine in engines_of(model, "", Computation("float32", "cpu")):
        vectors = dense(engine, model, ["", "sea"])
        assert agreement(vectors, own_vectors(model, ["", "sea"])) >= LIKE_FLOAT32


@pytest.mark.parametrize("name", ["multilingual-e5-small", "maximum"])
def test_no_prompt_is_no_prompt_even_where_the_model_has_a_default(tmp_path: Path, name: str) -> None:
    prompts = {"query": "query: ", "document": "passage: "}
    directory = FAMILIES[name].build(tmp_path / "model")
    settings = {"prompts": prompts, "default_prompt_name": "query"}
    (directory / "config_sentence_transformers.json").write_text(json.dumps(settings))
    model = describe_model(str(directory))
    texts = ["the river", "the sea"]
    computation = Computation("float32", "cpu")
    bare = dense(open_engine(model, "", computation), model, texts)
    prompted = dense(open_engine(model, "query: ", computation), model, texts)
    assert agreement(bare, own_vectors(model, texts, "")) >= LIKE_FLOAT32
    assert agreement(prompted, own_vectors(model, texts, "query: ")) >= LIKE_FLOAT32
    assert agreement(bare, prompted) < LIKE_FLOAT32


def test_a_table_in_a_folder_of_its_own_is_read(models: dict[str, ModelDescription], tmp_path: Path) -> None:
    """As sentence-transformers 3 and 4 saved static models."""
    new = models["static-similarity-multilingual"]
    folder = tmp_path / "model" / "0_StaticEmbedding"
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).write_bytes(Path(new.directory, name).read_bytes())
    kind = "sentence_transformers.models.StaticEmbedding"
    module = {"idx": 0, "name": "0", "path": "0_StaticEmbedding", "type": kind}
    (tmp_path / "model" / "modules.json").write_text(json.dumps([module]))
    model = describe_model(str(tmp_path / "model"))
    assert (model.dimensions, model.tokenizer_directory) == (new.dimensions, str(folder.resolve()))
    texts = ["the river", "the sea"]
    computation = Computation("float32", "cpu")
    expected = dense(open_engine(new, "", computation), new, texts)
    np.testing.assert_array_equal(dense(open_engine(model, "", computation), model, texts), expected)


def real_texts(sample_corpus: Path) -> list[str]:
    """Sentences and whole passages of the sample corpus, in every language of one topic, of mixed length."""
    records = [json.loads(line) for line in (sample_corpus / "tides.jsonl").read_text(encoding="utf-8").splitlines()]
    with gzip.open(sample_corpus / "duplicates.jsonl.gz", "rt", encoding="utf-8") as stream:
        records.append(json.loads(stream.readline()))
    texts = [record["text"] if index % 2 else record["text"][:60] for index, record in enumerate(records)]
    assert len({record.get("lang") for record in records}) >= 14
    return texts


def test_the_real_model_is_reproduced_in_every_language(offline_model: Path, sample_corpus: Path) -> None:
    """By both engines: whichever a later version picks, stored vectors stay comparable."""
    model = describe_model(str(offline_model))
    texts = real_texts(sample_corpus)
    expected = own_vectors(model, texts, "passage: ")
    for engine in engines_of(model, "passage: ", Computation("float32", "cpu")):
        assert agreement(dense(engine, model, texts[:16]), expected[:16]) >= LIKE_FLOAT32
    for engine in engines_of(model, "passage: ", Computation("bfloat16", "cpu")):
        vectors = dense(engine, model, texts)
        assert agreement(vectors, expected) >= LIKE_BFLOAT16
        assert agreement(dense(engine, model, texts[:1]), vectors[:1]) >= LIKE_BFLOAT16


@pytest.mark.parametrize("name", ["multilingual-e5-small", "BGE-M3", "maximum"])
def test_no_neighbour_reaches_into_a_chunk(models: dict[str, ModelDescription], name: str) -> None:
    """Between neighbours that are as long, as short and as odd as can be, a chunk keeps its vector."""
    model = models[name]
    target = "the river runs to the sea"
    texts = ["𝔘 " * 60, target, "", target, "a", "𝔘 " * 60, "𝔘 " * 60, target]
    for engine in engines_of(model, "", Computation("float32", "cpu")):
        expected = dense(engine, model, [target])[0]
        vectors = dense(engine, model, texts)
        for place in (1, 3, 7):
            np.testing.assert_allclose(vectors[place], expected, atol=1e-5)


def test_an_embedding_that_is_not_a_number_costs_only_the_chunks_that_read_it(tmp_path: Path) -> None:
    directory = build_checkpoint(tmp_path / "model", "xlm-roberta", "unigram")
    weights = load_file(directory / "model.safetensors")
    poison = open_tokenizer(str(directory)).ids("🎉")[-1]
    weights["embeddings.word_embeddings.weight"][poison] = np.nan
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    model = describe_model(str(directory))
    texts = ["🎉", "the river", "🎉 🎉", "the sea", "", "sea 🎉", "a"]
    expected = own_vectors(model, ["the river", "the sea", "", "a"])
    encoded = open_encoder(model, "", Computation("float32", "cpu")).encode(texts, ids_of(model, texts))
    assert sorted(encoded.faults) == [0, 2, 5]
    sound = encoded.outputs.take([1, 3, 4, 6]).dense
    assert sound is not None
    assert agreement(sound, expected) >= LIKE_FLOAT32


@pytest.mark.parametrize("name", ["multilingual-e5-small", "multilingual-e5-base", "BGE-M3"])
def test_a_vector_does_not_depend_on_what_is_packed_beside_it(models: dict[str, ModelDescription], name: str) -> None:
    # The probe decides by the clock how much goes into a pass: it must not decide what comes out.
    model = models[name]
    engine = open_engine(model, "", Computation("float32", "cpu"))
    texts = [f"the river {'runs to sea ' * number}" for number in range(1, 9)]
    together = dense(engine, model, texts)
    for index, text in enumerate(texts):
        np.testing.assert_allclose(dense(engine, model, [text])[0], together[index], atol=1e-6)
