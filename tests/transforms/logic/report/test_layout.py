"""The map: the same vectors give the same map, and near ones lie near."""

import numpy as np
import pytest

from tests.reports import LANGUAGES, sample
from transforms.logic.report.layout import apart, place, principal_components
from transforms.logic.vectors import Float32, unit_rows


def vectors(count: int) -> Float32:
    return unit_rows(np.random.default_rng(count).normal(size=(count, 16)).astype(np.float32))


def test_translations_lie_together() -> None:
    found = sample(topics=12)
    places = place(found.vectors)
    distances = np.linalg.norm(places[:, None] - places[None, :], axis=2)
    np.fill_diagonal(distances, np.inf)
    topics = np.arange(len(places)) // len(LANGUAGES)
    nearest = distances.argmin(axis=1)
    assert np.mean(topics[nearest] == topics) > 0.95


def test_the_same_vectors_give_the_same_map() -> None:
    given = vectors(40)
    np.testing.assert_array_equal(place(given), place(given.copy()))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6, 17])
def test_any_number_of_vectors_lies_within_the_map(count: int) -> None:
    places = place(vectors(count))
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert np.abs(places).max(initial=0) <= 1 + 1e-6


def test_equal_vectors_are_no_trouble() -> None:
    places = place(np.repeat(vectors(1), 30, axis=0))
    assert np.isfinite(places).all()


def test_components_do_not_depend_on_the_sign_that_a_solver_takes() -> None:
    given = vectors(30)
    found = principal_components(given)
    assert found[np.abs(found).argmax(axis=0), [0, 1]].min() > 0
    assert found[:, 0].std() == pytest.approx(1e-4)
    assert found[:, 0].std() > found[:, 1].std()


def _least_distance(places: Float32) -> float:
    distances = np.linalg.norm(places[:, None] - places[None, :], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float(distances.min())


@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_marks_that_would_cover_each_other_are_moved_apart(spread: float) -> None:
    places = (spread * np.random.default_rng(1).normal(size=(60, 2))).astype(np.float32)
    moved = apart(places, 2.0)
    assert _least_distance(moved) > 1.7
    np.testing.assert_array_equal(moved, apart(places.copy(), 2.0))


def test_what_lies_apart_stays_where_it_is() -> None:
    places = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), axis=-1).reshape(-1, 2).astype(np.float32)
    assert np.abs(apart(places, 0.9) - places).max() < 0.01
    assert apart(places[:0], 0.9).shape == (0, 2)
