"""Parquet bombs: what a row group would cost is known before it is decoded."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.transforms.adapters.formats.forge import (
    DATA,
    DELTA_BYTE_ARRAY,
    DICTIONARY,
    INT64,
    PLAIN,
    REPEATED,
    RLE_DICTIONARY,
    ZSTD,
    Column,
    levels,
    page,
    parquet,
    run,
    texts,
)
from tests.transforms.adapters.formats.reading_files import packed, reading_of
from transforms.adapters.formats import Split
from transforms.adapters.formats.chunks import Chunk, MalformedChunkError
from transforms.adapters.formats.pages import OversizedError, choose_batch_rows
from transforms.adapters.formats.tables import read_parquet

ROOT = Path(__file__).parents[4]

MEGABYTE = 1 << 20
ALLOWED_BYTES = 1200 * MEGABYTE
ROWS = 50_000


def plain(name: bytes, values: list[bytes]) -> Column:
    return Column(name, [page(DATA, len(values), texts(values), PLAIN)], len(values))


def repeated(name: bytes, value: bytes, rows: int) -> Column:
    """One value, so many times, by a dictionary of one entry."""
    entry, indices = texts([value]), bytes([1]) + run(0, rows, 1)
    pages = [
        page(DICTIONARY, 1, zstandard.compress(entry), PLAIN, len(entry)),
        page(DATA, rows, zstandard.compress(indices), RLE_DICTIONARY, len(indices)),
    ]
    return Column(name, pages, rows, codec=ZSTD, dictionary=True)


def packed_page(claimed_bytes: int) -> bytes:
    """One row whose page really unpacks to 256 MiB, and says what it is told to."""
    content = zstandard.compress(bytes(256 * MEGABYTE))
    pages = [page(DATA, 1, content, PLAIN, claimed_bytes)]
    return parquet([plain(b"id", [b"1"]), Column(b"text", pages, 1, codec=ZSTD)], 1)


def long_list(values: int) -> bytes:
    """One row whose list has so many numbers, in a few bytes."""
    repetition = run(0, 1, 1) + run(1, values - 1, 1)
    content = len(repetition).to_bytes(4, "little") + repetition + levels(1, values) + bytes([1]) + run(0, values, 1)
    pages = [page(DICTIONARY, 1, bytes(8), PLAIN), page(DATA, values, content, RLE_DICTIONARY)]
    column = Column(b"list", pages, values, physical=INT64, repetition=REPEATED, dictionary=True)
    return parquet([plain(b"id", [b"1"]), plain(b"text", [b"t"]), column], 1)


def shared_prefixes() -> bytes:
    table = pa.table({"id": [str(n) for n in range(200)], "text": ["x" * MEGABYTE] * 200})
    encodings = {"text": "DELTA_BYTE_ARRAY", "id": "PLAIN"}
    return packed(table, use_dictionary=False, column_encoding=encodings)


def list_of_truths() -> bytes:
    values = pa.array(np.zeros(60 * MEGABYTE, bool))
    offsets = pa.array([0, len(values)], pa.int32())
    return packed(pa.table({"id": ["1"], "text": ["t"], "list": pa.ListArray.from_arrays(offsets, values)}))


def much(value: bytes, rows: int = ROWS) -> bytes:
    return parquet([repeated(b"id", b"i", rows), repeated(b"text", value, rows)], rows)


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a text of 1 MB 50,000 times": (lambda: much(b"x" * MEGABYTE), "decompression_bomb"),
    "a text of 60 MB 50,000 times": (lambda: much(b"x" * 60 * MEGABYTE), "decompression_bomb"),
    "a text of 200 MB 50,000 times": (lambda: much(b"x" * 200 * MEGABYTE), "decompression_bomb"),
    "two thousand million rows": (lambda: much(b"short", (1 << 31) - 1), "decompression_bomb"),
    "a page of 2 GB": (lambda: packed_page((1 << 31) - 1), "decompression_bomb"),
    "a page that says 1,000 bytes": (lambda: packed_page(1000), "unreadable_file"),
    "a list of 268 million numbers": (lambda: long_list(1 << 28), "decompression_bomb"),
    "a list of 63 million truths": (list_of_truths, "decompression_bomb"),
    "200 texts of 1 MB that share all": (shared_prefixes, "decompression_bomb"),
}

PROGRAM = """
import json, resource, sys
from transforms.adapters.formats import Split, read_split
from transforms.logic.records import Reading
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
limit = int(sys.argv[2])
if limit:
    with open("/proc/self/statm") as status:
        mapped = int(status.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + limit, mapped + limit))
