import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.forecast import READ, STRATA, Looked, Piece, Sample, chosen, factor_to, stratify
from transforms.logic.forecast_intervals import Estimate

Document = tuple[int, int, float]
"""Bytes, language and tokens."""
CONFIDENCE = 0.9
CORPORA = 60


def make_corpus(seed: int, pieces: int, documents: int, tail: float) -> list[list[Document]]:
    """Pieces of neighbouring documents that mostly have one language; lengths are lognormal, and their tail grows with `tail`."""
    chance = np.random.default_rng(seed)
    corpus = []
    language = 0
    for _ in range(pieces):
        language = int(chance.integers(4)) if chance.random() < 0.1 else language
        piece = []
        for _ in range(chance.poisson(documents)):
            own = language if chance.random() < 0.8 else int(chance.integers(4))
            size = max(20, int(chance.lognormal(7, tail)))
            piece.append((size, own, size * (0.2 + 0.1 * own) * chance.uniform(0.8, 1.2)))
        corpus.append(piece)
    return corpus


def figures(document: Document) -> dict[str, float]:
    size, language, tokens = document
    return {
        "text_bytes": size,
        "tokens": tokens,
        f"documents.{language}": 1.0,
        f"tokens.{language}": tokens,
    }


def looked(piece: list[Document], numbers: Iterator[int] | range) -> Looked:
    """A piece of which some documents were looked into; long ones are counted in all."""
    long = sum(1 for size, _, _ in piece if size > 5000)
    measured = [figures(piece[number]) for number in numbers]
    return Looked({"long": long}, len(piece), len(piece), sum(size for size, _, _ in piece), measured)


def sample_of(corpus: list[list[Document]], seed: int, per_stratum: int, most: int | None) -> Sample:
    pieces = [
        Piece("jsonl", f"{seed}/{number}", sum(size for size, _, _ in piece) + 40 * len(piece) + 1)
        for number, piece in enumerate(corpus)
    ]
    strata = stratify(pieces, seed)
    chance = np.random.default_rng(seed + 1)
    found = {}
    for number in chosen(strata, per_stratum):
        order = chance.permutation(len(corpus[number]))
        found[number] = looked(corpus[number], iter(order[:most].tolist()))
    return Sample(pieces, strata, found)


def truth(corpus: list[list[Document]]) -> dict[str, float]:
    everything = [figures(document) for piece in corpus for document in piece]
    return {
        "tokens": sum(one["tokens"] for one in everything),
        "documents.1": sum(one.get("documents.1", 0) for one in everything),
        "long": sum(one["text_bytes"] > 5000 for one in everything),
    }


@pytest.mark.parametrize(
    ("pieces", "documents", "tail", "per_stratum", "most"),
    [
        (400, 15, 1.0, 2, None),
        (150, 50, 1.0, 2, 16),
        (400, 15, 1.8, 2, None),
        (1, 3000, 1.0, 2, 300),
        (3000, 1, 1.2, 8, None),
    ],
    ids=["windows", "two stages", "heavy tail", "one piece", "tiny files"],
)
def test_intervals_hold_the_truth_about_as_often_as_they_say(
    pieces: int, documents: int, tail: float, per_stratum: int, most: int | None
) -> None:
    """With 60 corpora, 0.9 may come out between 0.78 and 1 by chance (three standard errors)."""
    hits = {"tokens": 0, "documents.1": 0, "long": 0}
    errors = []
    for seed in range(CORPORA):
        corpus = make_corpus(seed, pieces, documents, tail)
        sample = sample_of(corpus, seed, per_stratum, most)
        true = truth(corpus)
        for name in hits:
            estimate = sample.total(name, CONFIDENCE)
            hits[name] += estimate.low - 1e-6 <= true[name] <= estimate.high + 1e-6
        errors.append(sample.total("tokens", CONFIDENCE).value / true["tokens"] - 1)
    spread = math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / CORPORA)
    assert hits["tokens"] / CORPORA >= CONFIDENCE - 3 * spread
    # Languages lie in runs, so that few strata tell of one.
    assert hits["documents.1"] / CORPORA >= CONFIDENCE - 4 * spread
    assert hits["long"] / CORPORA >= CONFIDENCE - 3 * spread
    assert abs(np.mean(errors)) < 3 * np.std(errors) / math.sqrt(CORPORA) + 0.005


