"""What does a rerun cost: of nothing new, of one edited document in a hundred, and of a lookup among a million?

Editions. One corpus and four next editions of it, each the edition before with 1 % of its documents changed: `unchanged`; `edited`, whose
documents get a longer text in their middle and move to the end of the file, as in an export by date of change, so that most documents
lie elsewhere than before; `metadata`, which changes a metadata column alone; `deleted`, run with `--mirror`. Of corpus-embed each is a
process of its own into Milvus Lite, with the real model; of each rerun the median of `--repeats` counts, all from the same state:

- `start`: interpreter, imports and exit. `planning`: configuration, sources, tokenizer, Milvus Lite's start and end. `load`: from a
  checkpoint on disk to a warm model. `seconds` is all the rest, from reading to the committed record, and what ratios are taken of.
- `encoded`: texts that encoders were asked for, counted at the encoder, not taken from the record.

Peers. The same editions by `langchain_core.indexing.index` (recursive splitter; `scoped_full`, and `full` where documents are deleted)
and, where llama-index-core is installed (it is in no lock), by LlamaIndex's `IngestionPipeline` (document store, cache, sentence
splitter; `upserts`, and `upserts_and_delete`). Both encode by `SentenceTransformer.encode` in float32, measure chunks by the model's
tokenizer at our limit, keep records and vectors in memory, and do all editions in one process with the model warm: start, loading and a
database they do not pay. A ratio to the first run flatters who encodes slowly; compare seconds.

Lookup. Rerun without a change over short documents of one chunk, with vectors of 16 numbers drawn from a digest of the text, so that only
the lookup costs. Milvus is a double that knows ids but neither vectors nor an index, in another process: it answers at once, its
memory does not count, and nothing is verified against it. `peak MiB` is the rerun's own.

`other load` is how many cores all other processes kept busy meanwhile; above a tenth of a core a row is not to be trusted.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.incremental.editions import EDITIONS, MIRRORED, Document, make_editions, write_documents
from benchmarks.incremental.lookup import make_stub_model, measure_lookup
from benchmarks.incremental.ours import Result, flags_of, run_once
from benchmarks.incremental.peers import PEERS, StockEncoder, is_installed, run_peer
from benchmarks.incremental.tables import render_editions, render_lookup, render_peers
from benchmarks.machine import OtherLoad
from benchmarks.pipeline import DEFAULT_INPUT, DEFAULT_MODEL, median_of, read_documents, sample

LOOKUP_DOCUMENTS = (10_000, 100_000, 1_000_000)


def run_apart(job: Mapping[str, Any]) -> list[Result]:
    """What `work` gives for a job, in a process of its own, with the seconds of the process and what else the machine did."""
    start = perf_counter()
    with OtherLoad() as load:
        finished = subprocess.run(
            [sys.executable, "-m", "benchmarks.incremental", "--job", json.dumps(job)],
            capture_output=True,
            text=True,
            check=False,
        )
    seconds = perf_counter() - start
    if finished.returncode:
        sys.exit(f"{job} failed with {finished.returncode}:\n{finished.stderr[-2000:]}")
    results = json.loads(finished.stdout.splitlines()[-1])
    return [{**one, "process": seconds, "other_load_cores": load.cores} for one in results]


def work(job: Mapping[str, Any]) -> list[Result]:
    """One run of ours, or all editions by a peer."""
    if "flags" in job:
        return [run_once(job["flags"], stub=job["stub"])]
    encoder = StockEncoder(job["model"])
    sync = PEERS[job["peer"]](job["model"], encoder)
    return run_peer(sync, encoder, Path(job["home"]))


def measure_ours(home: Path, model: str, repeats: int) -> dict[str, Result]:
    """Each edition of `home`, run in turn into one Milvus Lite; of the repeats of a rerun, each from the same state, the median."""
    state, before = home / "state", home / "before"
    state.mkdir()
    results = {}
    for edition in EDITIONS:
        if edition != "unchanged":
            shutil.copyfile(home / f"{edition}.jsonl", home / "corpus.jsonl")
        flags = flags_of(home / "corpus.jsonl", state, model, str(state / "milvus.db"))
        job = {"flags": [*flags, *(["--mirror"] if edition == MIRRORED else [])], "stub": False}
        _replace(before, state)
        runs = run_apart(job)
        for _ in range(0 if edition == "first" else repeats - 1):
            _replace(state, before)
            runs += run_apart(job)
        median = median_of(runs)
        results[edition] = {**median, "start": median["process"] - median["run"]}
    return results


def _replace(folder: Path, other: Path) -> None:
    """Makes a folder a copy of another."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(other, folder)


def run_stub_apart(flags: Sequence[str]) -> Result:
    """One run with the stub encoder in a process of its own."""
    return run_apart({"flags": list(flags), "stub": True})[0]


def _compare_editions(
    documents: Sequence[Document], model: str, peers: Sequence[str], repeats: int
) -> dict[str, dict[str, Result]]:
    editions = make_editions(documents)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name, edition in editions.items():
            write_documents(home / f"{name}.jsonl", edition)
        results["corpus-embed"] = measure_ours(home, model, repeats)
        _show(render_editions(results["corpus-embed"], editions))
        for peer in filter(is_installed, peers):
            runs = run_apart({"peer": peer, "model": model, "home": folder})
            results[peer] = dict(zip(EDITIONS, runs, strict=True))
    if peers:
        _show(render_peers(results, [peer for peer in peers if not is_installed(peer)]))
    return results


def _compare_lookups(most: int, model: str) -> dict[int, dict[str, Result]]:
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        stub = Path(folder, "model")
        make_stub_model(Path(model), stub)
        for documents in LOOKUP_DOCUMENTS:
            if documents <= most:
                results[documents] = measure_lookup(documents, stub, run_stub_apart)
    if results:
        _show(render_lookup(results))
    return results


def _show(table: str) -> None:
    sys.stdout.write(f"{table}\n")
    sys.stdout.flush()


def main(argv: Sequence[str]) -> int:
    """Prints the tables of one run."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.incremental", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "--input", nargs="+", default=[DEFAULT_INPUT], metavar="GLOB", help="JSONL or Parquet with id and text"
    )
    parser.add_argument("--documents", type=int, help="only so many, chosen by a digest of their id; 0: no editions")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="directory of the model")
    parser.add_argument("--repeats", type=int, default=3, help="the median of so many is shown of each rerun of ours")
    parser.add_argument(
        "--peers", nargs="*", choices=sorted(PEERS), default=list(PEERS), help="who else runs the editions"
    )
    parser.add_argument(
        "--lookup-documents",
        type=int,
        default=LOOKUP_DOCUMENTS[-1],
        help="no lookup among more stub documents than these",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes every run there too")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    values = parser.parse_args(list(argv))
    if values.job:
        sys.stdout.write(json.dumps(work(values.job)) + "\n")
        return 0
    model = str(Path(values.model).resolve())
    results: dict[str, Any] = {}
    if values.documents != 0:
        found = sample(read_documents(values.input), values.documents)
        by_id = {one["document_id"]: {"id": one["document_id"], "text": one["text"], "revision": 0} for one in found}
        results["editions"] = _compare_editions([*by_id.values()], model, values.peers, values.repeats)
    results["lookups"] = _compare_lookups(values.lookup_documents, model)
    if values.json:
        values.json.write_text(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
