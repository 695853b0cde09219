"""Exact search in one pass is what sorting everything gives."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic import best_documents
from transforms.logic.best_documents import BestDocuments


@settings(deadline=None, derandomize=True, max_examples=100)
@given(seed=st.integers(0, 10_000), rows=st.integers(0, 40), depth=st.integers(1, 6), cut=st.integers(1, 40))
def test_the_best_documents_are_those_of_a_full_sort(seed: int, rows: int, depth: int, cut: int) -> None:
    """Chunks of a document are spread over blocks, and many scores are equal."""
    generator = np.random.default_rng(seed)
    queries = generator.integers(-1, 2, (3, 2)).astype(np.float32)
    vectors = generator.integers(-1, 2, (rows, 2)).astype(np.float32)
    documents = [f"d{number}" for number in generator.integers(0, 12, rows)]
    languages = {name: "de" if name < "d5" else "th" for name in documents}
    search = BestDocuments(queries, depth)
    for start in range(0, rows, cut):
        some = documents[start : start + cut]
        search.see(some, [languages[name] for name in some], vectors[start : start + cut])
    for number, query in enumerate(queries):
        best: dict[str, float] = {}
        for name, vector in zip(documents, vectors, strict=True):
            best[name] = max(best.get(name, -np.inf), float(query @ vector))
        order = sorted(best, key=lambda name: (-best[name], name))[:depth]
        assert search.found(number) == [(name, languages[name]) for name in order]


def test_blocks_change_nothing(monkeypatch: object) -> None:
    generator = np.random.default_rng(1)
    queries, vectors = generator.standard_normal((4, 8)).astype(np.float32), generator.standard_normal((50, 8))
    documents = [f"d{number % 20}" for number in range(50)]
    found = []
    for rows in (7, 4096):
        best_documents._BLOCK_ROWS, before = rows, best_documents._BLOCK_ROWS
        try:
            search = BestDocuments(queries, 5)
            search.see(documents, ["de"] * 50, vectors.astype(np.float32))
        finally:
            best_documents._BLOCK_ROWS = before
        found.append([search.found(number) for number in range(4)])
    assert found[0] == found[1]


def test_without_queries_nothing_is_found_and_nothing_fails() -> None:
    search = BestDocuments(np.zeros((0, 4), np.float32), 3)
    search.see(["a"], ["de"], np.ones((1, 4), np.float32))
    assert search._best == []