def test_a_lower_confidence_gives_a_narrower_interval_that_misses_more() -> None:
    """Intervals are not wide for safety's sake: at one half they miss about as often as they hit."""
    hits = 0
    for seed in range(CORPORA):
        corpus = make_corpus(seed, 300, 15, 1.0)
        estimate = sample_of(corpus, seed, 2, None).total("tokens", 0.5)
        hits += estimate.low <= truth(corpus)["tokens"] <= estimate.high
    assert 0.3 < hits / CORPORA < 0.7


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 80), st.integers(0, 12))
def test_a_sample_of_everything_is_exact(seed: int, pieces: int, documents: int) -> None:
    corpus = make_corpus(seed, pieces, documents, 1.0)
    sample = sample_of(corpus, seed, pieces, None)
    assert sample.is_complete
    for name, value in truth(corpus).items():
        estimate = sample.total(name, CONFIDENCE)
        assert estimate.is_exact
        assert estimate.value == pytest.approx(value)
    assert sample.unseen_records(CONFIDENCE) == sample.unseen_documents(CONFIDENCE) == Estimate(0, 0, 0)


def test_what_is_counted_in_every_piece_is_exact_though_documents_are_sampled() -> None:
    corpus = make_corpus(1, 40, 30, 1.0)
    sample = sample_of(corpus, 1, 40, 5)
    assert not sample.is_complete
    assert sample.total("long", CONFIDENCE) == Estimate(*[truth(corpus)["long"]] * 3)
    assert not sample.total("tokens", CONFIDENCE).is_exact


def test_a_piece_of_which_only_the_beginning_was_read_makes_nothing_exact() -> None:
    whole = Looked({"long": 3.0}, 10, 1, 100, [{"text_bytes": 100, "tokens": 25.0}])
    begun = Looked({"long": 3.0}, 10, 1, 100, [{"text_bytes": 100, "tokens": 25.0}], whole=False)
    pieces = [Piece("text", "a", 100)]
    strata = stratify(pieces, 0)
    assert Sample(pieces, strata, {0: whole}).is_complete
    assert not Sample(pieces, strata, {0: begun}).is_complete


def test_an_interval_never_begins_below_what_was_seen() -> None:
    for seed in range(20):
        sample = sample_of(make_corpus(seed, 100, 5, 1.8), seed, 2, 3)
        for name in sample.names():
            seen = sum(
                one.counted.get(name, 0) + sum(measured.get(name, 0) for measured in one.measured)
                for one in sample.looked.values()
            )
            estimate = sample.total(name, 0.99)
            assert estimate.low >= seen - 1e-9
            assert estimate.low <= estimate.value + 1e-9 <= estimate.high + 2e-9


def test_of_what_was_not_seen_there_may_be_some() -> None:
    sample = sample_of(make_corpus(0, 500, 10, 1.0), 0, 2, None)
    records = sum(one.records for one in sample.looked.values())
    estimate = sample.unseen_records(0.95)
    assert estimate.value == estimate.low == 0
    # Nothing in n is at most 3.7 in n, at this confidence on both sides.
    assert estimate.high == pytest.approx(3.7 / records * 5000, rel=0.15)


def test_where_neighbours_are_alike_more_may_be_unseen() -> None:
    """Of 50 documents with one language in each piece a sample tells about as much as of one: an unseen language may fill whole pieces."""
    alike = [[(1000, number % 5, 300.0)] * 50 for number in range(400)]
    mixed = [[(1000, place % 5, 300.0) for place in range(50)] for _ in range(400)]
    of_alike, of_mixed = (sample_of(corpus, 0, 2, 10).unseen_documents(0.95).high for corpus in (alike, mixed))
    assert 5 * of_mixed < of_alike < 15 * of_mixed


def with_rare_languages(corpus: list[list[Document]], seed: int, own: float) -> list[list[Document]]:
    """The same with languages of which each is half as common as the one before; a share `own` of each piece has one language."""
    chance = np.random.default_rng(seed)
    changed = []
    for piece in corpus:
        language = int(chance.geometric(0.5))
        languages = [language if chance.random() < own else int(chance.geometric(0.5)) for _ in piece]
        changed.append([(size, one, tokens) for one, (size, _, tokens) in zip(languages, piece, strict=True)])
    return changed


