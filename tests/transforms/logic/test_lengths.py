"""Histograms of lengths with bins that are fixed beforehand."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.lengths import CHUNK_BINS, describe_lengths, document_edges, length_counts

chunks = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 512)), max_size=60)


@given(chunks, st.integers(512, 8192))
def test_every_chunk_and_document_lies_in_the_bin_of_its_tokens(found: list[tuple[int, int]], max_tokens: int) -> None:
    bins = describe_lengths(length_counts(found, max_tokens), max_tokens)
    documents: Counter[int] = Counter()
    for document, tokens in found:
        documents[document] += tokens
    for name, lengths in (("chunks", [tokens for _, tokens in found]), ("documents", list(documents.values()))):
        assert sum(one["count"] for one in bins[name]) == len(lengths)
        for one in bins[name]:
            assert one["count"] == sum(one["from"] <= length <= one["to"] for length in lengths)
        assert all(after["from"] == before["to"] + 1 for before, after in pairwise(bins[name]))
        if bins[name]:
            assert bins[name][0]["count"]
            assert bins[name][-1]["count"]
    assert len(bins["chunks"]) <= CHUNK_BINS


@given(chunks, chunks)
def test_counts_of_workers_add_up(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    apart = Counter(length_counts(((("a", one), tokens) for one, tokens in left), 512))
    apart.update(length_counts(((("b", one), tokens) for one, tokens in right), 512))
    together = [*((("a", one), tokens) for one, tokens in left), *((("b", one), tokens) for one, tokens in right)]
    assert dict(apart) == length_counts(together, 512)


def test_bins_of_documents_double_every_second_step() -> None:
    assert document_edges()[:10] == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
