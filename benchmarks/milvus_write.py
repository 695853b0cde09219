"""How fast do rows get into Milvus? By import files, by upsert, and beside what else there is, on the same rows.

Rows are made: text of some hundred characters in two scripts, and unit vectors from a seeded generator. Three questions:

- `files`: writing import-ready Parquet, rows a second on one core: ours (`ImportWriter`, with its checks, digest and fsync), a bare
  `pyarrow.parquet.write_table` of the very table that ours writes, and pymilvus's `LocalBulkWriter` fed with dictionaries.
- `upsert`: rows a second into a running server (`--milvus`): ours (each path of `Collection.upsert`), `MilvusClient.upsert` with lists of
  dictionaries, ready and made from the same columns, and Beam's own sink (`apache_beam.ml.rag.ingestion.milvus_search`).
- `load`: filling a new collection from compressed rows until all can be counted, and until all are indexed: by import (files, jobs,
  loading) and by upsert, at several sizes: where the one overtakes the other. The server must read `--import-storage`.

Contenders take turns, and the median of `--repeats` rounds is shown; below each table stands what was wanted of ours. `other load` is how
many cores all other processes kept busy meanwhile: above a tenth of a core a figure is not to be trusted, though ratios of figures from
one run often are.
"""

import argparse
import hashlib
import logging
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import OtherLoad
from transforms.adapters.milvus import Collection, CollectionSpace, ColumnBatch, Target
from transforms.adapters.milvus.import_jobs import ImportCollection, open_jobs
from transforms.adapters.milvus.import_storage import (
    ROW_GROUP_BYTES,
    ImportStorage,
    ImportWriter,
    import_storage,
    max_text_bytes,
    parquet_settings,
)
from transforms.adapters.milvus.imports import Import, Journal, remove_files
from transforms.logic.import_files import import_columns
from transforms.logic.outputs import OUTPUTS
from transforms.logic.representations import Representation, represent
from transforms.logic.rows import milvus_rows
from transforms.logic.schemas import row_schema
from transforms.logic.vector_columns import to_list_array
from transforms.logic.vectors import unit_rows

DIMENSIONS = (384, 1024)
BATCH_ROWS = 512
"""What a verb hands to the next one."""
PEER_BATCH_ROWS = 1000
SIZES = (20_000, 200_000)
LARGE = 1_000_000
CALM_CORES = 0.2
PARTITIONS = ("lang_de", "lang_en", "lang_ja", "lang_th")
DENSE = OUTPUTS[:1]
OURS_BY_COLUMNS = "ours, columns"
CLIENT = "MilvusClient.upsert"

_CHUNKS: list[Any] = []


@dataclass(frozen=True)
class Figure:
    """One line of a table: seconds of all repeats by the wall and of this process's CPU, and how busy the machine was otherwise."""

    name: str
    rows: int
    seconds: Sequence[float]
    cpu_seconds: Sequence[float]
    other_load_cores: float

    @property
    def rows_per_second(self) -> float:
        """Of the median repeat."""
        return self.rows / statistics.median_low(self.seconds)


