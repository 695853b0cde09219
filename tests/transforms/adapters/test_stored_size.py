from pathlib import Path
from typing import Any

import pytest

from pipelines.configuration import options
from pipelines.plan.looking import Wanted, look
from pipelines.plan.planning import intend
from tests.pipelines.jobs import Job, document, make_model, story
from transforms.adapters.models import describe_model
from transforms.adapters.stored_size import distinct_tokens, field_row_bytes, shard_bytes
from transforms.logic.outputs import OUTPUTS


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    job = Job(tmp_path, make_model(tmp_path / "model"))
    job.write("a.jsonl", [document(f"a{number}", story(f"a{number}", 6)) for number in range(50)])
    return look(intend(options.to_config(job.options())), Wanted(0.95, 0)).rows


def test_a_shard_takes_what_its_rows_and_its_frame_take(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    model = describe_model(str(tmp_path / "model"))

    def size(count: float) -> float:
        return shard_bytes(rows, count, model, OUTPUTS[:1], 5)

    assert size(100) == shard_bytes(rows[::-1], 100, model, OUTPUTS[:1], 5)
    of_row = (size(1100) - size(100)) / 1000
    # Sixteen numbers of 16 bits, which hardly pack, three keys of 16 bytes, which do not, and text, which does.
    assert 2 * 16 + 3 * 16 < of_row < 2 * 16 + 3 * 16 + sum(len(row["text"]) for row in rows) / len(rows) + 150
    assert size(100) / 100 < size(10) / 10 < size(1)


def test_fields_are_those_that_milvus_holds(rows: list[dict[str, Any]]) -> None:
    some = rows[:1]
    (row,) = some
    texts = ("id", "document_id", "text", "language", "script", "chunk_language", "source", "date", "metadata")
    numbers = ("ordinal", "start", "end", "language_score", "chunk_language_score", "tokens", "unknown_fraction")
    assert field_row_bytes(some) == sum(len(row[name].encode()) for name in texts) + 8 * len(numbers)
    assert distinct_tokens(some) == len(set(row["token_ids"].tolist()))
