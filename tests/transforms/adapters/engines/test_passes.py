from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transforms.adapters.engines.attention import KEY_STEP, Pack
from transforms.adapters.engines.passes import TOKEN_STEP, Frame, Passes, pack_chunks

FRAME = Frame(np.array([0, 7, 8]), np.array([2]), 2)
CHUNKS = st.lists(
    st.lists(st.integers(4, 99), max_size=40).map(lambda ids: np.array(ids, np.int32)), min_size=1, max_size=8
)
CPU = torch.device("cpu")


class OneHot:
    """States that tell id and position of each token."""

    words = 100

    def hidden(self, pack: Pack) -> torch.Tensor:
        return torch.nn.functional.one_hot(pack.ids, 100).float() + pack.positions[:, None] / 1000


@given(CHUNKS)
def test_chunks_lie_end_to_end_in_their_frames(chunks: list[np.ndarray]) -> None:
    ids, positions, offsets = pack_chunks(chunks, FRAME)
    assert offsets[0] == 0
    assert len(offsets) == len(chunks) + 1
    for number, chunk in enumerate(chunks):
        own = slice(offsets[number], offsets[number + 1])
        assert ids[own].tolist() == [0, 7, 8, *chunk.tolist(), 2]
        assert positions[own].tolist() == list(range(2, 2 + len(chunk) + 4))
    behind = len(ids) - offsets[-1]
    assert len(positions) == len(ids)
    assert len(ids) % TOKEN_STEP == 0
    assert -(offsets[-1] - offsets[-2]) % KEY_STEP <= behind < TOKEN_STEP + KEY_STEP


@given(
    st.lists(st.lists(st.integers(0, 5), max_size=9).map(lambda ids: np.array(ids, np.int32)), min_size=1, max_size=5)
)
def test_xlm_r_does_not_count_padding_tokens(chunks: list[np.ndarray]) -> None:
    padding = 1
    ids, positions, offsets = pack_chunks(chunks, FRAME)
    for start, stop in pairwise(offsets):
        # As `create_position_ids_from_input_ids` of transformers has it.
        counted = ids[start:stop] != padding
        expected = np.cumsum(counted) * counted + padding
        assert positions[start:stop].tolist() == expected.tolist()


@given(CHUNKS)
def test_the_mean_is_over_the_whole_frame_and_nothing_behind_it(chunks: list[np.ndarray]) -> None:
    passes = Passes(OneHot(), CPU, FRAME, "mean")
    dense = passes.finish(passes.start(chunks)).dense
    assert dense is not None
    for vector, chunk in zip(dense, chunks, strict=True):
        ids = np.array([0, 7, 8, *chunk, 2])
        states = np.eye(100)[ids] + (np.arange(len(ids)) + 2)[:, None] / 1000
        mean = states.mean(0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)


@given(CHUNKS)
def test_cls_is_the_first_token(chunks: list[np.ndarray]) -> None:
    passes = Passes(OneHot(), CPU, FRAME, "cls")
    dense = passes.finish(passes.start(chunks)).dense
    assert dense is not None
    first = np.eye(100)[0] + 0.002
    np.testing.assert_allclose(dense, np.tile(first / np.linalg.norm(first), (len(chunks), 1)), atol=1e-6)


def test_a_token_that_the_model_does_not_know_never_reaches_the_device() -> None:
    passes = Passes(OneHot(), torch.device("meta"), FRAME, "mean")
    with pytest.raises(IndexError, match=r"token id 100: the model has 100 tokens"):
        passes.start([np.array([5, 100], np.int32)])


def test_without_pooling_there_is_no_dense_vector() -> None:
    passes = Passes(OneHot(), CPU, FRAME, None)
    assert passes.finish(passes.start([np.array([5], np.int32)])).dense is None
