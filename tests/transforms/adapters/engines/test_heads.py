"""BGE-M3's three outputs: FlagEmbedding's numbers, and the head's arithmetic against the plainest way to say it."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.checkpoints import HIDDEN, build_m3
from tests.transforms.adapters.engines.families import ids_of, texts_of
from tests.transforms.adapters.engines.make_flagembedding_golden import GOLDEN, TEXTS, ask, unpack
from transforms.adapters.encoders import Computation, Engine, open_engine
from transforms.adapters.engines.heads import Heads, lexical_weights
from transforms.adapters.engines.lists import ListEngine
from transforms.adapters.engines.packed import PackedEngine
from transforms.adapters.models import ModelDescription, describe_model, unweighted_ids
from transforms.adapters.tokenizers import open_tokenizer
from transforms.logic.errors import ConfigurationError
from transforms.logic.outputs import OUTPUTS, Output, Outputs
from transforms.logic.vectors import Float32

LIKE_FLAGEMBEDDING = 1e-5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelDescription:
    return describe_model(str(build_m3(tmp_path_factory.mktemp("models") / "m3")))


@pytest.fixture(scope="module", params=["packed", "lists"])
def engine(request: pytest.FixtureRequest, model: ModelDescription) -> Engine:
    computation = Computation("float32", "cpu", OUTPUTS)
    if request.param == "lists":
        return ListEngine(model, open_tokenizer(model.directory), "", computation)
    opened = open_engine(model, "", computation)
    assert isinstance(opened, PackedEngine)
    return opened


def of_chunk(outputs: Outputs, index: int) -> tuple[Float32, dict[int, float], Float32]:
    """One chunk's outputs as FlagEmbedding tells them."""
    assert outputs.dense is not None
    assert outputs.sparse is not None
    assert outputs.multi is not None
    sparse, multi = outputs.sparse, outputs.multi
    entries = slice(*sparse.offsets[index : index + 2])
    rows = slice(*multi.offsets[index : index + 2])
    weights = dict(zip(sparse.indices[entries].tolist(), sparse.values[entries].tolist(), strict=True))
    return outputs.dense[index], weights, multi.vectors[rows]


def assert_same(outputs: Outputs, index: int, dense: Float32, lexical: Mapping[str, float], colbert: Float32) -> None:
    own_dense, own_lexical, own_colbert = of_chunk(outputs, index)
    np.testing.assert_allclose(own_dense, dense, atol=LIKE_FLAGEMBEDDING)
    assert own_lexical == pytest.approx({int(key): float(w) for key, w in lexical.items()}, abs=LIKE_FLAGEMBEDDING)
    assert own_colbert.shape == colbert.shape
    np.testing.assert_allclose(own_colbert, colbert, atol=LIKE_FLAGEMBEDDING)


def test_the_three_outputs_are_those_that_flagembedding_made(engine: Engine, model: ModelDescription) -> None:
    """Where this fails for every text, torch draws other random weights than it did: make the golden file again."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))["texts"]
    assert [entry["text"] for entry in golden] == TEXTS
    assert sum(map(len, (entry["lexical"] for entry in golden))) > 20
    outputs = engine.submit(TEXTS, ids_of(model, TEXTS))()
    for index, entry in enumerate(golden):
        dense, colbert = unpack(entry["dense"], HIDDEN)[0], unpack(entry["colbert"], HIDDEN)
        assert_same(outputs, index, dense, entry["lexical"], colbert)


@pytest.mark.filterwarnings("default")
def test_the_three_outputs_are_those_that_flagembedding_makes(engine: Engine, model: ModelDescription) -> None:
    pytest.importorskip(
        "FlagEmbedding", reason="pip install -e .[oracle] asks FlagEmbedding too; its golden file is compared always"
    )
    texts = texts_of(model)
    answer = ask(Path(model.directory), texts)
    outputs = engine.submit(texts, ids_of(model, texts))()
    for index in range(len(texts)):
        lexical, colbert = answer["lexical_weights"][index], answer["colbert_vecs"][index]
        assert_same(outputs, index, answer["dense_vecs"][index], lexical, colbert)


@pytest.mark.parametrize("outputs", [("dense",), ("sparse",), ("multi",), ("dense", "multi"), ("sparse", "multi")])
@pytest.mark.parametrize("packed", [True, False])
def test_any_subset_is_what_all_three_hold(model: ModelDescription, outputs: tuple[Output, ...], packed: bool) -> None:
    texts = texts_of(model, count=6)
    ids = ids_of(model, texts)
    tokenizer = open_tokenizer(model.directory)

    def run(wanted: tuple[Output, ...]) -> Outputs:
        computation = Computation("float32", "cpu", wanted)
        engine = open_engine(model, "", computation) if packed else ListEngine(model, tokenizer, "", computation)
        return engine.submit(texts, ids)()

    part, whole = run(outputs), run(OUTPUTS)
    assert len(part) == len(texts)
    for output in OUTPUTS:
        found, expected = getattr(part, output), getattr(whole, output)
        if output not in outputs:
            assert found is None
        elif output == "dense":
            np.testing.assert_allclose(found, expected, atol=1e-6)
        else:
            for name, values in vars(expected).items():
                np.testing.assert_allclose(getattr(found, name), values, atol=1e-6)


def test_bfloat16_keeps_the_outputs(model: ModelDescription) -> None:
    texts = texts_of(model)
    ids = ids_of(model, texts)
    exact = open_engine(model, "", Computation("float32", "cpu", OUTPUTS)).submit(texts, ids)()
    rounded = open_engine(model, "", Computation("bfloat16", "cpu", OUTPUTS)).submit(texts, ids)()
    for index in range(len(texts)):
        dense, lexical, colbert = of_chunk(exact, index)
        other_dense, other_lexical, other_colbert = of_chunk(rounded, index)
        assert float(dense @ other_dense) >= 0.9999
        assert (colbert * other_colbert).sum(axis=1).min() >= 0.999
        # Small weights may fall to 0 or rise above it.
        for token in lexical.keys() | other_lexical.keys():
            assert lexical.get(token, 0.0) == pytest.approx(other_lexical.get(token, 0.0), abs=0.03)


def test_a_prompt_is_part_of_the_text_as_it_is_for_flagembedding(model: ModelDescription) -> None:
    """It joins an instruction to the text before anything else, so the prompt's tokens have weights and vectors."""
    computation = Computation("float32", "cpu", OUTPUTS)
    prompted = open_engine(model, "query: ", computation).submit(["the sea"], ids_of(model, ["the sea"]))()
    joined = open_engine(model, "", computation).submit(["query: the sea"], ids_of(model, ["query: the sea"]))()
    assert_same(prompted, 0, *_stated(joined))


