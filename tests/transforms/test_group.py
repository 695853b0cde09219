"""Rows grouped into buckets, batch by batch."""

from collections import Counter

import apache_beam as beam
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.verbs import run_verb
from transforms import group
from transforms.group import KeyByBucket
from transforms.logic.identity import buckets_of, digest, text_prefixes
from transforms.logic.schemas import KEY, MAX_BATCH_ROWS
from transforms.metrics import ByProducts


def _batch(names: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array(names, pa.string()), pa.array([digest(name) for name in names], KEY)], ["name", "key"]
    )


def _gathered(batches: list[list[str]], column: str, kind: str, bucket_count: int) -> list[tuple[int, pa.RecordBatch]]:
    gather = group._GatherFn(column, kind, bucket_count)
    gather.start_bundle()
    found = [keyed for names in batches for keyed in gather.process(_batch(names))]
    return found + [windowed.value for windowed in gather.finish_bundle()]


NAMES = st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=1, max_size=20)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(batches=st.lists(NAMES, max_size=6), bucket_count=st.integers(1, 50), kind=st.sampled_from(["key", "text"]))
def test_every_row_comes_once_in_the_bucket_of_its_key(batches: list[list[str]], bucket_count: int, kind: str) -> None:
    found = _gathered(batches, "key" if kind == "key" else "name", kind, bucket_count)
    names = Counter(name for batch in batches for name in batch)
    assert Counter(name for _, batch in found for name in batch.column("name").to_pylist()) == names
    for bucket, batch in found:
        # The prefix of a key and that of the text it is the digest of are one number.
        of_names = buckets_of(text_prefixes(batch.column("name").to_pylist()), bucket_count)
        assert set(of_names.tolist()) == {bucket}
        assert 0 <= bucket < bucket_count
    assert len(found) == len({bucket for bucket, _ in found})


def test_batches_keep_the_row_limit() -> None:
    found = _gathered([[f"{number}" for number in range(2000)]], "name", "text", 2)
    assert max(batch.num_rows for _, batch in found) == MAX_BATCH_ROWS
    assert sum(batch.num_rows for _, batch in found) == 2000


def test_a_worker_hands_on_what_it_gathered_before_it_fills_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "_GATHERED_BYTES", 1000)
    gather = group._GatherFn("name", "text", 4)
    gather.start_bundle()
    early = [keyed for number in range(50) for keyed in gather.process(_batch([f"a name {number}"]))]
    late = list(gather.finish_bundle())
    assert early
    assert sum(batch.num_rows for _, batch in early) + sum(one.value[1].num_rows for one in late) == 50


def test_a_bundle_starts_empty_after_one_that_failed() -> None:
    gather = group._GatherFn("name", "text", 4)
    gather.start_bundle()
    list(gather.process(_batch(["lost"])))
    gather.start_bundle()
    assert list(gather.finish_bundle()) == []


class _Grouped(beam.PTransform[beam.PCollection[pa.RecordBatch], beam.PCollection[tuple[int, list[str]]]]):
    def expand(self, batches: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[tuple[int, list[str]]]:
        keyed = batches | KeyByBucket("name", "text", 8) | beam.GroupByKey()
        return keyed | beam.MapTuple(
            lambda bucket, found: (bucket, sorted(n for b in found for n in b.column("name").to_pylist()))
        )


def _make(kept: ByProducts) -> _Grouped:
    return _Grouped()


def test_a_bucket_meets_once_after_the_shuffle() -> None:
    names = [f"document {number}" for number in range(100)]
    outcome = run_verb(_make, [_batch(names[start::7]) for start in range(7)])
    buckets = [bucket for bucket, _ in outcome.main]
    assert len(buckets) == len(set(buckets))
    assert sorted(name for _, found in outcome.main for name in found) == sorted(names)