def make_rows(count: int, dimensions: int, seed: int = 7) -> Iterator[pa.RecordBatch]:
    """Batches of compressed dataset rows, each of one partition, with float32 vectors; the same for the same arguments."""
    generator = np.random.default_rng(seed)
    words = np.array(["river", "town", "ภูเขาไฟ", "火山", "press", "moon", "tide", "honey"])
    pool = [" ".join(generator.choice(words, 60)) for _ in range(1000)]
    schema = row_schema(dimensions)
    representation = Representation("float32", dimensions)
    for start in range(0, count, BATCH_ROWS):
        numbers = range(start, min(start + BATCH_ROWS, count))
        partition = PARTITIONS[start // BATCH_ROWS % len(PARTITIONS)]
        digests = [hashlib.blake2b(str(number).encode(), digest_size=16).digest() for number in numbers]
        values: dict[str, Any] = {
            "id": [one.hex() for one in digests],
            "document_id": [f"document {number // 4}" for number in numbers],
            "text": [pool[number % len(pool)] for number in numbers],
            "metadata": ['{"title": "rivers", "year": 2026}'] * len(numbers),
            "partition": [partition] * len(numbers),
            "content_key": digests,
            "row_key": digests,
        }
        columns = {name: pa.array(some, schema.field(name).type) for name, some in values.items()}
        for field in schema:
            if field.name not in columns and field.name != "vector":
                value = "de" if pa.types.is_string(field.type) else 1
                columns[field.name] = pa.array([value] * len(numbers), field.type)
        vectors = unit_rows(generator.standard_normal((len(numbers), dimensions), np.float32))
        columns["dense"] = to_list_array(represent(vectors, representation))
        yield pa.RecordBatch.from_pydict(columns)


def space_of(dimensions: int) -> CollectionSpace:
    """What a collection of such rows records."""
    return CollectionSpace("benchmark", "benchmark", None, "float32", "", dimensions, "float32", "language")


def timed(name: str, rows: int, repeats: int, run: Callable[[], object]) -> Figure:
    """Runs it so often."""
    seconds, cpu_seconds = [], []
    with OtherLoad() as other:
        for _ in range(repeats):
            start, cpu_start = perf_counter(), process_time()
            run()
            seconds.append(perf_counter() - start)
            cpu_seconds.append(process_time() - cpu_start)
    return Figure(name, rows, seconds, cpu_seconds, other.cores)


@dataclass(frozen=True)
class Contender:
    """Who takes a turn: `before` prepares it, untimed."""

    name: str
    rows: int
    run: Callable[[], object]
    before: Callable[[], object] = lambda: None


def in_turns(contenders: Sequence[Contender], repeats: int) -> list[Figure]:
    """Each contender in each round, so that what changes from minute to minute meets all; a round begins with another one each time."""
    found: dict[str, list[Figure]] = {one.name: [] for one in contenders}
    for number in range(repeats):
        first = number % len(contenders)
        for one in (*contenders[first:], *contenders[:first]):
            one.before()
            found[one.name].append(timed(one.name, one.rows, 1, one.run))
    return [
        Figure(
            some[0].name,
            some[0].rows,
            [one.seconds[0] for one in some],
            [one.cpu_seconds[0] for one in some],
            max(one.other_load_cores for one in some),
        )
        for some in found.values()
    ]


# --- files ---


def compare_files(count: int, peer_count: int, dimensions: int, repeats: int) -> list[Figure]:
    """Writers of import files, on one core; the peer, whose rows are dictionaries of numbers, gets fewer."""
    batches = list(make_rows(count, dimensions))
    table = import_columns(pa.Table.from_batches(batches))
    dictionaries = [row for batch in make_rows(peer_count, dimensions) for row in milvus_rows(batch, DENSE)]
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "written")

        def clear() -> None:
            # What is there already would be removed while the next is timed.
            shutil.rmtree(written, ignore_errors=True)
            written.mkdir()

        bare = written / "bare.parquet"
        contenders = [
            Contender("ImportWriter", count, lambda: write_ours(batches, dimensions, written), clear),
            Contender("write_table and fsync", count, lambda: write_bare(table, bare, sync=True), clear),
            Contender("write_table", count, lambda: write_bare(table, bare, sync=False), clear),
        ]
        peer = local_bulk_writer(dictionaries, dimensions, written)
        if peer is not None:
            contenders.append(Contender("LocalBulkWriter", peer_count, peer, clear))
        return in_turns(contenders, repeats)


def write_ours(batches: Sequence[pa.RecordBatch], dimensions: int, directory: Path) -> int:
    """Compressed rows to import files, a folder for each partition."""
    writer = ImportWriter(
        ImportStorage(str(directory), ""), DENSE, max_text_bytes(space_of(dimensions)), file_bytes=512 << 20
    )
    files = [file for batch in batches for file in writer.add(str(batch.column("partition")[0]), batch, 0)]
    return sum(file.rows for file in [*files, *writer.close()])


def write_bare(table: pa.Table, path: Path, *, sync: bool) -> None:
    """The limit: columns that are ready, in the same encoding and in row groups of as many bytes, to one file."""
    rows_per_group = max(1, table.num_rows * ROW_GROUP_BYTES // table.nbytes)
    pq.write_table(table, path, row_group_size=rows_per_group, **parquet_settings(table.schema))
    if sync:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())


