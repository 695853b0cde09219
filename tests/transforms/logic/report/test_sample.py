"""What may be seen of a corpus in a sample."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reports import LANGUAGES, sample
from transforms.logic.report.sample import ReportSample, SampledChunk, balanced, crossing_share, examples
from transforms.logic.vectors import unit_rows


@given(st.lists(st.sampled_from("abcd"), max_size=60), st.integers(0, 40))
def test_every_language_gets_equally_many_places_as_far_as_it_has_them(languages: list[str], most: int) -> None:
    places = balanced(languages, most)
    assert places == sorted(set(places))
    assert len(places) == min(most, len(languages))
    counts, available = Counter(languages[place] for place in places), Counter(languages)
    fewest = min((counts[one] for one in available if counts[one] < available[one]), default=most)
    assert all(count <= fewest + 1 for count in counts.values())
    for language in available:
        own = [index for index, one in enumerate(languages) if one == language]
        assert [place for place in places if languages[place] == language] == own[: counts[language]]


def test_examples_are_translations_and_of_different_languages() -> None:
    found = examples(sample(noise=0.1))
    assert len({one.chunk.language for one in found}) == len(found) == len(LANGUAGES)
    for one in found:
        topic = one.chunk.document_id.split("-")[0]
        assert [near.chunk.document_id.split("-")[0] for near in one.neighbours] == [topic] * 3
        assert one.chunk.language not in {near.chunk.language for near in one.neighbours}
        similarities = [near.similarity for near in one.neighbours]
        assert similarities == sorted(similarities, reverse=True)
        assert len({near.chunk.language for near in one.neighbours}) == 3


@pytest.mark.parametrize(("languages", "neighbours"), [("a", None), ("ab", 1), ("abc", 2), ("abcde", 3)])
def test_a_corpus_of_few_languages_has_neighbours_in_those_that_it_has(languages: str, neighbours: int | None) -> None:
    vectors = unit_rows(np.random.default_rng(2).normal(size=(20, 8)).astype(np.float32))
    chunks = [SampledChunk(f"d{index}", 0, languages[index % len(languages)], str(index)) for index in range(20)]
    found = examples(ReportSample(chunks, vectors))
    assert {len(one.neighbours) for one in found} == (set() if neighbours is None else {neighbours})


def test_a_copy_is_no_neighbour() -> None:
    vectors = np.ones((4, 2), np.float32) / np.sqrt(2, dtype=np.float32)
    chunks = [SampledChunk(f"d{index}", 0, language, "42") for index, language in enumerate("abcd")]
    assert examples(ReportSample(chunks, vectors)) == []


def test_how_many_have_their_nearest_chunk_in_another_language() -> None:
    assert crossing_share(sample(noise=0.1)) == 1.0
    chunks = [SampledChunk(f"d{index}", 0, language, str(index)) for index, language in enumerate("aabb")]
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32)
    assert crossing_share(ReportSample(chunks, vectors)) == 0.0
    assert crossing_share(ReportSample(chunks[:2], vectors[:2])) is None
    assert crossing_share(ReportSample([], np.empty((0, 0), np.float32))) is None
