"""The pure parts of the benchmark; its errors are shown, and those of samples asserted where the plan is tested."""

from typing import Any

import pytest

from benchmarks.plan import compare, halves, render


def about(value: float) -> dict[str, float]:
    return {"estimate": value, "low": value * 0.9, "high": value * 1.1}


PLAN: dict[str, Any] = {
    "sample": {"documents": 50},
    "documents": {"read": about(110)},
    "chunks": about(95),
    "tokens": about(1000),
    "languages": {"de": {"tokens": about(600)}, "en": {"tokens": about(900)}},
    "dataset_bytes": about(4000),
    "costs": [{"device": "nvidia-l4"}, {"device": "here", "wall_seconds": {"1": about(12)}}],
}
RECORD: dict[str, Any] = {
    "documents": {"read": 100},
    "chunks": {"split": 100},
    "tokens": 1000,
    "languages": {"de": {"tokens": 600}, "en": {"tokens": 450}, "fr": {"tokens": 100}, "xx": {"tokens": 1}},
    "seconds": 10.0,
}


def test_halves_do_not_depend_on_the_order_and_share_everything() -> None:
    documents = [{"document_id": f"d{number}"} for number in range(200)]
    first, second = halves(documents)
    assert len(first) + len(second) == 200
    assert 70 < len(first) < 130
    again, _ = halves(documents[::-1])
    assert {one["document_id"] for one in first} == {one["document_id"] for one in again}


def test_errors_are_shares_of_what_the_run_recorded() -> None:
    found = compare(PLAN, RECORD, 5000)
    assert found["documents"] == pytest.approx(0.1)
    assert found["chunks"] == pytest.approx(-0.05)
    assert found["tokens"] == 0
    assert found["dataset_bytes"] == pytest.approx(-0.2)
    assert found["seconds"] == pytest.approx(0.2)
    # Of de, en and fr, which the plan did not see; xx is too rare.
    assert found["languages"] == pytest.approx(1.0)
    assert found["inside"] == pytest.approx(4 / 6)


def test_the_table_says_whether_the_promise_is_kept() -> None:
    good, bad = compare(PLAN, RECORD, 5000), {**compare(PLAN, RECORD, 5000), "seconds": -0.3}
    result = {"documents": 100, "tokens": 1000, "seconds": 10.0, "plans": [good, bad], "other_load_cores": [0.0, 0.2]}
    text = render(result)
    assert "worst error of tokens: 0.0%, within 10%" in text
    assert "worst error of seconds: 30.0%, NOT within 25%" in text
    assert "other load 0.00 / 0.20" in text
    header, *rows = text.splitlines()[1:4]
    assert {len(row) for row in rows} == {len(header)}
