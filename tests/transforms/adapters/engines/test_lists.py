"""Models of sparse and of multi-vector outputs against sentence-transformers' own `encode_document` and `encode_query`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from sentence_transformers import MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Router

from tests.checkpoints import HIDDEN, build_checkpoint, build_late_interaction, build_splade, build_static
from tests.transforms.adapters.engines.families import agreement, dense, ids_of, own_vectors, texts_of
from transforms.adapters.encoders import Computation, Role, open_engine
from transforms.adapters.models import ModelDescription, describe_model
from transforms.logic.outputs import Outputs, Sparse
from transforms.logic.vectors import Float32

ROLES: tuple[Role, ...] = get_args(Role)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, ModelDescription]:
    root = tmp_path_factory.mktemp("models")
    directories = {
        "splade": build_splade(root / "splade"),
        "inference-free": build_splade(root / "inference-free", inference_free=True),
        "late interaction": build_late_interaction(root / "late-interaction"),
    }
    return {name: describe_model(str(directory)) for name, directory in directories.items()}


def run(model: ModelDescription, texts: list[str], prompt: str, role: Role, **settings: Any) -> Outputs:
    computation = Computation(**{"dtype": "float32", "device": "cpu", "outputs": model.outputs, **settings})
    return open_engine(model, prompt, computation, role).submit(texts, ids_of(model, texts))()


def spread(sparse: Sparse, vocabulary: int) -> Float32:
    """Compressed rows as the matrix that they are of."""
    for start, stop in zip(sparse.offsets[:-1], sparse.offsets[1:], strict=True):
        assert (np.diff(sparse.indices[start:stop]) > 0).all()
    matrix = np.zeros((len(sparse.offsets) - 1, vocabulary), np.float32)
    rows = np.repeat(np.arange(len(matrix)), np.diff(sparse.offsets))
    matrix[rows, sparse.indices] = sparse.values
    return matrix


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("prompt", ["", "query: "])
@pytest.mark.parametrize("name", ["splade", "inference-free"])
def test_a_sparse_encoder_gives_its_own_weights(
    models: Mapping[str, ModelDescription], name: str, prompt: str, role: Role
) -> None:
    model = models[name]
    texts = texts_of(model, prompt, count=10)
    own = SparseEncoder(model.directory, device="cpu", local_files_only=True)
    expected = getattr(own, f"encode_{role}")(texts, prompt=prompt).to_dense().numpy()
    outputs = run(model, texts, prompt, role)
    assert outputs.dense is None
    assert outputs.multi is None
    assert outputs.sparse is not None
    assert (outputs.sparse.values > 0).all()
    np.testing.assert_allclose(spread(outputs.sparse, expected.shape[1]), expected, atol=1e-5)
    if name == "inference-free":
        entries = len(outputs.sparse.values) / len(texts)
        assert entries < 60 if role == "query" else entries > 200


def test_a_limit_on_active_dimensions_is_kept(models: Mapping[str, ModelDescription], tmp_path: Path) -> None:
    own = SparseEncoder(models["splade"].directory, device="cpu", local_files_only=True, max_active_dims=5)
    own.save_pretrained(str(tmp_path / "limited"))
    model = describe_model(str(tmp_path / "limited"))
    texts = texts_of(model, count=6)
    expected = own.encode_document(texts).to_dense().numpy()
    sparse = run(model, texts, "", "document").sparse
    assert sparse is not None
    assert np.diff(sparse.offsets).tolist() == [5] * 6
    np.testing.assert_allclose(spread(sparse, expected.shape[1]), expected, atol=1e-5)


def test_a_pass_of_a_masked_language_model_is_as_small_as_its_vocabulary_is_large(
    models: Mapping[str, ModelDescription], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models["splade"]
    vocabulary = len(SparseEncoder(model.directory, device="cpu", local_files_only=True).tokenizer)
    monkeypatch.setattr("transforms.adapters.engines.lists._LOGITS", 100 * vocabulary + 1)
    assert open_engine(model, "", Computation("float32", "cpu", ("sparse",))).budget_tokens == 100


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("prompt", ["", "query: "])
def test_a_multi_vector_encoder_gives_its_own_vectors(
    models: Mapping[str, ModelDescription], prompt: str, role: Role
) -> None:
    model = models["late interaction"]
    texts = ["the river. the sea.", ".", *texts_of(model, prompt, count=8)]
    own = MultiVectorEncoder(model.directory, device="cpu", local_files_only=True)
    expected = getattr(own, f"encode_{role}")(texts, prompt=prompt, convert_to_numpy=True)
    outputs = run(model, texts, prompt, role)
    assert outputs.dense is None
    assert outputs.sparse is None
    assert outputs.multi is not None
    assert np.diff(outputs.multi.offsets).tolist() == [len(vectors) for vectors in expected]
    assert outputs.multi.vectors.shape[1] == model.multi_dimensions
    np.testing.assert_allclose(outputs.multi.vectors, np.concatenate(expected), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(outputs.multi.vectors, axis=1), 1, atol=1e-5)


def test_queries_are_filled_up_and_lose_no_full_stop(models: Mapping[str, ModelDescription]) -> None:
    counts = {}
    for role in ROLES:
        multi = run(models["late interaction"], ["the river ."], "", role).multi
        assert multi is not None
        counts[role] = int(multi.offsets[-1])
    assert counts == {"document": 4, "query": 24}


@pytest.mark.parametrize("name", ["splade", "late interaction"])
def test_bfloat16_rounds_and_no_more(models: Mapping[str, ModelDescription], name: str) -> None:
    model = models[name]
    texts = texts_of(model, count=8)
    exact, rounded = run(model, texts, "", "document"), run(model, texts, "", "document", dtype="bfloat16")
    if name == "splade":
        assert exact.sparse is not None
        assert rounded.sparse is not None
        left, right = spread(exact.sparse, 1000), spread(rounded.sparse, 1000)
        cosines = (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
        assert 0.999 <= cosines.min() < 1 - 1e-6
    else:
        assert exact.multi is not None
        assert rounded.multi is not None
        assert rounded.multi.vectors.dtype == np.float32
        cosines = (exact.multi.vectors * rounded.multi.vectors).sum(axis=1)
        assert 0.999 <= cosines.min() < 1 - 1e-6


def test_queries_of_dense_vectors_may_take_another_way(tmp_path: Path) -> None:
    """A table for queries, a transformer for documents, which the library joins by a router."""
    document = SentenceTransformer(str(build_checkpoint(tmp_path / "document")), device="cpu", local_files_only=True)
    query = SentenceTransformer(str(build_static(tmp_path / "query")), device="cpu", local_files_only=True)
    router = Router.for_query_document(query_modules=[*query], document_modules=[*document])
    SentenceTransformer(modules=[router], device="cpu").save_pretrained(str(tmp_path / "both"))
    model = describe_model(str(tmp_path / "both"))
    assert (model.dimensions, model.outputs) == (HIDDEN, ("dense",))
    texts = ["the river", "the sea"]
    for role, alone in (("document", tmp_path / "document"), ("query", tmp_path / "query")):
        engine = open_engine(model, "", Computation("float32", "cpu"), role)  # type: ignore[arg-type]
        expected = own_vectors(describe_model(str(alone)), texts)
        assert agreement(dense(engine, model, texts), expected) >= 0.99999
