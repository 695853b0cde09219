from typing import Any

import pytest

from transforms.logic.forecast_costs import HERE, Device, Work, costs, paces
from transforms.logic.forecast_intervals import Estimate, exactly

SPACE = "space"
L4 = Device("nvidia-l4", "g2-standard-8", 8, 121, 0.25, on_demand_hour=2.0, spot_hour=0.5)
WORK = Work(exactly(2000), exactly(1_000_000), Estimate(800_000, 700_000, 900_000), exactly(4000))
_STAGES = ("read", "recognise", "identify", "split", "reuse", "model", "embed", "share", "store", "reconcile")
_LATER = ("load", "label", "compress", "write", "delete")


def record(run_id: str, gpu: str | None = None, embed: float = 50.0, space: str = SPACE) -> dict[str, Any]:
    """Of a run over 1,000 documents, 2,000 chunks and 500,000 tokens, each step but encoding of a second, loading of three."""
    stages = {name: {"seconds": 1.0, "tokens": 500_000} for name in (*_STAGES, *_LATER)}
    stages["embed"] = {"seconds": embed, "tokens": 400_000}
    stages["model"] = {"seconds": 3.0, "tokens": 0}
    return {
        "run_id": run_id,
        "embedding_space": space,
        "seconds": embed + 13 + 3 + 7,
        "documents": {"read": 1000},
        "chunks": {"split": 2000},
        "tokens": 500_000,
        "stages": stages,
        "configuration": {"workers": {"gpu": gpu}},
    }


def test_seconds_are_those_of_earlier_runs_at_the_same_pace() -> None:
    pace = paces([record("r1")], SPACE)[HERE]
    assert pace.start == pytest.approx(10)
    seconds = pace.work_seconds(WORK)
    # Twice the documents, tokens and chunks: two seconds each for read, recognise, identify, split and eight steps more.
    assert seconds.value == pytest.approx(100 + 2 * 12)
    assert (seconds.low, seconds.high) == pytest.approx((87.5 + 24, 112.5 + 24))


def test_runs_of_another_space_or_without_encoding_tell_nothing() -> None:
    idle = record("idle")
    idle["stages"]["embed"] = {"seconds": 0.0, "tokens": 0}
    assert paces([idle, record("other", space="another")], SPACE) == {}


def test_each_type_of_gpu_has_its_pace_of_its_latest_runs() -> None:
    records = [record(f"r{number}", "nvidia-l4:2", embed=10.0) for number in range(7)]
    found = paces([*records, record("old", embed=200.0)], SPACE)
    assert set(found) == {HERE, "nvidia-l4"}
    assert found["nvidia-l4"].runs == ("r0", "r1", "r2", "r3", "r4")


def test_a_measured_device_is_priced_by_what_was_measured() -> None:
    measured = paces([record("r1", "nvidia-l4")], SPACE)
    (cost,) = costs([L4], measured, WORK, 1e9, (1, 4))
    assert cost.is_measured
    assert cost.tokens_per_second == pytest.approx(8000)
    assert cost.hours.value == pytest.approx(124 / 3600)
    assert cost.on_demand is not None
    assert cost.spot is not None
    assert cost.on_demand.value == pytest.approx(2 * 124 / 3600)
    assert cost.spot.value == pytest.approx(0.5 * 124 / 3600)
    # Workers share the work, and each starts.
    assert cost.wall_seconds[1].value == pytest.approx(134)
    assert cost.wall_seconds[4].value == pytest.approx(124 / 4 + 10)


def test_without_a_record_the_models_arithmetic_tells() -> None:
    (cost,) = costs([L4], {}, WORK, 1e9, (1,))
    assert not cost.is_measured
    assert "estimated" in cost.basis
    assert cost.tokens_per_second == pytest.approx(121e12 * 0.25 / 1e9)
    assert cost.wall_seconds[1].value == pytest.approx(800_000 / cost.tokens_per_second)


def test_a_small_model_waits_for_the_cores_of_its_machine() -> None:
    assert L4.tokens_per_second(1e6) == L4.tokens_per_second(0) == 8 * 150_000


def test_a_device_that_no_table_names_has_no_price() -> None:
    here, priced = costs([L4], paces([record("r1")], SPACE), WORK, 1e9, (1,))
    assert (here.device, here.on_demand, here.spot, here.machine) == (HERE, None, None, "")
    assert priced.device == "nvidia-l4"


def test_less_work_than_the_start_still_takes_the_start() -> None:
    nothing = Work(exactly(0), exactly(0), exactly(0), exactly(0))
    (cost,) = costs([], paces([record("r1")], SPACE), nothing, 0, (1, 16))
    assert cost.hours == exactly(0)
    assert [wall.value for wall in cost.wall_seconds.values()] == pytest.approx([10, 10])
