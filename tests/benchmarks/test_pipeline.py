"""The pure parts of the benchmark; its speeds are shown, never asserted."""

from typing import Any

import pytest

from benchmarks.pipeline import median_of, render, sample


def _documents(*ids: str) -> list[dict[str, Any]]:
    return [{"document_id": one, "text": one} for one in ids]


def _results() -> dict[str, dict[str, Any]]:
    return {
        "corpus-embed": {
            "seconds": 10.0,
            "load": 3.0,
            "chunks": 300,
            "peak_mib": 1500.0,
            "other_load_cores": 0.04,
            "stages": {"embed": 7.0, "load": 0.01},
        },
        "beam ml.rag": {"seconds": 25.0, "load": 2.0, "chunks": 310, "peak_mib": 2500.0, "other_load_cores": 0.04},
        "bare encoder": {"seconds": 5.0, "load": 3.0, "chunks": 300, "peak_mib": 1400.0, "other_load_cores": 0.04},
    }


def test_sample_does_not_depend_on_the_order_of_arrival() -> None:
    documents = _documents("a", "b", "c", "d", "e")
    assert sample(documents, 3) == sample(documents[::-1], 3)


def test_a_smaller_sample_is_the_start_of_a_larger_one() -> None:
    documents = _documents(*map(str, range(50)))
    assert sample(documents, 10) == sample(documents, 20)[:10]


@pytest.mark.parametrize("count", [None, 3, 99])
def test_sample_gives_every_document_when_asked_for_as_many(count: int | None) -> None:
    documents = _documents("a", "b", "c")
    chosen = sample(documents, count)
    assert sorted(one["document_id"] for one in chosen) == ["a", "b", "c"]


@pytest.mark.parametrize(("seconds", "middle"), [([2.0], 2.0), ([3.0, 1.0, 2.0], 2.0), ([4.0, 1.0, 3.0, 2.0], 2.0)])
def test_median_is_a_run_that_took_place(seconds: list[float], middle: float) -> None:
    runs = [{"seconds": one, "chunks": number} for number, one in enumerate(seconds)]
    assert median_of(runs) == {"seconds": middle, "chunks": seconds.index(middle)}


def test_table_is_aligned() -> None:
    header, *rows = render(_results(), documents=100, tokens=50_000).splitlines()[1:5]
    assert {len(row) for row in rows} == {len(header)}


def test_table_gives_rates_and_the_share_of_the_limit() -> None:
    ours = render(_results(), documents=100, tokens=50_000).splitlines()[2]
    assert ours.removeprefix("corpus-embed").split() == [
        "10.0",
        "3.0",
        "10.0",
        "30.0",
        "5,000",
        "300",
        "1,500",
        "0.50",
        "0.04",
    ]


def test_below_the_table_stand_the_ratio_and_where_the_time_goes() -> None:
    text = render(_results(), documents=100, tokens=50_000)
    assert "takes 2.00 of the bare encoder's time and is 2.5 times as fast as beam ml.rag" in text
    assert "embed 7.0, the rest (planning, Beam, Milvus Lite) 3.0" in text
    assert "load" not in text.splitlines()[-1].split(", the rest")[0]