def local_bulk_writer(rows: Sequence[Mapping[str, Any]], dimensions: int, folder: Path) -> Callable[[], object] | None:
    """The writer of pymilvus, which needs the extra `pymilvus[bulk-writer]`; None without."""
    try:
        from pymilvus.bulk_writer import BulkFileType, LocalBulkWriter  # noqa: PLC0415
    except ImportError as error:
        sys.stderr.write(f"LocalBulkWriter is left out: {error}\n")
        return None
    from transforms.adapters.milvus.schema import schema_of  # noqa: PLC0415

    schema = schema_of(space_of(dimensions))

    def write() -> None:
        with LocalBulkWriter(schema, str(folder), chunk_size=512 << 20, file_type=BulkFileType.PARQUET) as writer:
            for row in rows:
                writer.append_row(dict(row))
            writer.commit()

    return write


# --- upsert ---


def compare_upserts(uri: str, count: int, dimensions: int, repeats: int) -> list[Figure]:
    """Ways to upsert the same rows into a running server, each into a collection of its own; from the second round on they replace rows."""
    batches = list(make_rows(count, dimensions))
    dictionaries = [(str(batch.column("partition")[0]), milvus_rows(batch, DENSE)) for batch in batches]
    contenders: list[tuple[str, Callable[[Target], object]]] = [
        (OURS_BY_COLUMNS, lambda target: upsert_ours(target, batches, ColumnBatch)),
        ("ours, rows", lambda target: upsert_ours(target, batches, lambda batch: milvus_rows(batch, DENSE))),
        (CLIENT, lambda target: upsert_client(target, dictionaries)),
        (
            "the same, from columns",
            lambda target: upsert_client(
                target, ((str(batch.column("partition")[0]), milvus_rows(batch, DENSE)) for batch in batches)
            ),
        ),
        ("beam milvus_search", lambda target: upsert_beam(target, batches)),
    ]
    with ExitStack() as until_done:
        targets = [
            until_done.enter_context(new_collection(uri, f"benchmark_upsert_{place}", dimensions))
            for place in range(len(contenders))
        ]
        turns = [
            Contender(name, count, partial(run, target), wait_until_calm)
            for (name, run), target in zip(contenders, targets, strict=True)
        ]
        figures = in_turns(turns, repeats)
        for target in targets:
            check_count(target, count)
    return figures


def wait_until_calm() -> None:
    """A server goes on with what the last contender wrote: the next one begins when that is done, after a minute at most."""
    for _ in range(30):
        with OtherLoad() as other:
            sleep(2)
        if other.cores < CALM_CORES:
            return


def upsert_ours(target: Target, batches: Iterable[pa.RecordBatch], send: Callable[[pa.RecordBatch], Any]) -> None:
    """As `WriteToMilvus` does."""
    collection = Collection(target)
    for batch in batches:
        collection.upsert(str(batch.column("partition")[0]), send(batch))
    collection.close()


def upsert_client(target: Target, rows_of_partitions: Iterable[tuple[str, list[dict[str, Any]]]]) -> None:
    """As most programs do: dictionaries, a thousand a request."""
    from pymilvus import MilvusClient  # noqa: PLC0415

    client = MilvusClient(target.uri)
    known = set(client.list_partitions(target.collection))
    waiting: dict[str, list[dict[str, Any]]] = {}
    for partition, some in rows_of_partitions:
        if partition not in known:
            client.create_partition(target.collection, partition)
            known.add(partition)
        rows = waiting.setdefault(partition, [])
        rows += some
        while len(rows) >= PEER_BATCH_ROWS:
            client.upsert(target.collection, rows[:PEER_BATCH_ROWS], partition_name=partition)
            del rows[:PEER_BATCH_ROWS]
    for partition, rows in waiting.items():
        if rows:
            client.upsert(target.collection, rows, partition_name=partition)
    client.close()


