"""How far is a plan from the run that follows?

Half of the documents, chosen by a digest of their id, are embedded first, so that the workspace has a run record with this machine's pace.
The other half, which nobody has looked into, is planned from samples of several seeds and then run in a process of its own into another
collection of the same workspace. Shown are the errors of each plan: of tokens, chunks and documents in all, of tokens by language (the
median of the languages with at least a hundredth of the tokens), of the bytes of the dataset, and of the seconds of the run. `inside` is
the share of figures whose interval holds what the run recorded.

`other load` is how many cores all other processes kept busy during the two runs, a / b: where the two differ, or are above a tenth of a
core, the error of the seconds is not that of the plan alone.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.machine import OtherLoad
from benchmarks.pipeline import DEFAULT_INPUT, DEFAULT_MODEL, read_documents, sample
from pipelines.configuration import options
from pipelines.plan.devices import read_devices
from pipelines.plan.forecasting import Asked, describe, forecast
from pipelines.plan.looking import Wanted
from transforms.adapters.inventory import list_workspace
from transforms.logic.forecast_costs import HERE
from transforms.logic.inventory import Kind
from transforms.logic.record import EXIT_COMPLETE, EXIT_REJECTS

SEEDS = 3
MARGIN = 0.05
CONFIDENCE = 0.95
MOST_TOKEN_ERROR = 0.10
MOST_TIME_ERROR = 0.25
_LEAST_SHARE = 0.01

Result = dict[str, Any]


def halves(documents: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Documents by the first bit of a digest of their id."""
    found: tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]] = ([], [])
    for one in documents:
        found[sha256(f"half {one['document_id']}".encode()).digest()[0] & 1].append(one)
    return found


def flags_of(corpus: Path, home: Path, model: str, collection: str) -> dict[str, Any]:
    """Options of a run, as in a configuration file."""
    return {
        "input": str(corpus),
        "workspace": str(home / "workspace"),
        "milvus": str(home / f"{collection}.db"),
        "collection": collection,
        "model": model,
    }


def run_apart(values: Mapping[str, Any]) -> tuple[Result, float]:
    """The record of a run in a process of its own, and what else the machine did."""
    flags = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "pipelines.cli", "run", *flags, "--log-level", "error"]
    with OtherLoad() as load:
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode not in {EXIT_COMPLETE, EXIT_REJECTS}:
        sys.exit(f"the run failed with {finished.returncode}:\n{finished.stdout}{finished.stderr}")
    run_id = finished.stdout.split()[1].rstrip(":")
    record: Result = json.loads(Path(values["workspace"], "runs", run_id, "run.json").read_bytes())
    return record, load.cores


def plan_of(values: Mapping[str, Any], seed: int) -> Result:
    """The plan of a run with these options."""
    devices, currency = read_devices(None)
    asked = Asked(Wanted(CONFIDENCE, MARGIN, seed=seed), devices, currency, (1,))
    config = options.to_config(values)
    return describe(config, asked, forecast(config, asked))


def compare(plan: Mapping[str, Any], record: Mapping[str, Any], dataset_bytes: int) -> Result:
    """Errors of a plan as shares of what the run recorded, and how many intervals hold that."""
    here = next(cost for cost in plan["costs"] if cost["device"] == HERE)
    pairs = {
        "documents": (plan["documents"]["read"], record["documents"]["read"]),
        "chunks": (plan["chunks"], record["chunks"]["split"]),
        "tokens": (plan["tokens"], record["tokens"]),
    }
    of_languages = {
        language: (plan["languages"].get(language, {}).get("tokens"), counted["tokens"])
        for language, counted in record["languages"].items()
        if counted["tokens"] >= _LEAST_SHARE * record["tokens"]
    }
    held = [
        one is not None and one["low"] <= true <= one["high"] for one, true in (*pairs.values(), *of_languages.values())
    ]
    errors = [abs(_error(one, true)) for one, true in of_languages.values()]
    return {
        "sampled": plan["sample"]["documents"],
        **{name: _error(*pair) for name, pair in pairs.items()},
        "languages": statistics.median(errors),
        "inside": sum(held) / len(held),
        "dataset_bytes": _error(plan["dataset_bytes"], dataset_bytes),
        "seconds": _error(here["wall_seconds"]["1"], record["seconds"]),
    }


def _error(estimate: Mapping[str, float] | None, true: float) -> float:
    return (0.0 if estimate is None else estimate["estimate"]) / true - 1


def measure(documents: Sequence[Mapping[str, Any]], model: str, seeds: int) -> Result:
    """Runs both halves and plans the second one."""
    earlier, later = halves(documents)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name, half in (("earlier", earlier), ("later", later)):
            _write(home / f"{name}.jsonl", half)
        _, load_before = run_apart(flags_of(home / "earlier.jsonl", home, model, "earlier"))
        values = flags_of(home / "later.jsonl", home, model, "later")
        plans = [plan_of(values, seed) for seed in range(seeds)]
        before = _dataset_bytes(home / "workspace")
        record, load = run_apart(values)
        stored = _dataset_bytes(home / "workspace") - before
        return {
            "documents": len(later),
            "tokens": record["tokens"],
            "seconds": record["seconds"],
            "plans": [compare(plan, record, stored) for plan in plans],
            "other_load_cores": [load_before, load],
        }


def _write(path: Path, documents: Sequence[Mapping[str, Any]]) -> None:
    rows = ({"id": one["document_id"], "text": one["text"]} for one in documents)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _dataset_bytes(workspace: Path) -> int:
    return sum(file.size_bytes for file in list_workspace(str(workspace), "dataset").of(Kind.SHARD))


def render(result: Mapping[str, Any]) -> str:
    """A line for each plan, and whether the worst keeps what is promised."""
    loads = " / ".join(f"{load:.2f}" for load in result["other_load_cores"])
    columns = ("documents", "chunks", "tokens", "languages", "dataset_bytes", "seconds")
    lines = [
        f"{result['documents']:,} held-back documents of {result['tokens']:,} tokens, run in {result['seconds']:.1f} s; other load {loads}",
        "seed  looked into  documents   chunks   tokens  languages  dataset  seconds  inside",
    ]
    widths = (9, 7, 7, 9, 7, 7)
    for seed, plan in enumerate(result["plans"]):
        shown = "  ".join(f"{plan[name]:>+{width}.1%}" for name, width in zip(columns, widths, strict=True))
        lines.append(f"{seed:>4}  {plan['sampled']:>11,}  {shown}  {plan['inside']:>6.0%}")
    for name, most in (("tokens", MOST_TOKEN_ERROR), ("seconds", MOST_TIME_ERROR)):
        worst = max(abs(plan[name]) for plan in result["plans"])
        lines.append(f"worst error of {name}: {worst:.1%}, {'within' if worst <= most else 'NOT within'} {most:.0%}")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> int:
    """Prints the errors of one corpus."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.plan", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--input", nargs="+", default=[DEFAULT_INPUT], metavar="GLOB", help="files with id and text")
    parser.add_argument("--documents", type=int, help="only so many, chosen by a digest of their id")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="directory of the model")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many samples are planned from")
    values = parser.parse_args(list(argv))
    documents = sample(read_documents(values.input), values.documents)
    by_id = {one["document_id"]: one for one in documents}
    sys.stdout.write(render(measure([*by_id.values()], str(Path(values.model).resolve()), values.seeds)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
