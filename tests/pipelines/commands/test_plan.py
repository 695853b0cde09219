"""What `plan` says holds when the run follows, and it touches nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from tests.pipelines.jobs import Job, document, story
from transforms.adapters import sampling
from transforms.adapters.milvus import release

Plan = dict[str, Any]


def plan(job: Job, capsys: pytest.CaptureFixture[str], *flags: str, code: int = 0, **changes: Any) -> Plan:
    """What `plan --json` prints."""
    capsys.readouterr()
    assert cli.main(["plan", *job.flags(**changes), "--json", *flags]) == code
    found: Plan = json.loads(capsys.readouterr().out)
    return found


def exact(estimate: Mapping[str, float]) -> float:
    assert estimate["low"] == estimate["estimate"] == estimate["high"]
    return estimate["estimate"]


@pytest.fixture
def mixed(job: Job) -> Job:
    """Documents of three languages in files of four kinds, with records of every fate that shows before vectors are made."""
    job.write("a.jsonl", [document(f"a{number}", story(f"a{number}", 1 + number % 7)) for number in range(40)])
    job.write("b.jsonl.gz", [document(f"b{number}", f"Zeile {number}. " * number, "de") for number in range(30)])
    job.write("c.parquet", [document(f"c{number}", story("same", 4), "fr") for number in range(20)])
    bad: list[Mapping[str, Any] | bytes] = [
        b"not JSON",
        {"text": "no id"},
        document("empty", " "),
        document("a1", story("again", 2)),
    ]
    job.write("d.jsonl", [*bad, document("d1", "x" * 200), document("d2", story("a5", 6))])
    return job


def test_a_plan_of_everything_is_what_the_run_then_records(mixed: Job, capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(mixed, capsys, "--margin", "0")
    record = mixed.run()
    assert found["run_id"] == record["run_id"]
    assert found["sample"]["complete"]
    assert exact(found["documents"]["read"]) == record["documents"]["read"] == 96
    assert exact(found["documents"]["rejected"]) == record["documents"]["rejected"] > 0
    assert {name: exact(one) for name, one in found["rejects"].items()} == record["rejects"]
    assert found["reject_fraction"] == pytest.approx(record["reject_fraction"], abs=1e-6)
    assert exact(found["chunks"]) == record["chunks"]["split"]
    assert exact(found["tokens"]) == record["tokens"]
    assert exact(found["repeats"]) == record["chunks"]["duplicates"] > 0
    assert exact(found["work"]["tokens_encoded"]) == record["stages"]["embed"]["tokens"]
    shards = list((mixed.workspace / "dataset").rglob("*.parquet"))
    assert found["files_written"]["dataset"] == len(shards)
    assert exact(found["dataset_bytes"]) == pytest.approx(sum(path.stat().st_size for path in shards), rel=0.1)
    languages = {
        language: {
            name: exact(counted[name]) for name in ("documents", "mixed", "chunks", "tokens", "characters", "bytes")
        }
        for language, counted in found["languages"].items()
    }
    assert languages == {
        language: {name: counted[name] for name in ("documents", "mixed", "chunks", "tokens", "characters", "bytes")}
        for language, counted in record["languages"].items()
    }
    for language, counted in record["languages"].items():
        assert found["languages"][language]["tokens_per_character"] == pytest.approx(
            counted["tokens_per_character"], abs=1e-4
        )
        assert found["languages"][language]["premium"] == pytest.approx(counted["premium"], abs=1e-3)


def test_a_plan_of_an_incremental_run_knows_what_stays_and_what_is_known(
    mixed: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed.run()
    changed = [document(f"a{number}", story(f"a{number}", 1 + number % 7)) for number in range(40)]
    changed[3] = document("a3", story("quite new", 9))
    changed[4] = document("a4", story("a4", 5), date="2026-04-02")
    mixed.write("a.jsonl", changed)
    found = plan(mixed, capsys, "--margin", "0")
    record = mixed.run()
    assert exact(found["documents"]["unchanged"]) == record["documents"]["unchanged"] > 80
    assert exact(found["work"]["tokens_encoded"]) == record["stages"]["embed"]["tokens"] > 0
    assert exact(found["work"]["chunks"]) == record["chunks"]["split"]
    known = record["chunks"]["split"] - record["vectors"]["encoded"]
    assert exact(found["work"]["chunks_with_known_vectors"]) == known >= record["vectors"]["reused"] > 0
    rerun = plan(mixed, capsys, "--margin", "0")
    assert exact(rerun["work"]["tokens_encoded"]) == 0
    # The second document of an id is held by no ledger, so that every run looks into it.
    assert exact(rerun["work"]["chunks"]) == 1
    recheck = mixed.flags()
    capsys.readouterr()
    assert cli.main(["plan", *recheck, "--recheck", "--margin", "0", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert exact(again["documents"]["unchanged"]) == 0
    assert exact(again["work"]["chunks_with_known_vectors"]) == exact(again["chunks"])


def test_time_is_reckoned_by_the_pace_of_earlier_runs(mixed: Job, capsys: pytest.CaptureFixture[str]) -> None:
    before = plan(mixed, capsys)
    assert {cost["measured"] for cost in before["costs"]} == {False}
    record = mixed.run()
    here = plan(mixed, capsys, "--workers", "1,2", collection="other")["costs"][0]
    assert (here["device"], here["measured"], here["on_demand"]) == ("here", True, None)
    assert here["basis"] == f"measured by {record['run_id']}"
    one, two = (here["wall_seconds"][workers]["estimate"] for workers in ("1", "2"))
    assert 0 < two < one


def _files_below(home: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(home.rglob("*")) if path.is_file()}


def test_nothing_is_written_and_no_model_is_loaded(
    mixed: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a plan loads no weights and opens no Milvus")

    monkeypatch.setattr("pipelines.preflight.run_plan.open_encoder", refuse)
    monkeypatch.setattr("transforms.adapters.milvus.collection.Collection.__init__", refuse)
    before = _files_below(mixed.home)
    assert plan(mixed, capsys)["sample"]["documents"] > 0
    assert _files_below(mixed.home) == before
    assert not mixed.workspace.exists()
    assert not mixed.milvus.exists()
    monkeypatch.undo()


def test_a_plan_beside_a_workspace_changes_nothing_there(mixed: Job, capsys: pytest.CaptureFixture[str]) -> None:
    mixed.run()
    release(str(mixed.milvus))
    before = _files_below(mixed.home)
    plan(mixed, capsys)
    assert _files_below(mixed.home) == before


def is_near(forecast: dict[str, float], value: float) -> bool:
    """Whether a value lies in an interval made three times as wide.

    Which documents are sampled follows from where their files lie, which differs from run to run, and one interval in a hundred misses;
    how often they do is a test of `transforms.logic.forecast`.
    """
    width = forecast["high"] - forecast["low"]
    return forecast["low"] - width <= value <= forecast["high"] + width


def test_a_sample_tells_of_the_whole_within_its_interval(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(300):
        lang, lengths = ("en", "de", "fr")[number // 100], [1 + number * one % 13 for one in range(3 + number % 7)]
        records = [
            document(f"{number}-{one}", story(f"{number}-{one}", length), lang) for one, length in enumerate(lengths)
        ]
        job.write(f"{number:03}.jsonl", records)
    whole = plan(job, capsys, "--margin", "0")
    part = plan(job, capsys, "--margin", "0.1", "--confidence", "0.99")
    assert not part["sample"]["complete"]
    assert part["sample"]["documents"] < 2000
    assert part["sample"]["reached_margin"] <= 0.1
    for name in ("tokens", "chunks"):
        assert is_near(part[name], exact(whole[name]))
        assert part[name]["low"] < part[name]["high"]
    for language in ("en", "de", "fr"):
        tokens = exact(whole["languages"][language]["tokens"])
        assert is_near(part["languages"][language]["tokens"], tokens)
    assert plan(job, capsys, "--margin", "0.1", "--confidence", "0.99") == part
    assert plan(job, capsys, "--margin", "0.1", "--seed", "1")["tokens"] != part["tokens"]
    assert plan(job, capsys, "--sample-size", "500")["sample"]["documents"] >= 500


def test_a_file_that_is_too_large_to_be_read_ends_the_search(
    job: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "MOST_READ_BYTES", 50_000)
    job.write("a.jsonl.gz", [document(f"a{number}", story(f"a{number}", 1 + number % 9)) for number in range(6000)])
    found = plan(job, capsys, "--margin", "0.001")
    assert (found["sample"]["pieces_begun"], found["sample"]["complete"]) == (1, False)
    assert found["documents"]["read"]["estimate"] == pytest.approx(6000, rel=0.1)
    whole = plan(job, capsys, "--margin", "0")
    assert whole["sample"]["complete"]
    assert found["tokens"]["estimate"] == pytest.approx(exact(whole["tokens"]), rel=0.1)


def test_documents_up_to_a_limit_are_those_of_the_run(mixed: Job, capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(mixed, capsys, "--margin", "0", limit=25)
    record = mixed.run(limit=25)
    assert exact(found["documents"]["read"]) == record["documents"]["read"]
    assert exact(found["tokens"]) == record["tokens"]
    assert sum(map(exact, found["documents"]["left_out"].values())) == record["documents"]["left_out"]


def test_languages_that_are_not_kept_are_left_out(mixed: Job, capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(mixed, capsys, "--margin", "0", keep_languages="de")
    record = mixed.run(keep_languages="de")
    assert set(found["languages"]) == {"de"}
    assert exact(found["tokens"]) == record["tokens"]
    assert exact(found["documents"]["left_out"]["language"]) == record["left_out"]["documents"]["language"] > 0


def test_a_run_that_would_fail_by_its_rejects_is_told_of(mixed: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", *mixed.flags(max_reject_fraction=0.001), "--margin", "0"]) == 0
    assert "OVER THE LIMIT: the run would end with exit code 4" in capsys.readouterr().out


def test_the_plan_of_a_publication_is_of_a_fresh_collection(mixed: Job, capsys: pytest.CaptureFixture[str]) -> None:
    mixed.run()
    found = plan(mixed, capsys, "--margin", "0", collection=None, publish="live")
    assert found["collection"] == "live"
    assert exact(found["documents"]["unchanged"]) == 0
    assert exact(found["work"]["tokens_encoded"]) == 0
    assert exact(found["work"]["chunks_with_known_vectors"]) == exact(found["chunks"])


def test_all_outputs_have_sizes(job: Job, heads: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job.write("a.jsonl", [document(f"a{number}", story(f"a{number}", 3)) for number in range(20)])
    dense = plan(job, capsys, model=heads)
    found = plan(job, capsys, model=heads, outputs="dense,sparse,multi")
    assert {"sparse", "multi"} <= {one["vectors"] for one in found["milvus"]}
    assert found["dataset_bytes"]["estimate"] > dense["dataset_bytes"]["estimate"]


def test_a_corpus_of_no_documents_is_planned_too(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.write("a.jsonl", [b"not JSON"])
    found = plan(job, capsys)
    assert exact(found["tokens"]) == 0
    assert exact(found["documents"]["rejected"]) == 1
    assert cli.main(["plan", *job.flags()]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--confidence", "1"], "--confidence 1 is no share between 0 and 1"),
        (["--margin", "0.7"], "--margin 0.7: choose from 0, which looks into everything, to 0.5"),
        (["--sample-size", "0"], "--sample-size 0: choose 1 or more documents"),
        (["--workers", "1,none"], "--workers '1,none': numbers above 0 with commas are needed"),
        (["--devices", "nowhere.toml"], "--devices 'nowhere.toml' cannot be read"),
        (["--max-tokens", "500"], "--max-tokens 500 does not fit"),
        (["--input", "nowhere/*"], "no file matches the input"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_read(
    mixed: Job, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert cli.main(["plan", *mixed.flags(), *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_collection_of_another_space_is_refused(mixed: Job, capsys: pytest.CaptureFixture[str]) -> None:
    mixed.run()
    assert cli.main(["plan", *mixed.flags(document_prompt="another: ")]) == 2
    assert "holds vectors of another space" in capsys.readouterr().err
