"""The benchmark of representations: its texts, its halves and its figures."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.compression import METHODS, Texts, evaluate, language_table, ours, read_articles, read_corpus, table
from transforms.logic.vectors import Float32, unit_rows

LANGUAGES = ("de", "en", "fr")
TOPICS = tuple(f"{number:02}" for number in range(24))
FULL = 16


def _texts() -> Texts:
    return Texts.of({(language, topic): f"{language} {topic}" for language in LANGUAGES for topic in TOPICS}, "en")


def _vectors(noise: float, seed: int = 0) -> Float32:
    """A direction for each topic, and noise of its own for each text; ordered as the texts are."""
    generator = np.random.default_rng(seed)
    topics = generator.standard_normal((len(TOPICS), FULL))
    noises = noise * generator.standard_normal((len(LANGUAGES), len(TOPICS), FULL))
    return unit_rows((topics + noises).reshape(-1, FULL).astype(np.float32))


def _package(pages: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for code, page in pages.items():
            member = tarfile.TarInfo(f"package/declaration/{code}.html")
            member.size = len(page.encode())
            archive.addfile(member, io.BytesIO(page.encode()))
    return stream.getvalue()


def _page(code: str, articles: int = 30) -> str:
    numbers = range(1, articles + 1)
    return "".join(
        f'<article data-number="{n}">\n<h2>Article {n}</h2>\n<p>{code}&amp;\n {n:02}</p><p>more</p></article>'
        for n in numbers
    )


def test_the_sample_corpus_is_parallel(sample_corpus: Path) -> None:
    texts = read_corpus(sample_corpus)
    assert (len(set(texts.topics)), len(set(texts.languages)), len(texts.texts)) == (20, 15, 300)
    assert (texts.languages[0], texts.topics[0], texts.pivot) == ("ar", "bicycles", "en")
    assert len(set(texts.texts)) == 300


def test_articles_come_without_the_headings_that_would_give_them_away() -> None:
    texts = read_articles(_package({code: _page(code) for code in ("eng", "deu", "fra")}), ["deu"])
    assert texts.texts[:2] == ("deu& 01 more", "deu& 02 more")
    assert sorted(set(texts.languages)) == ["deu", "eng"]
    assert len(texts.texts) == 60


@pytest.mark.parametrize("pages", [{"eng": _page("eng")}, {"eng": _page("eng"), "deu": _page("deu", 29)}])
def test_a_language_without_all_articles_is_refused(pages: dict[str, str]) -> None:
    with pytest.raises(SystemExit, match=r"--languages deu: the package has (0|29) articles"):
        read_articles(_package(pages), ["deu"])


def test_topics_that_a_language_lacks_are_left_out() -> None:
    texts = Texts.of({("en", "a"): "1", ("de", "a"): "2", ("en", "b"): "3"}, "en")
    assert (texts.texts, texts.languages, texts.topics) == (("2", "1"), ("de", "en"), ("a", "a"))


def test_full_precision_of_clear_topics_is_perfect() -> None:
    figures = evaluate(_texts(), _vectors(0.01), METHODS["float32"][1], FULL)
    assert figures.top1 == {"de": 1, "fr": 1}
    assert (figures.r_precision, figures.overlap, figures.rescored) == (1, 1, 1)


def test_no_text_is_evaluated_with_statistics_of_its_own() -> None:
    vectors = _vectors(0.5)
    seen = []

    def quantise(fit: Float32, evaluated: Float32, dimensions: int) -> Float32:
        rows = {row.tobytes() for row in fit}, {row.tobytes() for row in evaluated}
        assert not rows[0] & rows[1]
        assert rows[0] | rows[1] == {row.tobytes() for row in vectors}
        seen.append(rows[1])
        return evaluated

    evaluate(_texts(), vectors, quantise, FULL)
    assert len(seen) == 2
    assert not seen[0] & seen[1]


def test_figures_are_those_of_a_search_by_hand() -> None:
    texts, vectors = _texts(), _vectors(1.2)
    figures = evaluate(texts, vectors, METHODS["int8"][1], 8)
    hits: dict[str, list[float]] = {"de": [], "fr": []}
    precisions, overlaps, rescored = [], [], []
    for half in (0, 1):
        rows = [n for n, topic in enumerate(texts.topics) if int(topic) % 2 == half]
        others = [n for n, topic in enumerate(texts.topics) if int(topic) % 2 != half]
        kept = dict(zip(rows, ours("int8", vectors[others], vectors[rows], 8), strict=True))
        for query in rows:
            pool = [n for n in rows if texts.languages[n] != texts.languages[query]]
            found = sorted(pool, key=lambda n: -float(kept[query] @ kept[n]))
            exact = sorted(pool, key=lambda n: -float(vectors[query] @ vectors[n]))
            if texts.languages[query] != "en":
                best = next(n for n in found if texts.languages[n] == "en")
                hits[texts.languages[query]].append(texts.topics[best] == texts.topics[query])
            precisions.append(sum(texts.topics[n] == texts.topics[query] for n in found[:2]) / 2)
            overlaps.append(len(set(found[:10]) & set(exact[:10])) / 10)
            wide = sorted(found[:40], key=exact.index)
            rescored.append(len(set(wide[:10]) & set(exact[:10])) / 10)
    assert figures.top1 == pytest.approx({language: np.mean(of_language) for language, of_language in hits.items()})
    assert figures.r_precision == pytest.approx(np.mean(precisions))
    assert figures.overlap == pytest.approx(np.mean(overlaps))
    assert figures.rescored == pytest.approx(np.mean(rescored))


def test_of_equal_answers_one_is_drawn() -> None:
    figures = evaluate(_texts(), _vectors(0.1), lambda fit, evaluated, dimensions: np.ones_like(evaluated), FULL)
    assert figures.top1 == pytest.approx({"de": 1 / 12, "fr": 1 / 12})


def test_tables_have_a_row_for_each_way_and_each_language() -> None:
    texts, vectors = _texts(), _vectors(0.5)
    rows = [line for line in table(texts, vectors, [FULL, 8]).splitlines() if line]
    assert [row.split("  ")[0] for row in rows[1:]] == [*METHODS, *METHODS]
    assert [row.split()[:3] for row in rows if row.startswith("binary ")] == [
        ["binary", "16", "2"],
        ["binary", "8", "1"],
    ]
    assert [row.split()[0] for row in language_table(texts, vectors).splitlines()][1:] in (["de", "fr"], ["fr", "de"])
