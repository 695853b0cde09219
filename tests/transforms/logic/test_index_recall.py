"""Recall from rows that pass by once equals recall from all rows at once."""

import numpy as np
import pyarrow as pa
import pytest

from transforms.logic.index_recall import IndexRecall
from transforms.logic.vectors import Float32, unit_rows

TOP = 10


def rows(count: int, seed: int = 3) -> tuple[list[str], Float32]:
    vectors = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return [f"{number:032x}" for number in range(count)], unit_rows(vectors)


def exact(ids: list[str], vectors: Float32, query: int, top: int = TOP) -> list[str]:
    """The query itself first, then its nearest."""
    order = np.argsort(-(vectors @ vectors[query]), kind="stable")
    return [ids[query], *[ids[number] for number in order if number != query][:top]]


@pytest.mark.parametrize("piece", [1, 7, 200])
def test_recall_is_the_share_of_right_answers(piece: int) -> None:
    ids, vectors = rows(120)
    queries = [0, 5, 119]
    answers = [exact(ids, vectors, query) for query in queries]
    # Of the second's answers three are wrong: the farthest of all.
    order = np.argsort(vectors @ vectors[5])
    answers[1][-3:] = [ids[number] for number in order[:3]]
    search = IndexRecall([ids[query] for query in queries], vectors[queries], answers)
    for start in range(0, 120, piece):
        search.see(pa.array(ids[start : start + piece]), vectors[start : start + piece])
    assert search.recall() == pytest.approx((1 + 0.7 + 1) / 3)


def test_equal_rows_are_no_loss_and_few_rows_are_found_all() -> None:
    ids, vectors = rows(6)
    vectors[1:4] = vectors[0]
    search = IndexRecall(ids[:1], vectors[:1], [[ids[3], ids[2], ids[1]]], top=2)
    search.see(pa.array(ids), vectors)
    assert search.recall() == 1
    few = IndexRecall(ids[:1], vectors[:1], [ids], top=TOP)
    few.see(pa.array(ids), vectors)
    assert few.recall() == 1
    half = IndexRecall(ids[:1], vectors[:1], [ids[:3]], top=TOP)
    half.see(pa.array(ids), vectors)
    assert half.recall() == pytest.approx(2 / 5)


def test_an_answer_that_is_not_held_is_wrong_and_one_row_alone_tells_nothing() -> None:
    ids, vectors = rows(3)
    search = IndexRecall(ids[:1], vectors[:1], [[ids[0], "e" * 32, ids[1]]], top=2)
    search.see(pa.array(ids), vectors)
    assert search.recall() == pytest.approx(0.5)
    alone = IndexRecall(ids[:1], vectors[:1], [ids[:1]])
    alone.see(pa.array(ids[:1]), vectors[:1])
    assert alone.recall() is None