def upsert_beam(target: Target, batches: Sequence[pa.RecordBatch]) -> None:
    """Beam's own sink, fed with its own elements, ready in memory; it has one partition for all and writes only the fields it is told."""
    import apache_beam as beam  # noqa: PLC0415
    from apache_beam.ml.rag.ingestion.base import VectorDatabaseWriteTransform  # noqa: PLC0415
    from apache_beam.ml.rag.ingestion.milvus_search import MilvusVectorWriterConfig, MilvusWriteConfig  # noqa: PLC0415
    from apache_beam.ml.rag.ingestion.postgres_common import ColumnSpec  # noqa: PLC0415
    from apache_beam.ml.rag.types import Chunk, Content, Embedding  # noqa: PLC0415
    from apache_beam.ml.rag.utils import MilvusConnectionParameters  # noqa: PLC0415

    def chunk_of(row: dict[str, Any]) -> Any:
        dense = row.pop("dense")
        return Chunk(
            id=row["id"],
            content=Content(text=row["text"]),
            embedding=Embedding(dense_embedding=dense),
            metadata=row,
        )

    chunks = [chunk_of(row) for batch in batches for row in milvus_rows(batch, DENSE)]
    # Elements of Create are pickled into the graph, several times; a function of an imported module is named there.
    module = import_module("benchmarks.milvus_write")
    module.__dict__["_CHUNKS"] = chunks
    fields = list(chunks[0].metadata)
    specs = [
        *(ColumnSpec(column_name=name, python_type=object, value_fn=partial(_metadata_of, name)) for name in fields),
        ColumnSpec(column_name="dense", python_type=list, value_fn=_dense_of),
    ]
    writer = MilvusVectorWriterConfig(
        connection_params=MilvusConnectionParameters(uri=target.uri),
        write_config=MilvusWriteConfig(collection_name=target.collection),
        column_specs=specs,
    )
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([None]) | beam.FlatMap(module.held_chunks) | VectorDatabaseWriteTransform(writer)


def held_chunks(_: object) -> Sequence[Any]:
    """The elements of the run under way."""
    return _CHUNKS


def _metadata_of(name: str, chunk: Any) -> Any:
    return chunk.metadata[name]


def _dense_of(chunk: Any) -> list[float]:
    return list(chunk.embedding.dense_embedding)


# --- load ---


@dataclass(frozen=True)
class Load:
    """A collection filled: seconds until all rows could be counted, and until all were indexed too, if that was waited for."""

    rows: int
    counted_seconds: float
    indexed_seconds: float | None
    other_load_cores: float


def compare_loads(
    uri: str, storage: ImportStorage, size: int, dimensions: int, *, until_indexed: bool
) -> tuple[Load, Load]:
    """A new collection filled with so many rows by import, and another by upsert."""
    with new_collection(uri, f"benchmark_import_{size}", dimensions) as target:
        by_import = partial(load_by_import, target, storage, size, dimensions)
        imported = load(target, size, by_import, until_indexed=until_indexed)
    with new_collection(uri, f"benchmark_load_{size}", dimensions) as target:
        by_upsert = partial(load_by_upsert, target, size, dimensions)
        upserted = load(target, size, by_upsert, until_indexed=until_indexed)
    return imported, upserted


def load(target: Target, count: int, fill: Callable[[], object], *, until_indexed: bool) -> Load:
    """Times it; a count that is not reached ends the benchmark."""
    indexed = None
    with OtherLoad() as other:
        start = perf_counter()
        fill()
        check_count(target, count)
        counted = perf_counter() - start
        if until_indexed:
            wait_until_indexed(target, count)
            indexed = perf_counter() - start
    return Load(count, counted, indexed, other.cores)


def load_by_import(target: Target, storage: ImportStorage, count: int, dimensions: int) -> None:
    """Rows to files, files to jobs, until Milvus counts all."""
    below = storage.below(target.collection)
    writer = ImportWriter(below, DENSE, max_text_bytes(space_of(dimensions)), file_bytes=512 << 20)
    files = []
    for batch in make_rows(count, dimensions):
        files += writer.add(str(batch.column("partition")[0]), batch, 0)
    files += writer.close()
    collection = ImportCollection(target)
    for partition in PARTITIONS:
        collection.create_partition(partition)

    def counts() -> dict[str, int]:
        collection.refresh()
        return collection.counts()

    with tempfile.TemporaryDirectory() as journals:
        journal = Journal(journals, 1)
        Import(open_jobs(target, collection), journal, below, counts).run(journal.plan(files, below))
    collection.close()
    remove_files(below, files)


