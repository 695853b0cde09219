"""Rows grouped into buckets, batch by batch."""

from collections import Counter
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.pvalue import TaggedOutput
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.verbs import chunks, record, run_verb
from transforms import group
from transforms.group import KeyByBucket
from transforms.logic.identity import buckets_of, digest, key_prefixes, text_prefixes
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
    monkeypatch.setattr(group, "_MOST_GATHERED_BYTES", 1000)
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


def _chunks(texts: list[str], start: int) -> pa.RecordBatch:
    return chunks(*(record(f"d{start + number}", text, position=start + number) for number, text in enumerate(texts)))


def _gathered_by_content(batches: list[pa.RecordBatch], bucket_count: int) -> tuple[list[Any], list[Any]]:
    """What is keyed for the buckets, and what is set aside."""
    gather = group._GatherContentFn(bucket_count)
    gather.start_bundle()
    found = [output for batch in batches for output in gather.process(batch)]
    found += [
        TaggedOutput(one.tag, one.value.value) if isinstance(one, TaggedOutput) else one.value
        for one in gather.finish_bundle()
    ]
    repeats = [one.value for one in found if isinstance(one, TaggedOutput)]
    return [one for one in found if not isinstance(one, TaggedOutput)], repeats


@pytest.mark.parametrize("gathered_bytes", [1, 30_000, 1 << 30])
@pytest.mark.parametrize("bucket_count", [1, 50])
def test_a_footer_of_every_document_is_set_aside_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, gathered_bytes: int, bucket_count: int
) -> None:
    monkeypatch.setattr(group, "_MOST_GATHERED_BYTES", gathered_bytes)
    batches = [_chunks(["a footer", f"text {batch}"] * 20, 40 * batch) for batch in range(20)]
    rows, repeats = _gathered_by_content(batches, bucket_count)
    sent = Counter(row["id"] for _, batch in [*rows, *repeats] for row in batch.to_pylist())
    assert sent == Counter(row["id"] for batch in batches for row in batch.to_pylist())
    texts = Counter(row["text"] for _, batch in repeats for row in batch.to_pylist())
    in_buckets = Counter(row["text"] for _, batch in rows for row in batch.to_pylist())
    # A content is hot once more than 64 rows of it came beyond the first of their buffer; every buffer still sends its first row.
    assert set(texts) == {"a footer"}
    assert in_buckets["a footer"] <= 64 + len(batches) + 20
    assert all(in_buckets[f"text {batch}"] == 20 for batch in range(20))
    for key, batch in repeats:
        bucket = buckets_of(key_prefixes(batch.column("content_key")), bucket_count)
        assert {key // group._PARTS_OF_BUCKET} == set(bucket.tolist())


def test_repeats_of_one_content_are_spread_over_several_workers() -> None:
    batches = [_chunks(["a footer"] * 400, 400 * batch) for batch in range(50)]
    _, repeats = _gathered_by_content(batches, 8)
    per_key = Counter({key: 0 for key, _ in repeats})
    for key, batch in repeats:
        per_key[key] += batch.num_rows
    assert sum(per_key.values()) == 50 * 400 - 1
    assert len(per_key) >= group._PARTS_OF_BUCKET // 2
    assert max(per_key.values()) < sum(per_key.values()) / 4


def test_a_worker_remembers_a_hot_content_from_bundle_to_bundle() -> None:
    gather = group._GatherContentFn(4)
    sent = []
    for bundle in range(40):
        gather.start_bundle()
        assert list(gather.process(_chunks(["a footer"] * 5, 5 * bundle))) == []
        outputs = [one for one in gather.finish_bundle() if not isinstance(one, TaggedOutput)]
        sent.append(sum(one.value[1].num_rows for one in outputs))
    assert sent == [5] * 16 + [1] * 24
