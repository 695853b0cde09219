"""How much memory does reading take, and how much time do two workers save on one file?

Each case runs in a process of its own, whose peak resident memory counts; what it reads is made before, by another process. `text stage`
is read, identify, split and tokenise, without Beam; `read` ends with batches of documents; `encode` is the encoder in bfloat16, called as
the pipeline calls it, on chunks of 60 tokens on average. Interpreter and libraries alone take some 250 MiB, the tokenizer as much again.
"""

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.pipeline import DEFAULT_INPUT, DEFAULT_MODEL
from benchmarks.text import text_stage
from transforms.adapters.formats import Split, plan_splits, read_split
from transforms.adapters.formats.groups import group_splits, read_group
from transforms.adapters.models import describe_model
from transforms.adapters.storage import list_matching
from transforms.adapters.tokenizers import ModelTokenizer
from transforms.logic.records import Reading
from transforms.logic.schemas import MAX_BATCH_ROWS, RECORDS, batch_of
from transforms.logic.selection import Selection

READING = Reading(max_document_bytes=1 << 30)


def documents(count: int) -> Iterable[dict[str, str]]:
    """Texts of the sample corpus again and again, each time with another number in every word's place that has one."""
    splits = plan_splits(list_matching([DEFAULT_INPUT]))
    texts = [row["text"] for split in splits for page in read_split(split, Reading()) for row in page.documents]
    for number in range(count):
        yield {"id": str(number), "text": f"{number}: " + texts[number % len(texts)].replace("1", str(number))}


def make_lines(path: Path, count: int) -> None:
    """A JSONL file of so many documents."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in documents(count))


def make_row_group(path: Path, size_bytes: int) -> None:
    """A Parquet file of one row group of texts of 100,000 bytes."""
    text = "\n".join(row["text"] for row in islice(documents(320), 320))[:50_000]
    rows = size_bytes // len(text.encode())
    texts = pa.array([f"{row} {text}" for row in range(rows)], pa.large_string())
    table = pa.table({"id": pa.array([str(row) for row in range(rows)]), "text": texts})
    pq.write_table(table, path, row_group_size=rows, compression="zstd", use_dictionary=False)


def make_long_line(path: Path, size_bytes: int) -> None:
    """A JSONL file of a line of that size between two of ordinary size."""
    with path.open("wb") as stream:
        stream.write(b'{"id": "before", "text": "a text"}\n{"id": "long", "text": "')
        for _ in range(size_bytes >> 20):
            stream.write(b"a word " * (1 << 20 >> 3))
        stream.write(b'"}\n{"id": "after", "text": "a text"}\n')


def make_tiny_files(directory: Path, count: int) -> None:
    """So many text files of some 30 bytes."""
    directory.mkdir()
    for number in range(count):
        (directory / f"{number:06}.txt").write_text(f"Text of document {number}.\n", encoding="utf-8")


def make_number(path: Path, count: int) -> None:
    """A file that says how many chunks to encode."""
    path.write_text(str(count), encoding="utf-8")


def read(pattern: str) -> int:
    """Documents read of files, in groups of splits as a worker gets them."""
    files = list_matching([pattern])
    groups = group_splits(plan_splits(files), files)
    pages = (page for group in groups for page in read_group(group, READING, Selection()))
    return sum(batch_of(page.documents, RECORDS).num_rows for page in pages if page.documents)


def run_text_stage(pattern: str) -> int:
    """Chunks of files."""
    return text_stage([pattern], ModelTokenizer(DEFAULT_MODEL))


def run_encoder(pattern: str) -> int:
    """Chunks encoded, a batch of at most 512 a call; the file holds how many."""
    from transforms.adapters.encoders import Computation, open_encoder  # noqa: PLC0415  torch

    encoder = open_encoder(describe_model(DEFAULT_MODEL), "passage: ", Computation(device="cpu"))
    draws = np.random.default_rng(0)
    wanted, done = int(Path(pattern).read_text(encoding="utf-8")), 0
    while done < wanted:
        lengths = draws.integers(20, 100, min(MAX_BATCH_ROWS, wanted - done))
        ids = [draws.integers(5, 250_000, length).astype(np.int32) for length in lengths]
        done += len(encoder.encode([""] * len(ids), ids).outputs)
    return done


CASES: Mapping[str, Callable[[str], int]] = {"read": read, "text stage": run_text_stage, "encode": run_encoder}


def peak_of(case: str, pattern: str) -> tuple[int, float, float]:
    """Rows, peak MiB and seconds of one case in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", "--case", case, "--pattern", pattern]
    start = time.perf_counter()
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(f"{case} of {pattern} failed with {finished.returncode}:\n{finished.stderr[-2000:]}")
    rows, peak = finished.stdout.split()
    return int(rows), float(peak), time.perf_counter() - start


def count_split(split: Split) -> int:
    """Documents of one split."""
    return sum(batch_of(page.documents, RECORDS).num_rows for page in read_split(split, READING))


def two_workers(path: Path) -> tuple[float, float]:
    """Seconds of one and of two processes over the splits of one file, without their start."""
    splits = plan_splits(list_matching([str(path)]))
    seconds = []
    for workers in (1, 2):
        with multiprocessing.get_context("forkserver").Pool(workers) as pool:
            pool.map(len, ["warm"] * workers * 4, chunksize=1)
            start = time.perf_counter()
            pool.map(count_split, splits, chunksize=1)
            seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1]


def main(argv: Sequence[str]) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.memory", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=sorted(CASES), help="only the rows of this kind")
    parser.add_argument("--case", choices=sorted(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--pattern", help=argparse.SUPPRESS)
    values = parser.parse_args(list(argv))
    if values.case:
        rows = CASES[values.case](values.pattern)
        sys.stdout.write(f"{rows} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made: list[tuple[str, str, Path, Callable[[Path], None]]] = [
            ("10,000 documents", "text stage", home / "ten.jsonl", lambda path: make_lines(path, 10_000)),
            ("100,000 documents", "text stage", home / "hundred.jsonl", lambda path: make_lines(path, 100_000)),
            ("a row group of 2 GB", "read", home / "group.parquet", lambda path: make_row_group(path, 2 << 30)),
            ("a line of 500 MB", "read", home / "line.jsonl", lambda path: make_long_line(path, 500 << 20)),
            ("200,000 tiny files", "read", home / "tiny", lambda path: make_tiny_files(path, 200_000)),
            ("1,024 chunks", "encode", home / "some", lambda path: make_number(path, 1024)),
            ("10,240 chunks", "encode", home / "many", lambda path: make_number(path, 10_240)),
        ]
        sys.stdout.write(f"{'':<24}{'':<12}{'rows':>10}{'peak MiB':>10}{'seconds':>9}\n")
        for name, case, path, make in made:
            if values.only not in {None, case}:
                continue
            # Made by a process that ends: what making takes must not count here either.
            maker = multiprocessing.get_context("fork").Process(target=make, args=(path,))
            maker.start()
            maker.join()
            rows, peak, seconds = peak_of(case, f"{path}/*" if path.is_dir() else str(path))
            sys.stdout.write(f"{name:<24}{case:<12}{rows:>10,}{peak:>10,.0f}{seconds:>9.1f}\n")
            sys.stdout.flush()
        if values.only is None:
            one, two = two_workers(home / "hundred.jsonl")
            sys.stdout.write(f"\none worker {one:.1f} s, two workers {two:.1f} s on one file: {one / two:.2f} x\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
