"""Sizes of indexes, held against indexes that FAISS builds."""

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pytest

from transforms.adapters.milvus.indexes import INDEX_TYPES
from transforms.logic.errors import ConfigurationError
from transforms.logic.representations import VectorType
from transforms.logic.sizing import LINKS, SIZED_INDEXES, index_bytes, sizing_table

ROWS = 3000
LISTS = 8
DIMENSIONS = 384


def graph(make: Callable[..., Any], *arguments: Any) -> Any:
    index = make(DIMENSIONS, *arguments, LINKS)
    index.hnsw.efConstruction = 16
    return index


def lists(encoding: str) -> Any:
    return faiss.index_factory(DIMENSIONS, f"IVF{LISTS},{encoding}")


BUILT: dict[tuple[str, VectorType], Callable[[], Any]] = {
    ("FLAT", "float32"): lambda: faiss.IndexFlatIP(DIMENSIONS),
    ("HNSW", "float32"): lambda: graph(faiss.IndexHNSWFlat),
    ("HNSW", "float16"): lambda: graph(faiss.IndexHNSWSQ, faiss.ScalarQuantizer.QT_fp16),
    ("HNSW", "int8"): lambda: graph(faiss.IndexHNSWSQ, faiss.ScalarQuantizer.QT_8bit_direct_signed),
    ("HNSW_SQ", "float32"): lambda: graph(faiss.IndexHNSWSQ, faiss.ScalarQuantizer.QT_8bit),
    ("IVF_FLAT", "float32"): lambda: lists("Flat"),
    ("IVF_SQ8", "float32"): lambda: lists("SQ8"),
}


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    made = np.random.default_rng(7).standard_normal((ROWS, DIMENSIONS)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.mark.parametrize(("index", "vector_type"), BUILT)
def test_an_index_that_is_built_has_the_size(index: str, vector_type: VectorType, vectors: np.ndarray) -> None:
    built = BUILT[index, vector_type]()
    built.train(vectors)
    built.add(vectors)
    centroids = 4 * LISTS * DIMENSIONS if index.startswith("IVF") else 0
    size = faiss.serialize_index(built).nbytes - centroids
    assert index_bytes(index, vector_type, DIMENSIONS, ROWS) == pytest.approx(size, rel=0.005)


def test_rabitq_with_its_refinement_is_bits_and_bytes(vectors: np.ndarray) -> None:
    bits = lists("RaBitQ")
    bits.train(vectors)
    bits.add(vectors)
    refined = faiss.IndexScalarQuantizer(DIMENSIONS, faiss.ScalarQuantizer.QT_8bit)
    refined.train(vectors)
    refined.add(vectors)
    size = faiss.serialize_index(bits).nbytes + faiss.serialize_index(refined).nbytes - 4 * LISTS * DIMENSIONS
    assert index_bytes("IVF_RABITQ", "float32", DIMENSIONS, ROWS) == pytest.approx(size, rel=0.005)


@pytest.mark.parametrize("index", ["BIN_FLAT", "BIN_IVF_FLAT"])
def test_a_binary_index_that_is_built_has_the_size(index: str, vectors: np.ndarray) -> None:
    bits = np.packbits(vectors > 0, axis=1)
    quantizer = faiss.IndexBinaryFlat(DIMENSIONS)
    built = (
        faiss.IndexBinaryFlat(DIMENSIONS) if index == "BIN_FLAT" else faiss.IndexBinaryIVF(quantizer, DIMENSIONS, LISTS)
    )
    built.train(bits)
    built.add(bits)
    size = faiss.serialize_index_binary(built).nbytes - (0 if index == "BIN_FLAT" else LISTS * DIMENSIONS // 8)
    assert index_bytes(index, "binary", DIMENSIONS, ROWS) == pytest.approx(size, rel=0.01)


def test_every_index_that_this_project_builds_has_a_size() -> None:
    assert set(SIZED_INDEXES) == set(INDEX_TYPES) - {"AUTOINDEX"}
    for name in SIZED_INDEXES:
        kind: VectorType = "binary" if name.startswith("BIN") else "float32"
        assert index_bytes(name, kind, 1024, 2_000_000) == pytest.approx(2 * index_bytes(name, kind, 1024, 1_000_000))
    assert INDEX_TYPES["HNSW"].defaults["M"] == LINKS


def test_an_index_without_a_size_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'GPU_CAGRA' is not known"):
        index_bytes("GPU_CAGRA", "float32", 384, 1)


def test_the_table_has_a_line_for_each_kind_of_vector() -> None:
    rows = [line.split("|")[1].strip() for line in sizing_table().splitlines()[2:]]
    assert {"float32", "float16", "int8", "binary"} == set(rows)
