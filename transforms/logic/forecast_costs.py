"""What a run takes: seconds by the pace of earlier runs, or by the arithmetic of the model; hours and a price for each device."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from transforms.logic.forecast_intervals import Estimate

HERE = "here"
"""The device of runs that asked for no type of GPU: that of the machine where they ran."""
HOST_TOKENS_PER_SECOND_OF_CORE = 150_000
"""What one core reads, identifies and cuts (README, "The whole job": 136,191 tokens in 0.9 seconds)."""
_MOST_RUNS = 5
_SECONDS_OF_HOUR = 3600
_BY_DOCUMENT = ("read", "recognise")
_BY_TOKEN = ("identify", "split")
_BY_CHUNK = ("reuse", "share", "store", "reconcile", "load", "label", "compress", "write")


@dataclass(frozen=True)
class Device:
    """A type of worker.

    Attributes:
        name: as `--gpu` names it.
        machine: type of the machine that is priced.
        cores: of that machine.
        tflops: dense products in bfloat16 as stated, 10^12 a second.
        efficiency: the share of that which an encoder reaches, in (0, 1].
        on_demand_hour: price of an hour; None if not known.
        spot_hour: price of an hour that may be interrupted; None if not known.
    """

    name: str
    machine: str
    cores: int
    tflops: float
    efficiency: float
    on_demand_hour: float | None = None
    spot_hour: float | None = None

    def tokens_per_second(self, flops_of_token: float) -> float:
        """An estimate for one machine: what its GPU computes, at most what its cores make ready."""
        most = float(self.cores * HOST_TOKENS_PER_SECOND_OF_CORE)
        return min(most, self.tflops * 1e12 * self.efficiency / flops_of_token) if flops_of_token else most


@dataclass(frozen=True)
class Pace:
    """Seconds of one worker, measured by earlier runs.

    Attributes:
        runs: whose records were taken.
        token: to encode a token.
        cut_token: to identify and cut a token.
        document: to read and recognise a document.
        chunk: of everything else, for a chunk that goes through the pipeline.
        start: of a run beside all that: planning, loading, committing.
    """

    runs: tuple[str, ...]
    token: float
    cut_token: float
    document: float
    chunk: float
    start: float

    def work_seconds(self, work: "Work") -> Estimate:
        """Of all workers together, the start left out."""
        parts = (
            work.encoded_tokens.times(self.token),
            work.cut_tokens.times(self.cut_token),
            work.documents.times(self.document),
            work.chunks.times(self.chunk),
        )
        return Estimate(*(sum(getattr(part, end) for part in parts) for end in ("value", "low", "high")))


@dataclass(frozen=True)
class Work:
    """What a run has to do: documents to read, tokens to cut and to encode, and chunks to take through the pipeline."""

    documents: Estimate
    cut_tokens: Estimate
    encoded_tokens: Estimate
    chunks: Estimate


def paces(records: Iterable[Mapping[str, Any]], embedding_space: str) -> dict[str, Pace]:
    """The pace of each device that encoded in this embedding space, by name; of the latest runs.

    Args:
        records: run records, the newest first.
        embedding_space: that of the run to come.
    """
    by_device: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        if record["embedding_space"] == embedding_space and record["stages"]["embed"]["tokens"]:
            gpu = (record["configuration"].get("workers") or {}).get("gpu")
            by_device[HERE if gpu is None else gpu.partition(":")[0]].append(record)
    return {device: _pace(found[:_MOST_RUNS]) for device, found in sorted(by_device.items())}


def _pace(records: Sequence[Mapping[str, Any]]) -> Pace:
    def seconds(*stages: str) -> float:
        return sum(float(record["stages"][stage]["seconds"]) for record in records for stage in stages)

    def amount(group: str, name: str) -> int:
        return sum(int(record[group][name]) for record in records)

    encoded = sum(int(record["stages"]["embed"]["tokens"]) for record in records)
    starts = [
        record["seconds"] - sum(one["seconds"] for name, one in record["stages"].items() if name != "model")
        for record in records
    ]
    return Pace(
        tuple(record["run_id"] for record in records),
        seconds("embed") / encoded,
        seconds(*_BY_TOKEN) / max(1, sum(int(record["tokens"]) for record in records)),
        seconds(*_BY_DOCUMENT) / max(1, amount("documents", "read")),
        seconds(*_BY_CHUNK) / max(1, amount("chunks", "split")),
        max(0.0, median(starts)),
    )


@dataclass(frozen=True)
class Cost:
    """What a run takes on one type of worker.

    Attributes:
        device: its name.
        machine: what is priced; empty for one without a price.
        basis: where its speed comes from.
        is_measured: whether that is an earlier run, so that the wall time is that of all steps; else it is that of encoding alone.
        tokens_per_second: that one worker encodes.
        hours: of all workers together.
        on_demand: price of these hours; None if not known.
        spot: price of these hours on machines that may be interrupted; None if not known.
        wall_seconds: by the number of workers, who share the work evenly.
    """

    device: str
    machine: str
    basis: str
    is_measured: bool
    tokens_per_second: float
    hours: Estimate
    on_demand: Estimate | None
    spot: Estimate | None
    wall_seconds: Mapping[int, Estimate]

    def describe(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "device": self.device,
            "machine": self.machine or None,
            "basis": self.basis,
            "measured": self.is_measured,
            "tokens_per_second": round(self.tokens_per_second, 1),
            "hours": self.hours.describe(),
            "on_demand": None if self.on_demand is None else self.on_demand.describe(),
            "spot": None if self.spot is None else self.spot.describe(),
            "wall_seconds": {str(workers): wall.describe() for workers, wall in self.wall_seconds.items()},
        }


def costs(
    devices: Sequence[Device],
    measured: Mapping[str, Pace],
    work: Work,
    flops_of_token: float,
    workers: Sequence[int],
) -> list[Cost]:
    """What a run takes on each device, those first that earlier runs measured and no table prices."""
    priced = {device.name: device for device in devices}
    names = [*(name for name in measured if name not in priced), *priced]
    return [_cost(name, priced.get(name), measured.get(name), work, flops_of_token, workers) for name in names]


def _cost(
    name: str, device: Device | None, pace: Pace | None, work: Work, flops_of_token: float, workers: Sequence[int]
) -> Cost:
    if pace is not None:
        seconds, start = pace.work_seconds(work), pace.start
        speed = 1 / pace.token if pace.token else 0.0
        basis = f"measured by {', '.join(pace.runs)}"
    else:
        speed = 0.0 if device is None else device.tokens_per_second(flops_of_token)
        seconds, start = work.encoded_tokens.times(1 / speed if speed else 0.0), 0.0
        basis = "estimated from the model's arithmetic"
    hours = seconds.times(1 / _SECONDS_OF_HOUR)
    walls = {count: seconds.times(1 / count) for count in workers}
    return Cost(
        name,
        "" if device is None else device.machine,
        basis,
        pace is not None,
        speed,
        hours,
        _price(hours, None if device is None else device.on_demand_hour),
        _price(hours, None if device is None else device.spot_hour),
        {count: Estimate(one.value + start, one.low + start, one.high + start) for count, one in walls.items()},
    )


def _price(hours: Estimate, of_hour: float | None) -> Estimate | None:
    return None if of_hour is None else hours.times(of_hour)
