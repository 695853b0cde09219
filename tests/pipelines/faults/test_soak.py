"""Run after run in one process: memory, files and threads stay what they were."""

import gc
import os
import threading
from pathlib import Path

import pytest

from tests import fakes
from tests.pipelines.jobs import Job, document, story

_RUNS = 20
_DOCUMENTS = 1_000
_CHUNKS_OF_DOCUMENT = 10


def _memory_bytes() -> int:
    """Resident memory of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _files_and_threads() -> tuple[int, int]:
    return sum(1 for _ in Path("/proc/self/fd").iterdir()), threading.active_count()


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_memory_files_and_threads_are_flat_over_200_000_chunks(job: Job) -> None:
    measured = []
    for number in range(_RUNS):
        # Every run has new texts for the same documents, so that it encodes, stores, writes and deletes alike.
        job.write(
            "a.jsonl",
            [
                document(f"d{place}", story(f"{number} and {place}", 2 * _CHUNKS_OF_DOCUMENT))
                for place in range(_DOCUMENTS)
            ],
        )
        record = job.run()
        fakes.ENCODED.clear()
        fakes._unit_vector.cache_clear()
        assert record["vectors"]["encoded"] == _DOCUMENTS * _CHUNKS_OF_DOCUMENT
        assert record["rows"]["held"] == _DOCUMENTS * _CHUNKS_OF_DOCUMENT
        measured.append((_memory_bytes(), *_files_and_threads()))
    memory, files, threads = zip(*measured, strict=True)
    half = _RUNS // 2
    assert max(files[half:]) <= max(files[:half])
    assert max(threads[half:]) <= max(threads[:half])
    # The text and vector of a chunk are half a kilobyte here: if the second half's were kept, it would be more than this.
    assert max(memory[half:]) - max(memory[2:half]) < 32 << 20
