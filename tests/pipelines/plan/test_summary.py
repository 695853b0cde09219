import copy
from typing import Any

import pytest

from pipelines.configuration import options
from pipelines.configuration.config import Config
from pipelines.plan.summary import summarise_plan


def exact(value: float) -> dict[str, float]:
    return {"estimate": value, "low": value, "high": value}


def about(value: float) -> dict[str, float]:
    return {"estimate": value, "low": value * 0.9, "high": value * 1.1}


PLAN: dict[str, Any] = {
    "run_id": "run-1",
    "collection": "demo",
    "sample": {
        "confidence": 0.95,
        "reached_margin": 0.031,
        "seed": 0,
        "complete": False,
        "pieces": 1200,
        "pieces_read": 64,
        "pieces_begun": 0,
        "source_bytes": 40 << 20,
        "source_bytes_read": 2 << 20,
        "documents": 700,
    },
    "documents": {"read": about(10_000), "rejected": about(20), "unchanged": exact(0), "left_out": {"date": about(30)}},
    "rejects": {"record.malformed_record": about(20)},
    "rejects_of_an_unseen_reason": {"estimate": 0, "low": 0, "high": 53},
    "reject_fraction": 0.002,
    "chunks": about(30_000),
    "tokens": about(5_000_000),
    "repeats": about(100),
    "languages": {
        "de": {"documents": about(4000), "tokens": about(3e6), "tokens_per_character": 0.25, "premium": 1.1},
        "und": {"documents": about(10), "tokens": about(2e6), "tokens_per_character": None, "premium": None},
    },
    "documents_of_an_unseen_language": {"estimate": 0, "low": 0, "high": 47},
    "work": {"tokens_encoded": about(4_900_000), "chunks_with_known_vectors": about(50)},
    "currency": "EUR",
    "costs": [
        {
            "device": "here",
            "machine": None,
            "measured": True,
            "basis": "measured by run-0",
            "tokens_per_second": 15_000.2,
            "hours": about(0.1),
            "on_demand": None,
            "spot": None,
            "wall_seconds": {"1": about(360), "4": about(90)},
        },
        {
            "device": "nvidia-l4",
            "machine": "g2-standard-8",
            "measured": False,
            "basis": "estimated from the model's arithmetic",
            "tokens_per_second": 60_000,
            "hours": about(22.0),
            "on_demand": about(30.0),
            "spot": about(3.0),
            "wall_seconds": {"1": about(79_200), "4": about(0.5)},
        },
    ],
    "dataset_bytes": about(30 << 20),
    "files_written": {"dataset": 64, "ledger": 64},
    "milvus": [
        {"vectors": "float32", "dimensions": 384, "index": "HNSW", "memory_bytes": 50 << 20, "disk_bytes": 90 << 20}
    ],
    "milvus_field_bytes": about(20 << 20),
}


@pytest.fixture
def config() -> Config:
    return options.to_config({"input": "x", "workspace": "w", "milvus": "m.db", "collection": "demo", "model": "model"})


def test_a_plan_says_what_it_rests_on_and_how_sure_it_is(config: Config) -> None:
    text = summarise_plan(PLAN, config)
    assert "64 of 1,200 pieces, 2.0 MiB of 40.0 MiB; 700 documents looked into, seed 0" in text
    assert (
        "confidence  95%: so many of such samples have the truth between both ends; tokens are known within 3.1%"
        in text
    )
    assert "tokens      5,000,000 (4,500,000 - 5,500,000)" in text
    assert "documents   10,000 (9,000 - 11,000): 20 rejected, 30 left out (date)" in text
    assert "malformed_record 20 (18 - 22); 0.20% of all (limit 1.00%)" in text
    assert "of any other reason there are at most 53" in text
    assert "of any language that was not met there are at most 47 documents" in text
    assert "cannot be cut" not in text


def test_prices_and_times_are_readable(config: Config) -> None:
    here, priced = (
        line.split()
        for line in summarise_plan(PLAN, config).splitlines()
        if line.split()[:1] in (["here"], ["nvidia-l4"])
    )
    assert here[:3] == ["here", "-", "15,000"]
    assert (here[-1], priced[-1]) == ("measured", "estimated")
    assert "  here: measured by run-0; wall times are of the whole run\n" in summarise_plan(PLAN, config)
    assert "6 min" in " ".join(here)
    shown = " ".join(priced)
    assert "27 - 33" in shown
    assert "2.70 - 3.30" in shown
    assert "22.0 h under 1 s" in shown
    assert "EUR on demand" in summarise_plan(PLAN, config)


def test_what_is_exact_has_no_ends(config: Config) -> None:
    plan = copy.deepcopy(PLAN)
    plan["sample"]["complete"] = True
    plan["tokens"] = exact(77)
    plan["documents_of_an_unseen_language"] = exact(0)
    text = summarise_plan(plan, config)
    assert "not met" not in text
    assert "every document was looked into: what is counted is exact" in text
    assert "tokens      77\n" in text


def test_a_file_of_which_only_the_beginning_was_read_is_told_of(config: Config) -> None:
    plan = copy.deepcopy(PLAN)
    plan["sample"]["pieces_begun"] = 2
    assert "2 of the files cannot be cut and are too large to be read whole" in summarise_plan(plan, config)


def test_the_commonest_languages_are_shown(config: Config) -> None:
    plan = copy.deepcopy(PLAN)
    plan["languages"] = {
        f"l{number:02}": {**PLAN["languages"]["de"], "tokens": about(100 - number)} for number in range(25)
    }
    text = summarise_plan(plan, config)
    assert "l19" in text
    assert "l20" not in text
    assert "and 5 languages more (--json has them all)" in text


def test_a_plan_of_nothing_has_no_tables(config: Config) -> None:
    plan = copy.deepcopy(PLAN)
    plan["chunks"], plan["languages"] = exact(0), {}
    text = summarise_plan(plan, config)
    assert text.endswith("\n  nothing would be embedded\n")
    assert "HNSW" not in text
    assert "nvidia" not in text


def test_without_devices_it_says_how_to_name_some(config: Config) -> None:
    assert "no device is known: name some by --devices" in summarise_plan({**PLAN, "costs": []}, config)
