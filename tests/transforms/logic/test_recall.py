"""Recall against brute force by hand, and the choice that is made from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.calibration import calibrate
from transforms.logic.recall import (
    MIN_LANGUAGE_CHUNKS,
    OTHERS,
    TOP,
    Measured,
    Sample,
    choose,
    halvings,
    measure,
    nearest,
    recall_table,
)
from transforms.logic.representations import Representation, VectorType, represent, restore
from transforms.logic.vectors import Float32, unit_rows


def _vectors(count: int, dimensions: int, seed: int = 0) -> Float32:
    return unit_rows(np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    rows=st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=3, max_size=30),
    top=st.integers(1, 29),
    data=st.data(),
)
def test_the_nearest_are_those_of_a_full_sort(rows: list[tuple[int, int]], top: int, data: st.DataObject) -> None:
    top = min(top, len(rows) - 1)
    queries = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=5))
    found = nearest(np.array(rows, np.float32), np.array(queries), top)
    for query, answers in zip(queries, found.tolist(), strict=True):
        scores = {row: np.dot(rows[query], rows[row]) for row in range(len(rows)) if row != query}
        assert answers == sorted(scores, key=lambda row: (-scores[row], row))[:top]


def test_more_queries_than_fit_a_block_are_all_answered() -> None:
    vectors = _vectors(600, 4)
    assert nearest(vectors, np.arange(600), 3)[599].tolist() == nearest(vectors, np.array([599]), 3)[0].tolist()


def _by_hand(sample: Sample, representation: Representation, queries: range) -> tuple[float, float]:
    """Recall@10 and recall@10 after rescoring 40, with Python's own sort."""
    stored = restore(represent(sample.vectors, representation), representation)
    plain = rescored = 0
    for query in queries:
        others = [row for row in range(len(sample)) if row != query]
        exact = sorted(others, key=lambda row: -float(sample.vectors[row] @ sample.vectors[query]))
        found = sorted(others, key=lambda row: (-round(float(stored[row] @ stored[query]), 6), row))
        plain += len(set(found[:TOP]) & set(exact[:TOP]))
        wide = sorted(found[: 4 * TOP], key=exact.index)
        rescored += len(set(wide[:TOP]) & set(exact[:TOP]))
    return plain / TOP / len(queries), rescored / TOP / len(queries)


@pytest.mark.parametrize(("vector_type", "dimensions"), [("float32", 16), ("float32", 4), ("int8", 8), ("binary", 16)])
def test_recall_is_what_brute_force_finds(vector_type: VectorType, dimensions: int) -> None:
    sample = Sample(_vectors(120, 16), ["en"] * 60 + ["de"] * 60)
    calibration = calibrate(sample.vectors, "space", "test") if vector_type == "binary" else None
    representation = Representation(vector_type, dimensions, calibration)
    (found,) = measure(sample, [representation])
    recall, rescored = _by_hand(sample, representation, range(120))
    of_languages = {
        "en": _by_hand(sample, representation, range(60))[0],
        "de": _by_hand(sample, representation, range(60, 120))[0],
    }
    assert found.representation is representation
    assert found.recall == pytest.approx(recall)
    assert found.rescored_recall == pytest.approx(rescored)
    assert found.worst_recall == pytest.approx(min(of_languages.values()))
    assert found.worst_recall == pytest.approx(of_languages[found.worst_language])


def test_rare_languages_are_measured_together_and_the_worst_is_named() -> None:
    # The last sixty differ only in the second half, which truncation takes away.
    generator = np.random.default_rng(1)
    good = np.hstack([generator.standard_normal((200, 8)), np.zeros((200, 8))])
    bad = np.hstack([np.tile(np.arange(8), (60, 1)), generator.standard_normal((60, 8))])
    vectors = unit_rows(np.vstack([good, bad]).astype(np.float32))
    rare = MIN_LANGUAGE_CHUNKS - 1
    languages = ["en"] * (200 - 2 * rare) + ["fi"] * rare + ["ga"] * rare
    (found,) = measure(Sample(vectors, [*languages, *["mt"] * 60]), [Representation("float32", 8)])
    assert found.worst_language == "mt"
    assert found.worst_recall < 0.5 < found.recall
    four = ["mt", "is", "lb", "fo"] * 15
    (found,) = measure(Sample(vectors, [*languages, *four]), [Representation("float32", 8)])
    assert found.worst_language == OTHERS


def test_equal_texts_are_no_loss() -> None:
    vectors = np.repeat(_vectors(5, 8), 40, axis=0)
    (found,) = measure(Sample(vectors, ["en"] * 200), [Representation("int8", 8)])
    assert (found.recall, found.worst_recall, found.rescored_recall) == (1, 1, 1)


@pytest.mark.parametrize("count", [2, 5, 11])
def test_a_sample_with_fewer_than_ten_others_is_measured_by_all_of_them(count: int) -> None:
    (found,) = measure(Sample(_vectors(count, 8), ["en"] * count), [Representation("float32", 8)])
    assert found.recall == 1


def _measured(vector_type: VectorType, dimensions: int, recall: float, worst: float) -> Measured:
    calibration = calibrate(_vectors(2, dimensions), "space", "test") if vector_type == "binary" else None
    return Measured(Representation(vector_type, dimensions, calibration), recall, "km", worst, 1.0)


def test_the_smallest_that_keeps_the_floor_everywhere_is_chosen() -> None:
    every = [
        _measured("float32", 384, 1.0, 1.0),
        _measured("float16", 384, 0.999, 0.998),
        _measured("int8", 384, 0.99, 0.981),
        _measured("float16", 192, 0.99, 0.985),
        _measured("int8", 192, 0.99, 0.97),
        _measured("binary", 384, 0.7, 0.5),
    ]
    assert choose(every, 0.98) == (every[3], True)
    assert choose(every, 0.97) == (every[4], True)
    assert choose(every, 0.99) == (every[1], True)
    assert choose(every, 1.0) == (every[0], True)
    assert choose(every, 0.5) == (every[5], True)


def test_without_any_that_keeps_the_floor_the_best_is_taken_and_said() -> None:
    every = [_measured("binary", 384, 0.7, 0.5), _measured("int8", 192, 0.9, 0.6), _measured("int8", 384, 0.99, 0.9)]
    assert choose(every, 0.98) == (every[2], False)


@pytest.mark.parametrize(
    ("dimensions", "expected"),
    [(384, (384, 192, 96, 48)), (1024, (1024, 512, 256, 128, 64, 32)), (40, (40,)), (16, (16,)), (100, (100,))],
)
def test_dimensions_are_halved_while_they_fill_bytes(dimensions: int, expected: tuple[int, ...]) -> None:
    assert halvings(dimensions) == expected


def test_the_table_shows_every_figure_smallest_first_and_marks_the_chosen() -> None:
    every = [_measured("int8", 384, 0.987654, 0.98), _measured("binary", 384, 0.7, 0.5)]
    lines = recall_table(every, every[0]).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["binary", "384", "48", "0.700", "0.500", "km", "1.000"],
        [">", "int8", "384", "384", "0.988", "0.980", "km", "1.000"],
    ]
    assert every[0].describe() == {
        "vector_type": "int8",
        "dimensions": 384,
        "bytes_per_vector": 384,
        "recall": 0.9877,
        "worst_language": "km",
        "worst_recall": 0.98,
        "rescored_recall": 1.0,
    }