documents, reasons = 0, []
for page in read_split(Split(sys.argv[1], "parquet", 0, -1, 0, ""), Reading()):
    documents += len(page.documents)
    reasons += [reject["reason"] for reject in page.rejects]
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
print(json.dumps([documents, sorted(set(reasons)), grown]))
"""


def read_apart(path: Path, limit_bytes: int) -> tuple[int, list[str], int]:
    """Documents, reasons and growth of memory in bytes, of a process that may map no more than so many bytes (0: any)."""
    command = [sys.executable, "-c", PROGRAM, str(path), str(limit_bytes)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    documents, reasons, grown = json.loads(done.stdout)
    return documents, reasons, grown


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_a_reject_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    build, reason = BOMBS[kind]
    path = tmp_path / "a.parquet"
    path.write_bytes(build())
    documents, reasons, _ = read_apart(path, ALLOWED_BYTES)
    assert reason in reasons
    assert documents * MEGABYTE < 100 * MEGABYTE or kind == "two thousand million rows"


def test_an_honest_row_group_is_read_in_a_fraction_of_its_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    words = [format(word, "x") for word in rng.integers(0, 1 << 40, 5000)]
    rows = 12_000
    written = [" ".join(words[word] for word in rng.integers(0, 5000, 1500)) for _ in range(100)]
    table = pa.table(
        {
            "id": [str(number) for number in range(rows)],
            "text": [written[number % 100][number % 97 :] + str(number) for number in range(rows)],
            "tags": [["a", "b"]] * rows,
        }
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, compression="snappy", row_group_size=rows)
    size_bytes = table.nbytes
    assert size_bytes > 180 * MEGABYTE
    assert pq.read_metadata(path).num_row_groups == 1
    documents, reasons, grown = read_apart(path, 0)
    assert (documents, reasons) == (rows, [])
    assert grown < size_bytes * 0.7


def chunk_of(pages: list[bytes], values: int, **options: object) -> tuple[Chunk, Callable[[int, int], bytes]]:
    content = b"PAR1" + b"".join(pages)
    known = {"path": "c", "start": 4, "stop": len(content), "values": values, "codec": "", "width": None, **options}
    return Chunk(**known), lambda start, size: content[start : start + size]  # type: ignore[arg-type]


@pytest.mark.parametrize(("value_bytes", "rows"), [(10, 4096), (100_000, 1024), (1_000_000, 64), (30_000_000, 4)])
def test_the_larger_the_values_the_smaller_the_batches(value_bytes: int, rows: int) -> None:
    chunk, read_at = chunk_of([page(DATA, 1, b"", PLAIN, value_bytes, 0)] * 5000, 5000)
    assert choose_batch_rows([chunk], read_at) == rows


def test_one_large_page_does_not_slow_the_others_down() -> None:
    small = [page(DATA, 100, b"", PLAIN, 1000, 0)] * 50
    chunk, read_at = chunk_of([*small, page(DATA, 1, b"", PLAIN, 60 * MEGABYTE, 0), *small], 10_001)
    assert choose_batch_rows([chunk], read_at) == 4096


def test_the_longest_entry_of_a_dictionary_bounds_the_batch_not_its_size() -> None:
    entries = texts([b"x" * 100] * 20_000)
    pages = [
        page(DICTIONARY, 20_000, entries, PLAIN),
        page(DATA, 50_000, bytes([1]) + run(0, 50_000, 1), RLE_DICTIONARY),
    ]
    chunk, read_at = chunk_of(pages, 50_000)
    assert choose_batch_rows([chunk], read_at) == 4096
    entries = texts([b"x" * 2 * MEGABYTE])
    pages[0] = page(DICTIONARY, 1, entries, PLAIN)
    chunk, read_at = chunk_of(pages, 50_000)
    assert choose_batch_rows([chunk], read_at) == 16


def test_pages_of_shared_prefixes_count_as_whole_for_each_value() -> None:
    chunk, read_at = chunk_of([page(DATA, 9000, b"", DELTA_BYTE_ARRAY, MEGABYTE, 0)], 9000)
    assert choose_batch_rows([chunk], read_at) == 64


@pytest.mark.parametrize(
    "pages",
    [
        [],
        [b""],
        [b"\xff" * 50],
        [page(DATA, 1, b"x", PLAIN)],
        [page(DATA, 5, b"x", PLAIN, packed_bytes=100)],
        [page(DATA, -5, b"x", PLAIN)],
        [page(DATA, 5, b"x", PLAIN, unpacked_bytes=-1)],
        [page(DICTIONARY, 1 << 30, b"x", PLAIN), page(DATA, 5, b"x", RLE_DICTIONARY)],
        [b"\x1c" * 5000],
    ],
)
def test_pages_that_do_not_hold_together_are_refused(pages: list[bytes]) -> None:
    chunk, read_at = chunk_of(pages, 5)
    with pytest.raises(MalformedChunkError, match="column 'c'"):
        choose_batch_rows([chunk], read_at)


def test_many_columns_share_one_budget() -> None:
    chunk, read_at = chunk_of([page(DATA, 5, b"", PLAIN, 100 * MEGABYTE, 0)], 5)
    assert choose_batch_rows([chunk], read_at) >= 1
    with pytest.raises(OversizedError, match="--metadata-columns"):
        choose_batch_rows([chunk] * 5, read_at)


def test_a_header_longer_than_the_first_look_is_read_whole(tmp_path: Path) -> None:
    value = "ü" * 100_000
    table = pa.table({"id": ["1"], "text": [value]})
    content = packed(table, use_dictionary=False, write_statistics=True, compression="none")
    records = list(
        read_parquet(io.BytesIO(content), Split("a", "parquet", 0, -1, 0, ""), reading_of(most_bytes=1 << 20))
    )
    assert [record.values for record in records] == [{"id": "1", "text": value}]
