"""Outputs: taken, joined and spread without a number of one chunk reaching another, and judged chunk by chunk."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import outputs_of
from transforms.logic.outputs import (
    OUTPUTS,
    Multi,
    Output,
    Outputs,
    Sparse,
    concatenate_outputs,
    no_outputs,
    spread_outputs,
    unsound_chunks,
)

DIMENSIONS = 3
Plain = tuple[Any, ...]
"""The outputs of one chunk as plain lists; None for one that was not asked for."""

NAMES = st.lists(st.sampled_from(OUTPUTS), min_size=1, unique=True).map(tuple)
# Some chunks have no word, so no weight and no vector of a token.
TEXTS = st.lists(st.sampled_from(["", "a", "b c", "c c d", "e f g h", "é 世界"]), max_size=8)


def plain(outputs: Outputs) -> list[Plain]:
    """Chunk by chunk, by slicing alone."""
    rows = []
    for index in range(len(outputs)):
        row: list[Any] = [None if outputs.dense is None else outputs.dense[index].tolist()]
        if outputs.sparse is None:
            row.append(None)
        else:
            part = slice(outputs.sparse.offsets[index], outputs.sparse.offsets[index + 1])
            row.append((outputs.sparse.indices[part].tolist(), outputs.sparse.values[part].tolist()))
        if outputs.multi is None:
            row.append(None)
        else:
            part = slice(outputs.multi.offsets[index], outputs.multi.offsets[index + 1])
            row.append(outputs.multi.vectors[part].tolist())
        rows.append(tuple(row))
    return rows


def made(texts: Sequence[str], names: Sequence[Output]) -> Outputs:
    return outputs_of(texts, DIMENSIONS, names)


def assert_types(outputs: Outputs, count: int) -> None:
    assert len(outputs) == count
    if outputs.dense is not None:
        assert (outputs.dense.dtype.name, outputs.dense.ndim) == ("float32", 2)
    if outputs.sparse is not None:
        sparse = outputs.sparse
        arrays = (sparse.offsets, sparse.indices, sparse.values)
        assert [array.dtype.name for array in arrays] == ["int64", "int32", "float32"]
        assert (sparse.offsets.shape, sparse.offsets[0]) == ((count + 1,), 0)
        assert sparse.offsets[-1] == len(sparse.indices) == len(sparse.values)
    if outputs.multi is not None:
        multi = outputs.multi
        assert [array.dtype.name for array in (multi.offsets, multi.vectors)] == ["int64", "float32"]
        assert (multi.offsets.shape, multi.offsets[0], multi.offsets[-1]) == ((count + 1,), 0, len(multi.vectors))


@settings(deadline=None, derandomize=True, max_examples=150)
@given(texts=TEXTS, names=NAMES, data=st.data())
def test_taken_chunks_are_those_chunks(texts: list[str], names: tuple[Output, ...], data: st.DataObject) -> None:
    outputs = made(texts, names)
    chosen = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=12) if texts else st.just([]))

    taken = outputs.take(chosen)

    assert_types(taken, len(chosen))
    rows = plain(outputs)
    assert plain(taken) == [rows[index] for index in chosen]


@settings(deadline=None, derandomize=True, max_examples=150)
@given(parts=st.lists(TEXTS, min_size=1, max_size=4), names=NAMES)
def test_joined_parts_follow_each_other(parts: list[list[str]], names: tuple[Output, ...]) -> None:
    joined = concatenate_outputs([made(texts, names) for texts in parts])

    assert_types(joined, sum(map(len, parts)))
    assert plain(joined) == [row for texts in parts for row in plain(made(texts, names))]


@settings(deadline=None, derandomize=True, max_examples=150)
@given(texts=TEXTS, names=NAMES, more=st.integers(0, 5), random=st.randoms(use_true_random=False))
def test_spread_chunks_stand_where_they_belong_and_the_others_are_empty(
    texts: list[str], names: tuple[Output, ...], more: int, random: Any
) -> None:
    outputs = made(texts, names)
    count = len(texts) + more
    numbers = random.sample(range(count), len(texts))

    spread = spread_outputs(outputs, numbers, count)

    assert_types(spread, count)
    blank: Plain = (
        [0.0] * DIMENSIONS if "dense" in names else None,
        ([], []) if "sparse" in names else None,
        [] if "multi" in names else None,
    )
    expected = dict(zip(numbers, plain(outputs), strict=True))
    assert plain(spread) == [expected.get(number, blank) for number in range(count)]


@pytest.mark.parametrize("names", [("dense",), ("sparse",), ("multi",), ("dense", "multi"), OUTPUTS])
def test_without_chunks_each_output_that_was_asked_for_is_there(names: tuple[Output, ...]) -> None:
    outputs = no_outputs(names)
    assert_types(outputs, 0)
    found = zip(OUTPUTS, (outputs.dense, outputs.sparse, outputs.multi), strict=True)
    assert tuple(name for name, one in found if one is not None) == names


SPOILS: dict[str, tuple[Output, float, str]] = {
    **{f"dense {value}": ("dense", value, "the dense vector") for value in (np.nan, np.inf, 0.0, 0.97, 1.03)},
    **{f"multi {value}": ("multi", value, "a vector of a token") for value in (np.nan, -np.inf, 0.0, 0.97, 1.03)},
    **{f"sparse {value}": ("sparse", value, "a weight") for value in (np.nan, np.inf, 0.0, -0.5, 65520.0)},
}


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    texts=st.lists(st.sampled_from(["a", "b c", "c d e"]), min_size=1, max_size=8),
    empty=st.lists(st.integers(0, 8), max_size=3),
    spoilt=st.dictionaries(st.integers(0, 7), st.sampled_from(sorted(SPOILS)), max_size=3),
)
def test_exactly_the_spoilt_chunks_are_unsound(texts: list[str], empty: list[int], spoilt: dict[int, str]) -> None:
    for place in empty:
        texts.insert(place, "")
    spoilt = {index: kind for index, kind in spoilt.items() if index < len(texts) and texts[index]}
    outputs = made(texts, OUTPUTS)
    assert outputs.dense is not None
    assert outputs.sparse is not None
    assert outputs.multi is not None
    for index, kind in spoilt.items():
        where, value, _ = SPOILS[kind]
        if where == "dense":
            outputs.dense[index] *= np.float32(value)
        elif where == "sparse":
            outputs.sparse.values[outputs.sparse.offsets[index]] = value
        else:
            outputs.multi.vectors[outputs.multi.offsets[index + 1] - 1] *= np.float32(value)

    found = unsound_chunks(outputs)

    assert found.keys() == spoilt.keys()
    for index, kind in spoilt.items():
        assert found[index].startswith(SPOILS[kind][2])


def test_every_output_of_every_chunk_may_be_sound() -> None:
    outputs = made(["", "a b", "c"], OUTPUTS)
    assert unsound_chunks(outputs) == {}
    assert unsound_chunks(Outputs()) == {}
    weights = np.array([65504, 6e-8], np.float32)
    assert unsound_chunks(Outputs(sparse=Sparse(np.array([0, 2]), np.array([1, 2], np.int32), weights))) == {}
    rounded = np.array([[0.6, 0.8]], np.float16).astype(np.float32)
    assert unsound_chunks(Outputs(multi=Multi(np.array([0, 0, 1]), rounded))) == {}