def _stated(outputs: Outputs) -> tuple[Float32, Mapping[str, float], Float32]:
    dense, lexical, colbert = of_chunk(outputs, 0)
    return dense, {str(key): weight for key, weight in lexical.items()}, colbert


def test_vectors_of_tokens_may_be_of_another_length(tmp_path: Path) -> None:
    model = describe_model(str(build_m3(tmp_path / "m3", colbert_dimensions=8)))
    assert (model.dimensions, model.multi_dimensions) == (HIDDEN, 8)
    texts = ["the river runs", "a"]
    multi = open_engine(model, "", Computation("float32", "cpu", OUTPUTS)).submit(texts, ids_of(model, texts))().multi
    assert multi is not None
    assert multi.vectors.shape == (multi.offsets[-1], 8)
    np.testing.assert_allclose(np.linalg.norm(multi.vectors, axis=1), 1, atol=1e-6)


def test_special_tokens_have_no_weight_and_masks_have(model: ModelDescription) -> None:
    tokenizer = open_tokenizer(model.directory)
    assert unweighted_ids(model).tolist() == [0, 1, 2, 3]
    assert tokenizer.ids("<s><pad></s><unk><mask>")[:4] == [0, 1, 2, 3]


@settings(deadline=None, derandomize=True, max_examples=200)
@given(data=st.data(), lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_lexical_weights_are_the_largest_of_each_id(data: st.DataObject, lengths: list[int]) -> None:
    tokens = sum(lengths)
    ids = data.draw(arrays(np.int64, tokens, elements=st.sampled_from([0, 1, 2, 3, 7, 250_001])))
    numbers = st.floats(-2, 2, width=32) | st.just(float("nan"))
    weights = data.draw(arrays(np.float32, tokens, elements=numbers))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    sparse = lexical_weights(weights, ids, offsets, np.array([0, 2]))
    dtypes = [str(part.dtype) for part in (sparse.offsets, sparse.indices, sparse.values)]
    assert dtypes == ["int64", "int32", "float32"]
    expected: list[tuple[int, int, float]] = []
    for chunk in range(len(lengths)):
        part = slice(offsets[chunk], offsets[chunk + 1])
        for token in sorted(set(ids[part].tolist()) - {0, 2}):
            of_token = weights[part][ids[part] == token]
            # What is not a number has to be seen by the check of soundness.
            largest = np.nan if np.isnan(of_token).any() else of_token.max()
            if not largest <= 0:
                expected.append((chunk, token, float(largest)))
    chunks = np.repeat(np.arange(len(lengths)), np.diff(sparse.offsets))
    assert len(sparse.offsets) == len(lengths) + 1
    assert list(zip(chunks.tolist(), sparse.indices.tolist(), strict=True)) == [entry[:2] for entry in expected]
    np.testing.assert_array_equal(sparse.values, np.array([entry[2] for entry in expected], np.float32))


def test_no_matrix_of_chunks_by_vocabulary_is_made(model: ModelDescription) -> None:
    """A thousand chunks with the largest ids there are: a matrix would need 4 TB."""
    ids = np.full(1000, 2**30)
    sparse = lexical_weights(np.ones(1000, np.float32), ids, np.arange(1001), np.array([0]))
    assert sparse.indices.tolist() == [2**30] * 1000


def test_a_head_that_was_not_asked_for_is_not_read(model: ModelDescription) -> None:
    heads = Heads(model, torch.device("cpu"), "float32", ("dense", "sparse"))
    launched = heads.launch(torch.zeros(5, HIDDEN), torch.tensor([0, 2, 5]))
    assert launched.vectors is None
    sparse, multi = heads.finish(launched, np.array([0, 4, 0, 5, 2]), np.array([0, 2, 5]))
    assert sparse is not None
    assert multi is None


def test_an_output_that_a_model_lacks_is_refused(tmp_path: Path, model: ModelDescription) -> None:
    directory = build_m3(tmp_path / "m3")
    (directory / "colbert_linear.pt").unlink()
    lacking = describe_model(str(directory))
    assert lacking.outputs == ("dense", "sparse")
    assert model.outputs == OUTPUTS
    with pytest.raises(ConfigurationError, match=r"--outputs dense sparse multi: .*no multi output.*dense, sparse"):
        open_engine(lacking, "", Computation("float32", "cpu", OUTPUTS))