@pytest.mark.parametrize("own", [0.0, 0.8], ids=["anywhere", "by piece"])
def test_intervals_of_what_few_documents_have_hold_the_truth_too(own: float) -> None:
    """Tokens of each language that was met in at most 30 documents, whose lengths differ much, over many corpora."""
    hits, met, above = 0, 0, 0
    for seed in range(30):
        corpus = with_rare_languages(make_corpus(seed, 150, 40, 1.8), seed, own)
        sample = sample_of(corpus, seed, 2, 8)
        languages = Counter(language for piece in corpus for _, language, _ in piece)
        for language in languages:
            seen = sum(f"documents.{language}" in measured for one in sample.looked.values() for measured in one.each)
            if 0 < seen <= 30:
                true = sum(tokens for piece in corpus for _, own, tokens in piece if own == language)
                estimate = sample.total(f"tokens.{language}", CONFIDENCE)
                met += 1
                hits += estimate.low <= true <= estimate.high
                above += true > estimate.high
    assert met >= 25
    assert hits / met >= CONFIDENCE - 2 * math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / met)
    assert above / met <= (1 - CONFIDENCE) / 2 + 2 * math.sqrt(0.05 * 0.95 / met)


def test_documents_that_were_looked_into_for_their_length_stand_for_themselves_alone() -> None:
    long = {"text_bytes": 9000.0, "tokens": 2000.0, "documents.de": 1.0}
    drawn = [{"text_bytes": 100.0, "tokens": 30.0, "documents.en": 1.0}] * 2
    one = Looked({}, 11, 11, 10_000, drawn, certain=[long])
    pieces = [Piece("text", "a", 10_000)]
    sample = Sample(pieces, stratify(pieces, 0), {0: one})
    assert sample.documents == 3
    assert sample.total("tokens", CONFIDENCE) == Estimate(*[2000.0 + 10 * 30] * 3)
    assert sample.total("documents.en", CONFIDENCE).value == 10
    assert sample.total("documents.de", CONFIDENCE).value == 1
    assert not sample.is_complete
    assert Sample(pieces, stratify(pieces, 0), {0: replace(one, documents=3)}).is_complete


@given(
    st.lists(st.tuples(st.sampled_from(["jsonl", "parquet", "jsonl.gz"]), st.integers(0, 10**6)), max_size=200),
    st.integers(0, 5),
)
def test_strata_share_out_every_piece_once(described: list[tuple[str, int]], seed: int) -> None:
    pieces = [Piece(kind, f"{number}", size) for number, (kind, size) in enumerate(described)]
    strata = stratify(pieces, seed)
    assert sorted(number for stratum in strata for number in stratum.pieces) == list(range(len(pieces)))
    assert all(pieces[number].kind == stratum.kind for stratum in strata for number in stratum.pieces)
    # One for each kind may hold a single piece, and each large piece has one.
    assert len(strata) <= 2 * STRATA + 3 + 3
    assert stratify(pieces, seed) == strata


def test_a_larger_sample_contains_the_smaller_one_and_another_seed_is_another_sample() -> None:
    pieces = [Piece("jsonl", f"{number}", 100) for number in range(1000)]
    strata = stratify(pieces, 0)
    assert set(chosen(strata, 2)) < set(chosen(strata, 4))
    assert chosen(strata, 2) != chosen(stratify(pieces, 1), 2)


def test_a_piece_that_holds_much_of_the_corpus_is_always_chosen() -> None:
    pieces = [Piece("jsonl", f"{number}", 10) for number in range(1000)]
    pieces[500] = Piece("jsonl", "500", 10**6)
    assert all(500 in chosen(stratify(pieces, seed), 2) for seed in range(10))


def test_how_much_more_is_needed_grows_with_the_square_of_the_width() -> None:
    assert factor_to(Estimate(100, 80, 120), 0.1) == pytest.approx(4)
    assert factor_to(Estimate(100, 100, 100), 0) == 1
    assert factor_to(Estimate(100, 99, 101), 0) == math.inf


def test_what_files_say_of_their_records_is_not_estimated() -> None:
    told = [Piece("parquet", f"p{number}", 100, records=7) for number in range(100)]
    others = [Piece("jsonl", f"j{number}", 100) for number in range(100)]
    one = Looked({READ: 3.0}, 3, 3, 90, [{"text_bytes": 30.0}] * 3)
    for pieces, exact in ((told, True), ([*told, *others], False)):
        strata = stratify(pieces, 0)
        numbers = chosen(strata, 2)
        looked = {number: replace(one, counted={READ: 2.0 + number % 3}) for number in numbers}
        estimate = Sample(pieces, strata, looked).total(READ, CONFIDENCE)
        assert estimate.is_exact == exact
        assert estimate.value == (700 if exact else pytest.approx(1000, rel=0.1))


def test_a_corpus_of_nothing_has_nothing() -> None:
    assert Sample([], stratify([], 0), {}).total("tokens", 0.9) == Estimate(0, 0, 0)
