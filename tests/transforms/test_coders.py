"""The Arrow IPC coder."""

import pickle
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.verbs import run_verb
from transforms.adapters import spill
from transforms.coders import RecordBatchCoder
from transforms.logic.schemas import CHUNKS, DOCUMENTS, INTENTS, LEDGER, POINTERS, RECORDS, REJECTS, REUSED
from transforms.metrics import ByProducts

CODER = RecordBatchCoder()
SCHEMAS = [CHUNKS, DOCUMENTS, INTENTS, LEDGER, POINTERS, RECORDS, REJECTS, REUSED]


def test_it_is_the_registered_coder_of_record_batches() -> None:
    assert isinstance(beam.coders.registry.get_coder(pa.RecordBatch), RecordBatchCoder)
    assert CODER.to_type_hint() is pa.RecordBatch


def test_it_is_never_a_key() -> None:
    assert not CODER.is_deterministic()


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    texts=st.lists(st.none() | st.text(max_size=20), max_size=30),
    start=st.integers(0, 30),
    length=st.integers(0, 30),
)
def test_any_slice_comes_back_equal(texts: list[str | None], start: int, length: int) -> None:
    numbers = pa.array([None if text is None else list(text.encode()) for text in texts], pa.list_(pa.int32()))
    batch = pa.RecordBatch.from_arrays([pa.array(texts, pa.string()), numbers], ["text", "numbers"])
    part = batch.slice(min(start, len(texts)), length)
    again = CODER.decode(CODER.encode(part))
    assert again.equals(part)
    assert again.schema.equals(part.schema, check_metadata=True)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_an_empty_batch_of_every_schema_comes_back_equal(schema: pa.Schema) -> None:
    (batch,) = schema.empty_table().to_batches() or [pa.RecordBatch.from_pylist([], schema)]
    assert CODER.decode(CODER.encode(batch)).equals(batch)


def test_a_slice_costs_its_own_rows_only() -> None:
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(4096 * 64, dtype=np.float32)), 64)
    texts = pa.array([f"chunk {number} " * 20 for number in range(4096)])
    batch = pa.RecordBatch.from_arrays([values, texts], ["vector", "text"])
    whole, part = len(CODER.encode(batch)), len(CODER.encode(batch.slice(1000, 16)))
    assert part < whole / 100
    # What the coder is for: a pickled slice may hold its whole parent.
    assert part < len(pickle.dumps(batch.slice(1000, 16)))


class _Shuffled(beam.PTransform[beam.PCollection[pa.RecordBatch], beam.PCollection[pa.RecordBatch]]):
    def expand(self, batches: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[pa.RecordBatch]:
        return batches | beam.Map(_same).with_output_types(pa.RecordBatch) | beam.Reshuffle()


def _same(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


def test_a_typed_producer_sends_batches_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = RecordBatchCoder.encode

    def counting(self: RecordBatchCoder, value: pa.RecordBatch) -> bytes:
        encoded.append(value.num_rows)
        return encode(self, value)

    monkeypatch.setattr(RecordBatchCoder, "encode", counting)
    batches = [pa.RecordBatch.from_pydict({"a": list(range(size))}) for size in (1, 2, 3)]

    def make(kept: ByProducts) -> _Shuffled:
        return _Shuffled()

    outcome = run_verb(make, batches)
    assert sorted(batch.num_rows for batch in outcome.main) == [1, 2, 3]
    assert set(encoded) == {1, 2, 3}


def test_inside_spilling_batches_wait_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "_KEPT_BYTES", 0)
    crossed: list[bytes] = []
    decode = RecordBatchCoder.decode

    def watching(self: RecordBatchCoder, encoded: bytes) -> pa.RecordBatch:
        crossed.append(encoded)
        return decode(self, encoded)

    monkeypatch.setattr(RecordBatchCoder, "decode", watching)
    numbers = np.random.default_rng(0).integers(0, 1 << 60, (2, 4000))
    batches = [pa.RecordBatch.from_pydict({"a": row}) for row in numbers]

    def make(kept: ByProducts) -> _Shuffled:
        return _Shuffled()

    with spill.spilling():
        outcome = run_verb(make, batches)
    assert sorted(batch.column("a").to_pylist() for batch in outcome.main) == sorted(numbers.tolist())
    assert crossed
    assert max(map(len, crossed)) < 1000


def test_nothing_is_encoded_to_see_how_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = pa.RecordBatch.from_pydict({"a": list(range(100))})
    monkeypatch.setattr(RecordBatchCoder, "encode", lambda *_: pytest.fail("encoded"))
    implementation: Any = beam.coders.Coder.get_impl(RecordBatchCoder())
    assert implementation.estimate_size(batch) == batch.nbytes