def load_by_upsert(target: Target, count: int, dimensions: int) -> None:
    """The faster of our ways to upsert."""
    upsert_ours(target, make_rows(count, dimensions), ColumnBatch)


def wait_until_indexed(target: Target, count: int) -> None:
    """Seals what was written, and waits until its index is built: only then are searches fast."""
    from pymilvus import MilvusClient  # noqa: PLC0415

    client = MilvusClient(target.uri)
    client.flush(target.collection)
    # Not until no rows are pending: 2.3.5 goes on to count those of segments that it has merged into others.
    while (index := client.describe_index(target.collection, "dense"))["state"] != "Finished" or index[
        "indexed_rows"
    ] < count:
        sleep(0.5)
    client.close()


class new_collection:  # noqa: N801  used as a function
    """A collection for the length of a block."""

    def __init__(self, uri: str, name: str, dimensions: int) -> None:
        self._target = Target(uri, name)
        self._dimensions = dimensions

    def __enter__(self) -> Target:
        self._drop()
        collection = Collection(self._target)
        collection.create(space_of(self._dimensions))
        collection.close()
        return self._target

    def __exit__(self, *_: object) -> None:
        self._drop()

    def _drop(self) -> None:
        from pymilvus import MilvusClient  # noqa: PLC0415

        client = MilvusClient(self._target.uri)
        if client.has_collection(self._target.collection):
            client.drop_collection(self._target.collection)
        client.close()


def check_count(target: Target, count: int) -> None:
    """Ends the benchmark if Milvus does not hold so many rows: a figure of rows that are lost is none."""
    collection = Collection(target)
    counted = sum(collection.counts().values())
    collection.close()
    if counted != count:
        sys.exit(f"{target.collection} holds {counted:,} rows, {count:,} were written")


# --- output ---


def render(title: str, figures: Sequence[Figure]) -> str:
    """A table, with the first line's rate, by the wall and by CPU seconds, against each line's.

    The latter hardly depends on what else the machine does, but has no waiting for a disk or a server in it.
    """
    header = f"{'':<24}{'rows/s':>12}{'seconds':>10}{'CPU s':>8}{'ours / this':>13}{'by CPU':>8}{'other load':>12}"
    lines = [title, header]
    first = figures[0]
    for one in figures:
        seconds, cpu_seconds = statistics.median_low(one.seconds), statistics.median_low(one.cpu_seconds)
        ratio = first.rows_per_second / one.rows_per_second
        by_cpu = cpu_seconds / max(statistics.median_low(first.cpu_seconds), 1e-9)
        lines.append(
            f"{one.name:<24}{one.rows_per_second:>12,.0f}{seconds:>10.2f}{cpu_seconds:>8.2f}{ratio:>13.2f}{by_cpu:>8.2f}"
            f"{one.other_load_cores:>12.2f}"
        )
    return "\n".join(lines) + "\n"


def verdict(figures: Sequence[Figure], other: str, wanted: str) -> str:
    """How the first line stands to another one: what was wanted of it, and what it is."""
    ours = figures[0]
    there = next((one for one in figures if one.name == other), None)
    if there is None:
        return f"{other} was left out\n"
    faster = ours.rows_per_second / there.rows_per_second
    return f"{ours.name} is {faster:.2f} times as fast as {other} and takes {1 / faster:.2f} of its time; wanted: {wanted}\n"


def crossing(rows: Sequence[int], first: Sequence[float], second: Sequence[float]) -> str:
    """From how many rows on the first way takes less seconds than the second, by a straight line between the sizes around."""
    gains = [late - early for early, late in zip(first, second, strict=True)]
    slower = [place for place, gain in enumerate(gains) if gain <= 0]
    if not slower:
        return f"the faster from {rows[0]:,} rows on, if not before"
    last = slower[-1]
    if last == len(rows) - 1:
        return f"not the faster up to {rows[last]:,} rows"
    share = -gains[last] / (gains[last + 1] - gains[last])
    between = rows[last] + share * (rows[last + 1] - rows[last])
    return f"the faster from some {between:,.0f} rows on, between {rows[last]:,} and {rows[last + 1]:,}"


