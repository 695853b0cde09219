"""A content that stands in many documents is encoded once, however often it comes and whoever meets it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import fakes
from tests.conftest import ROOT
from tests.pipelines.jobs import DIMENSIONS, Job, Row, document, document_counts, row_counts
from transforms.adapters.workspace import Shard
from transforms.logic.identity import buckets_of

FOOTER = "The same footer stands at the foot of every page."
BANNER = "A second text is repeated too."
SPOILT = "This footer is poison."
COPIES = 240
SPOILT_COPIES = 80
BANNERS = 3
OTHERS = 20
BUCKETS = 8


def _write_corpus(job: Job) -> None:
    """Four files; in each the footer, the text that gets no sound vector, and documents of their own."""
    for number in range(4):
        records = [document(f"own{place}") for place in range(number, OTHERS, 4)]
        records += [
            document(f"footer{place}", FOOTER, lang="de" if place % 3 else "en") for place in range(number, COPIES, 4)
        ]
        records += [document(f"spoilt{place}", SPOILT) for place in range(number, SPOILT_COPIES, 4)]
        records += [document(f"banner{place}", BANNER) for place in range(number, BANNERS, 4)]
        job.write(f"{number}.jsonl", records)


@dataclass(frozen=True)
class Reference:
    job: Job
    record: dict[str, Any]
    rows: dict[str, Row]
    encoded: list[str]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, small_model: Path) -> Iterator[Reference]:
    """The corpus run once, with the encoder patched for the whole module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
        job = Job(tmp_path_factory.mktemp("reference"), small_model)
        _write_corpus(job)
        fakes.ENCODED.clear()
        record = job.run()
        yield Reference(job, record, job.rows(), list(fakes.ENCODED))


def test_each_content_is_encoded_once_and_its_copies_counted(reference: Reference) -> None:
    record = reference.record
    assert Counter(reference.encoded).most_common(1)[0][1] == 1
    assert {FOOTER, BANNER, SPOILT} <= set(reference.encoded)
    assert len(reference.encoded) == OTHERS + 3
    duplicates = (COPIES - 1) + (SPOILT_COPIES - 1) + (BANNERS - 1)
    assert record["chunks"]["split"] == OTHERS + COPIES + SPOILT_COPIES + BANNERS
    assert record["chunks"]["duplicates"] == duplicates
    # One worker gathers all: of the two contents that come too often all but one row are repeats.
    assert record["chunks"]["hot"] == (COPIES - 1) + (SPOILT_COPIES - 1)
    assert record["vectors"] == {"encoded": OTHERS + 2, "reused": (COPIES - 1) + (BANNERS - 1)}
    assert record["differences"] == []


def test_every_copy_has_its_row_with_the_one_vector(reference: Reference) -> None:
    rows = reference.rows.values()
    assert len(rows) == OTHERS + COPIES + BANNERS
    vectors = {row["document_id"]: row["dense"] for row in rows if row["text"] == FOOTER}
    assert set(vectors) == {f"footer{place}" for place in range(COPIES)}
    assert len(set(vectors.values())) == 1
    for row in rows:
        expected = fakes.outputs_of([f"passage: |bfloat16|{row['text']}"], DIMENSIONS, ["dense"]).dense
        assert expected is not None
        np.testing.assert_allclose(row["dense"], expected[0], atol=2e-3)


def test_every_copy_of_a_content_without_a_sound_vector_is_rejected(reference: Reference) -> None:
    assert reference.record["rejects"] == {"chunk.bad_vector": SPOILT_COPIES}
    rejects = reference.job.rejects(reference.record)
    assert {row["document_id"] for row in rejects} == {f"spoilt{place}" for place in range(SPOILT_COPIES)}
    assert document_counts(reference.record) == (343, OTHERS + 2, COPIES - 1 + BANNERS - 1, 0, SPOILT_COPIES)


def test_a_shard_of_repeats_covers_one_bucket(reference: Reference) -> None:
    shards = [
        Shard(path.name, *(int(part, 16) for part in path.name.split("-")[:2]))
        for path in reference.job.workspace.glob("dataset/*/*.parquet")
    ]
    assert len(shards) <= 2 * BUCKETS
    for shard in shards:
        buckets = buckets_of(np.array([shard.first, shard.last], np.uint32), BUCKETS)
        assert buckets[0] == buckets[1]


def _comparable(record: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on how the work was bundled: all but which duplicates counted as hot."""
    kept = {
        name: record[name] for name in ("documents", "rejects", "tokens", "vectors", "rows", "partitions", "languages")
    }
    chunks = {name: count for name, count in record["chunks"].items() if name != "hot"}
    return {**kept, "chunks": chunks, "differences": record["differences"], "exit_code": record["exit_code"]}


@pytest.mark.parametrize(
    "beam_flags",
    [
        ["--direct_num_workers=2", "--direct_running_mode=multi_threading"],
        ["--direct_runner_bundle_repeat=1"],
        pytest.param(["--direct_num_workers=2", "--direct_running_mode=multi_processing"], marks=pytest.mark.slow),
    ],
    ids=["two threads", "every bundle twice", "two processes"],
)
def test_workers_and_replayed_bundles_change_nothing(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beam_flags: list[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for workers that are processes of their own
    job = Job(tmp_path, reference.job.model)
    record = job.run(*beam_flags, input=f"{reference.job.corpus}/*")
    assert record["chunks"]["hot"] > SPOILT_COPIES
    assert _comparable(record) == _comparable(reference.record)
    assert job.rows() == reference.rows


def test_a_rerun_finds_repeats_stored_and_new_copies_get_the_known_vector(job: Job) -> None:
    _write_corpus(job)
    first = job.run()
    fakes.ENCODED.clear()
    again = job.run(recheck=True)
    # The rejected content is tried once more; nothing else is.
    assert fakes.ENCODED == [SPOILT]
    assert row_counts(again) == (263, 0, 263, 0)
    assert again["vectors"] == {"encoded": 0, "reused": 0}
    assert again["chunks"] == first["chunks"]
    assert again["differences"] == []

    job.write("4.jsonl", [document(f"more{place}", FOOTER) for place in range(100)])
    fakes.ENCODED.clear()
    more = job.run()
    assert fakes.ENCODED == [SPOILT]
    assert more["vectors"] == {"encoded": 0, "reused": 100}
    assert row_counts(more) == (363, 100, 263, 0)
    assert more["differences"] == []
    rows = [row for row in job.rows().values() if row["text"] == FOOTER]
    assert len(rows) == COPIES + 100
    assert len({row["dense"] for row in rows}) == 1
