"""Documents that stay are told of by their rank, and come back as they were."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.coders import RecordBatchCoder
from transforms.logic.errors import CorruptDataError
from transforms.logic.identity import buckets_of, chunk_id, digest, text_prefixes
from transforms.logic.notices import NoticeGatherer, kept_documents
from transforms.logic.recognition import KnownKeys, known_by_source, recognise
from transforms.logic.schemas import KEPT, KEY, LEDGER, NOTICES, batch_of, concatenate, with_columns

Row = dict[str, Any]
Keyed = tuple[int, pa.RecordBatch]

SOURCES = ("a.jsonl", "b.jsonl", "ünïcode/c.jsonl")


def buckets_of_documents(table: Any, bucket_count: int) -> Any:
    return buckets_of(text_prefixes(table.column("document_id").to_pylist()), bucket_count)


def known_of(parts: Iterable[pa.Table], sources: Iterable[str], bucket_count: int) -> dict[str, KnownKeys]:
    """What the workers are told of some sources."""
    told = [known_by_source(part, buckets_of_documents(part, bucket_count)) for part in parts]
    return {source: KnownKeys([part[source] for part in told if source in part]) for source in sources}


def notices_of(batches: Iterable[pa.RecordBatch], parts: Sequence[pa.Table], bucket_count: int) -> list[Keyed]:
    """Notices by bucket of batches of documents, with their keys, of which some are known."""
    gathered = NoticeGatherer()
    for batch in batches:
        buckets = buckets_of_documents(batch, bucket_count)
        known = known_of(parts, batch.column("source").unique().to_pylist(), bucket_count)
        gathered.add(batch, buckets, recognise(batch, buckets, known))
    return list(gathered.drain())


def ledger_row(document: str, source: str | None, key: bytes | None, ordinal: int = 0) -> Row:
    return {
        "id": chunk_id(document, ordinal, "lang_en"),
        "document_id": document,
        "partition": "lang_en",
        "row_key": digest(document, ordinal),
        "shard": "s.parquet",
        "row": ordinal,
        "source": source,
        "document_key": key,
    }


def read_row(document: str, source: str, position: int, version: int = 0) -> Row:
    return {
        "document_id": document,
        "document_key": digest(document, source, version),
        "source": source,
        "position": position,
    }


def _table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_batches([batch_of(rows, LEDGER)])


def _of_bucket(notices: Iterable[Keyed], number: int) -> pa.Table:
    return concatenate((batch for bucket, batch in notices if bucket == number), NOTICES)


def _restored(notices: Sequence[Keyed], held: pa.Table, bucket_count: int) -> list[Row]:
    buckets = buckets_of_documents(held, bucket_count)
    rows = []
    for bucket in range(bucket_count):
        kept = kept_documents(_of_bucket(notices, bucket), held.filter(pa.array(buckets == bucket)))
        assert kept.schema == KEPT
        rows += kept.to_pylist()
    return sorted(rows, key=_place)


def _place(row: Row) -> tuple[Any, ...]:
    return (row["source"], row["position"], row["document_id"], row["document_key"])


NAMES = st.sampled_from([f"document {number}" for number in range(25)])
# Of each held document: id, source or none as an earlier version wrote, whether it has a key, how many chunks.
HELD = st.lists(
    st.tuples(NAMES, st.sampled_from((*SOURCES, None)), st.booleans(), st.integers(1, 3)),
    max_size=30,
    unique_by=lambda document: document[:2],
)
# Of each document that is read: id, source, position, whether it was edited. The same one may come twice.
READ = st.lists(
    st.tuples(NAMES, st.sampled_from(SOURCES), st.integers(0, 1 << 40), st.sampled_from((0, 0, 0, 1))), max_size=40
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    held=HELD,
    read=READ,
    batch_rows=st.integers(1, 15),
    bundle_batches=st.integers(1, 4),
    bucket_count=st.integers(1, 9),
    part_count=st.integers(1, 4),
)
def test_what_is_told_of_known_documents_comes_back_as_it_was(
    held: list[tuple[str, str | None, bool, int]],
    read: list[tuple[str, str, int, int]],
    batch_rows: int,
    bundle_batches: int,
    bucket_count: int,
    part_count: int,
) -> None:
    rows = [
        ledger_row(name, source, digest(name, source or "", 0) if has_key else None, ordinal)
        for name, source, has_key, chunks in held
        for ordinal in range(chunks)
    ]
    # All rows of a document lie in one part.
    part_of = buckets_of(text_prefixes([row["document_id"] for row in rows]), part_count)
    parts = [_table([row for row, part in zip(rows, part_of, strict=True) if part == one]) for one in range(part_count)]
    documents = [read_row(*document) for document in read]
    batches = [batch_of(documents[start : start + batch_rows], KEPT) for start in range(0, len(documents), batch_rows)]

    notices = [
        keyed
        for start in range(0, len(batches), bundle_batches)
        for keyed in notices_of(batches[start : start + bundle_batches], parts, bucket_count)
    ]

    assert all(batch.schema == NOTICES for _, batch in notices)
    there = {(row["source"], row["document_key"]) for row in rows if None not in (row["source"], row["document_key"])}
    known = [row for row in documents if (row["source"], row["document_key"]) in there]
    assert _restored(notices, _table(rows), bucket_count) == sorted(known, key=_place)


@pytest.mark.parametrize("first", [0, -5, 1 << 60])
@pytest.mark.parametrize("gap", [0, 1, 300, 1 << 17, 1 << 40])
@pytest.mark.parametrize("count", [1, 2, 256, 257])
def test_positions_and_ranks_of_every_width_come_back(count: int, gap: int, first: int) -> None:
    documents = [read_row(f"d{number}", "a.jsonl", first + number * gap) for number in range(count)]
    held = _table([ledger_row(row["document_id"], "a.jsonl", row["document_key"]) for row in documents])
    notices = notices_of([batch_of(documents, KEPT)], [held], 1)
    assert _restored(notices, held, 1) == sorted(documents, key=_place)


def test_a_document_takes_few_bytes_on_its_way() -> None:
    """Ranks below 2^16 and positions some kilobytes apart take two bytes each."""
    documents = [read_row(f"d{number}", "gs://corpus/a.jsonl", 90 * number) for number in range(20_000)]
    held = _table([ledger_row(row["document_id"], row["source"], row["document_key"]) for row in documents])
    notices = notices_of([batch_of(documents, KEPT)], [held], 8)
    assert sum(len(RecordBatchCoder().encode(batch)) for _, batch in notices) < 5 * len(documents)


def test_many_small_sources_keep_the_row_limit() -> None:
    documents = [read_row(f"d{number}", f"{number}.jsonl", 0) for number in range(1200)]
    held = _table([ledger_row(row["document_id"], row["source"], row["document_key"]) for row in documents])
    notices = notices_of([batch_of(documents, KEPT)], [held], 1)
    assert [batch.num_rows for _, batch in notices] == [512, 512, 176]
    assert _restored(notices, held, 1) == sorted(documents, key=_place)


def test_what_was_drained_is_not_told_again() -> None:
    documents = batch_of([read_row("d", "a.jsonl", 7)], KEPT)
    held = _table([ledger_row("d", "a.jsonl", digest("d", "a.jsonl", 0))])
    gathered, buckets = NoticeGatherer(), np.zeros(1, np.int64)
    found = recognise(documents, buckets, known_of([held], ["a.jsonl"], 1))
    for _ in range(2):
        gathered.add(documents, buckets, found)
        assert len(gathered) == 1
        assert len(list(gathered.drain())) == 1
        assert len(gathered) == 0
        assert list(gathered.drain()) == []


def _same_head(*ends: int) -> list[bytes]:
    return [digest("head")[:8] + end.to_bytes(8, "big") for end in ends]


def test_documents_whose_keys_share_a_head_are_not_taken_for_one_another() -> None:
    """Of two known ones neither is recognised; one that is not known fails the run at its bucket."""
    one, other, third = _same_head(1, 2, 3)
    held = _table(
        [ledger_row(name, "a.jsonl", key) for name, key in (("d", one), ("e", other), ("f", digest("f")))]
        + [ledger_row("g", "b.jsonl", one)]
    )
    documents = batch_of(
        [
            {**read_row(name, source, 0), "document_key": key}
            for name, source, key in (("d", "a.jsonl", one), ("f", "a.jsonl", digest("f")), ("g", "b.jsonl", one))
        ],
        KEPT,
    )
    found = recognise(documents, np.zeros(3, np.int64), known_of([held], SOURCES, 1))
    assert (found.ranks >= 0).tolist() == [False, True, True]
    restored = _restored(notices_of([documents], [held], 1), held, 1)
    assert [row["document_id"] for row in restored] == ["f", "g"]

    mistaken = with_columns(documents[2:], KEPT, document_key=pa.array([third], KEY))
    with pytest.raises(CorruptDataError, match=r"documents of b\.jsonl .* --recheck"):
        _restored(notices_of([mistaken], [held], 1), held, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"known": pa.array([2], pa.uint32())},
        {"known": pa.array([4], pa.uint32())},
        {"source": pa.array(["b.jsonl"])},
        {"ranks": pa.array([b"\x00\x03"])},
        {"ranks": pa.array([b""])},
        {"ranks": pa.array([b"\x00\x00"])},
        {"check": pa.array([0], pa.uint64())},
    ],
)
def test_a_notice_that_does_not_speak_of_the_held_rows_is_caught(change: dict[str, pa.Array]) -> None:
    held = _table([ledger_row(name, "a.jsonl", digest(name, "a.jsonl", 0)) for name in "def"])
    ((_, batch),) = notices_of([batch_of([read_row(name, "a.jsonl", 0) for name in "de"], KEPT)], [held], 1)
    source = change["source"][0].as_py() if "source" in change else "a.jsonl"
    with pytest.raises(CorruptDataError, match=f"documents of {source} were compared with other rows"):
        kept_documents(pa.Table.from_batches([with_columns(batch, NOTICES, **change)]), held)


def test_a_ledger_that_lost_or_won_a_document_since_is_caught() -> None:
    rows = [ledger_row(name, "a.jsonl", digest(name, "a.jsonl", 0)) for name in "def"]
    ((_, batch),) = notices_of([batch_of([read_row("d", "a.jsonl", 0)], KEPT)], [_table(rows)], 1)
    notices = pa.Table.from_batches([batch])
    another = ledger_row("g", "a.jsonl", digest("g"))
    for other in (rows[:2], [*rows, another], []):
        with pytest.raises(CorruptDataError, match=r"documents of a\.jsonl"):
            kept_documents(notices, _table(other))
    elsewhere = [*rows, {**another, "source": "b.jsonl"}, {**another, "document_key": None}]
    assert kept_documents(notices, _table(elsewhere)).column("document_id").to_pylist() == ["d"]


def test_nothing_told_keeps_nothing() -> None:
    assert kept_documents(NOTICES.empty_table(), LEDGER.empty_table()).equals(KEPT.empty_table())