def render_loads(found: Sequence[tuple[Load, Load]], dimensions: int) -> str:
    """The table of loads, and where the one overtakes the other."""
    lines = [
        f"a new collection of {dimensions} dimensions: seconds until all rows are counted, and until they are indexed",
        f"{'rows':>12}{'import':>16}{'upsert':>16}{'upsert / import':>18}{'other load':>12}",
    ]
    for imported, upserted in found:
        times = [f"{one.counted_seconds:.1f}, {_seconds(one.indexed_seconds)}" for one in (imported, upserted)]
        ratio = (upserted.indexed_seconds or upserted.counted_seconds) / (
            imported.indexed_seconds or imported.counted_seconds
        )
        busy = max(imported.other_load_cores, upserted.other_load_cores)
        lines.append(f"{imported.rows:>12,}{times[0]:>16}{times[1]:>16}{ratio:>18.2f}{busy:>12.2f}")
    rows = [imported.rows for imported, _ in found]
    ends: Mapping[str, Callable[[Load], float | None]] = {
        "counted": lambda one: one.counted_seconds,
        "indexed": lambda one: one.indexed_seconds,
    }
    for name, seconds_of in ends.items():
        ended = [
            [seconds for one in some if (seconds := seconds_of(one)) is not None] for some in zip(*found, strict=True)
        ]
        if ended[0]:
            lines.append(f"until {name}, import is {crossing(rows, *ended)}")
    return "\n".join(lines) + "\n\n"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def main(argv: Sequence[str]) -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.milvus_write", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--file-rows", type=int, default=100_000, help="rows of our files (default 100000)")
    parser.add_argument("--rows", type=int, default=20_000, help="rows of peers' files and of upserts (default 20000)")
    parser.add_argument("--dimensions", type=int, nargs="+", default=list(DIMENSIONS), help="of the vectors")
    parser.add_argument("--repeats", type=int, default=3, help="the median of so many runs is shown (default 3)")
    parser.add_argument("--milvus", metavar="URI", help="a running server; without one only files are written")
    parser.add_argument(
        "--import-storage", metavar="URI", help="a directory, or part of a bucket, that the server reads"
    )
    parser.add_argument("--import-path", metavar="PATH", help="what the server calls it, where that differs")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=list(SIZES), help="rows of the loads (default 20000 200000)"
    )
    parser.add_argument("--large", action="store_true", help="loads of a million rows too")
    parser.add_argument(
        "--until",
        choices=("counted", "indexed"),
        default="indexed",
        help="loads end when all rows are counted, or indexed too (default), which takes long and the same either way",
    )
    values = parser.parse_args(list(argv))
    # Beam and pymilvus tell what they do, a line for each file and connection.
    logging.disable(logging.WARNING)
    for dimensions in values.dimensions:
        title = f"import files: {values.file_rows:,} rows of {dimensions} dimensions, one core"
        figures = compare_files(values.file_rows, values.rows, dimensions, values.repeats)
        sys.stdout.write(render(title, figures))
        sys.stdout.write(verdict(figures, "LocalBulkWriter", "at least 10 times as fast"))
        sys.stdout.write(verdict(figures, "write_table", "at most 1.30 of its time") + "\n")
    if values.milvus is None:
        return 0
    for dimensions in values.dimensions:
        title = f"upsert: {values.rows:,} rows of {dimensions} dimensions"
        figures = compare_upserts(values.milvus, values.rows, dimensions, values.repeats)
        sys.stdout.write(render(title, figures))
        sys.stdout.write(verdict(figures, CLIENT, "at least 1.50 times as fast"))
        sys.stdout.write(verdict(figures, "beam milvus_search", "shown beside ours") + "\n")
    if values.import_storage is not None:
        storage = import_storage(values.import_storage, values.import_path)
        sizes = sorted([*values.sizes, *([LARGE] if values.large else [])])
        found: list[tuple[Load, Load]] = []
        for size in sizes:
            until_indexed = values.until == "indexed"
            found.append(compare_loads(values.milvus, storage, size, values.dimensions[0], until_indexed=until_indexed))
            # After each: the next may take an hour.
            sys.stdout.write(render_loads(found, values.dimensions[0]))
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
