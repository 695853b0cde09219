"""Whatever runs do and wherever they die: after a committed run the collection holds exactly the wanted rows."""

from collections import Counter
from collections.abc import Collection, Iterable
from random import Random
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.identity import chunk_id, digest
from transforms.logic.ledger import Bucket, Reconciliation, reconcile, reconcile_bucket, without_rows
from transforms.logic.schemas import INTENTS, KEPT, LEDGER, POINTERS, Origin, batch_of

Document = tuple[
    str, str, int, str, tuple[str | None, ...]
]  # id, source, position, partition, content of each chunk or None
Run = tuple[
    list[Document], bool, int
]  # what it reads, whether it commits, how many of its changes it makes before it dies

DOCUMENTS = st.tuples(
    st.sampled_from(("a", "b", "c")),
    st.sampled_from(("one.jsonl", "two.jsonl")),
    st.integers(0, 1),
    st.sampled_from(("lang_de", "lang_en")),
    st.lists(st.one_of(st.none(), st.sampled_from("xyz")), min_size=1, max_size=4).map(tuple),
)
READ = st.lists(DOCUMENTS, max_size=5, unique_by=lambda document: document[:3])
RUNS = st.lists(st.tuples(READ, st.booleans(), st.integers(0, 12)), min_size=1, max_size=6)


def pointers(document: Document, stored: Collection[str | None] = ()) -> list[dict[str, Any]]:
    document_id, source, position, partition, contents = document
    rows = []
    for ordinal, content in enumerate(contents):
        identity = chunk_id(document_id, ordinal, partition)
        known = content in stored
        origin = Origin.REJECTED if content is None else Origin.REUSED if known else Origin.ENCODED
        rows.append(
            {
                "id": identity,
                "document_id": document_id,
                "source": source,
                "position": position,
                "document_key": document_key(document),
                "partition": partition,
                "tokens": 1,
                "row_key": digest(identity, content or ""),
                "shard": None if content is None else f"shard-{content}",
                "row": None if content is None else ordinal,
                "origin": origin.value,
            }
        )
    return batch_of(rows, POINTERS).to_pylist()


def document_key(document: Document) -> bytes:
    """Of everything but the position."""
    return digest("document", document[0], document[1], *document[3:4], *map(str, document[4]))


def kept_row(document: Document) -> dict[str, Any]:
    return {
        "document_id": document[0],
        "document_key": document_key(document),
        "source": document[1],
        "position": document[2],
    }


def bucket_of(
    read: list[dict[str, Any]],
    held: Iterable[Any],
    uncertain: Iterable[Any],
    kept: Iterable[dict[str, Any]] = (),
) -> Bucket:
    tables = (
        pa.Table.from_batches([batch_of(list(rows), schema)])
        for rows, schema in ((read, POINTERS), (kept, KEPT), (held, LEDGER), (uncertain, INTENTS))
    )
    return Bucket(*tables)


def rows_of(documents: Iterable[Document]) -> dict[str, dict[str, bytes]]:
    """The model: for each document id what its first document in order of source and position makes, by chunk id."""
    wanted: dict[str, dict[str, bytes]] = {}
    for document_id, _, _, partition, contents in sorted(documents, key=lambda document: document[:3]):
        ids = [chunk_id(document_id, ordinal, partition) for ordinal in range(len(contents))]
        made = {key: digest(key, content) for key, content in zip(ids, contents, strict=True) if content is not None}
        wanted.setdefault(document_id, made)
    return wanted


def flat(wanted: dict[str, dict[str, bytes]]) -> dict[str, bytes]:
    return {identity: key for rows in wanted.values() for identity, key in rows.items()}


def changes(result: Reconciliation) -> list[tuple[str, bytes | None]]:
    return [*((row["id"], row["row_key"]) for row in result.writes), *((row["id"], None) for row in result.deletes)]


@settings(deadline=None, derandomize=True, max_examples=400)
@given(RUNS)
def test_a_committed_run_leaves_exactly_the_wanted_rows(runs: list[Run]) -> None:
    milvus: dict[str, bytes] = {}
    ledger: list[dict[str, Any]] = []
    uncertain: list[dict[str, Any]] = []
    wanted: dict[str, dict[str, bytes]] = {}
    for documents, commits, survived in [*runs, ([], True, 0)]:
        read = [row for document in documents for row in pointers(document)]
        result = reconcile(read, ledger, uncertain)
        made = changes(result)
        for identity, key in made if commits else made[:survived]:
            if key is None:
                milvus.pop(identity, None)
            else:
                milvus[identity] = key
        if commits:
            wanted.update(rows_of(documents))
            ledger, uncertain = batch_of(result.held, LEDGER).to_pylist(), []
            assert milvus == flat(wanted)
            assert {row["id"]: row["row_key"] for row in ledger} == milvus
        else:
            uncertain += batch_of([*result.writes, *result.deletes], INTENTS).to_pylist()


@settings(deadline=None, derandomize=True, max_examples=200)
@given(READ)
def test_nothing_is_written_when_nothing_changed(documents: list[Document]) -> None:
    first = reconcile([row for document in documents for row in pointers(document)], [], [])
    read = [row for document in reversed(documents) for row in pointers(document, {*"xyz"})]

    second = reconcile(read, first.held, [])

    assert (second.writes, second.deletes) == ([], [])
    assert second.held == first.held
    assert second.counts["documents.embedded"] == second.counts["documents.reused"] == 0


@settings(deadline=None, derandomize=True, max_examples=200)
@given(READ, READ, READ, st.sets(st.sampled_from("xyz")))
def test_counts_add_up(
    before: list[Document], died: list[Document], now: list[Document], stored: set[str | None]
) -> None:
    held = reconcile([row for document in before for row in pointers(document)], [], []).held
    lost = reconcile([row for document in died for row in pointers(document)], held, [])
    read = [row for document in now for row in pointers(document, stored)]

    result = reconcile(read, held, [*lost.writes, *lost.deletes])

    counts = result.counts
    outcomes = sum(counts[f"documents.{name}"] for name in ("embedded", "reused", "unchanged", "rejected"))
    assert outcomes == len(now) - len(result.duplicates)
    assert len(result.duplicates) == len(now) - len({document[0] for document in now})
    assert counts["chunks.reconciled"] == len(read)
    assert counts["rows.held"] == len(result.held) == len({row["id"] for row in result.held})
    assert counts["rows.to_write"] == len(result.writes) == len({row["id"] for row in result.writes})
    assert counts["rows.to_delete"] == len(result.deletes) == len({row["id"] for row in result.deletes})
    assert {row["id"] for row in result.writes} <= {row["id"] for row in result.held}
    partitions = Counter(f"partition.{row['partition']}" for row in result.held)
    assert {name: count for name, count in counts.items() if name.startswith("partition.")} == partitions


@settings(deadline=None, derandomize=True, max_examples=200)
@given(READ, READ, READ, st.sets(st.sampled_from(("a", "b", "c", "d"))))
def test_a_mirrored_run_leaves_exactly_what_its_source_has(
    before: list[Document], died: list[Document], now: list[Document], rejected: set[str]
) -> None:
    """Whatever another run left undone; a document that was rejected is there, and keeps the rows it has."""
    held = reconcile([row for document in before for row in pointers(document)], [], []).held
    lost = reconcile([row for document in died for row in pointers(document)], held, [])
    read = [row for document in now for row in pointers(document)]

    gone, documents = bucket_of(read, held, []).gone(rejected)
    result = reconcile(read, held, [*lost.writes, *lost.deletes], gone)

    source = rows_of(now)
    stays = {name: rows for name, rows in rows_of(before).items() if name in rejected}
    wanted = flat({**stays, **source})
    assert {row["id"]: row["row_key"] for row in result.held} == wanted
    touched = {row["id"] for row in (*held, *lost.writes, *lost.deletes)}
    assert {row["id"] for row in result.deletes} == touched - wanted.keys()
    held_before = {row["document_id"] for row in held}
    assert (gone, documents) == (held_before - source.keys() - rejected, len(held_before))


@settings(deadline=None, derandomize=True, max_examples=400)
@given(READ, READ, READ, st.booleans(), st.booleans())
def test_a_document_that_skips_the_pipeline_ends_as_if_it_had_not(
    before: list[Document], died: list[Document], now: list[Document], trusted: bool, mirrors: bool
) -> None:
    held = reconcile([row for document in before for row in pointers(document)], [], []).held
    lost = reconcile([row for document in died for row in pointers(document)], held, [])
    doubts = [*lost.writes, *lost.deletes] if trusted else [*held, *lost.writes, *lost.deletes]
    known = {row["document_key"] for row in held} - {None}
    kept = [document for document in now if document_key(document) in known]
    changed = [row for document in now if document not in kept for row in pointers(document, {*"xyz"})]
    read = [row for document in now for row in pointers(document, {*"xyz"})]
    gone = bucket_of(read, held, doubts).gone(())[0] if mirrors else set[str]()
    short = bucket_of(changed, held, doubts, map(kept_row, kept))

    whole = reconcile(read, held, doubts, gone)
    result, wanted = reconcile_bucket(short, gone)

    assert not mirrors or short.gone(()) == bucket_of(read, held, doubts).gone(())
    assert wanted.schema == LEDGER
    assert wanted.to_pylist() == batch_of(whole.held, LEDGER).to_pylist()
    assert changes(result) == changes(whole)
    places = ("document_id", "source", "position")
    assert [[row[name] for name in places] for row in result.duplicates] == [
        [row[name] for name in places] for row in whole.duplicates
    ]
    of_way = {"chunks.reconciled", "rows.produced"}
    counts = {name: count for name, count in result.counts.items() if count and name not in of_way}
    assert counts == {name: count for name, count in whole.counts.items() if count and name not in of_way}


def test_a_kept_document_that_the_ledger_does_not_hold_is_counted_nowhere() -> None:
    """So that the run does not balance, and says so."""
    document: Document = ("a", "one.jsonl", 0, "lang_de", ("x",))
    result, held = reconcile_bucket(bucket_of([], [], [], [kept_row(document)]))

    assert not held.num_rows
    assert not any(count for name, count in result.counts.items() if name.startswith("documents."))


def test_a_document_that_lacks_a_chunk_is_not_known() -> None:
    whole: Document = ("a", "one.jsonl", 0, "lang_de", ("x", "y"))
    lacking: Document = ("b", "one.jsonl", 1, "lang_de", ("x", None))
    held = reconcile([*pointers(whole), *pointers(lacking)], [], []).held

    assert [
        (row["document_id"], row["document_key"]) for row in sorted(held, key=lambda row: str(row["document_id"]))
    ] == [
        ("a", document_key(whole)),
        ("a", document_key(whole)),
        ("b", None),
    ]


@settings(deadline=None, derandomize=True, max_examples=100)
@given(READ, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_count(documents: list[Document], random: Random) -> None:
    rows = [row for document in documents for row in pointers(document)]
    shuffled = random.sample(rows, len(rows))

    result, other = reconcile(rows, [], []), reconcile(shuffled, [], [])

    assert changes(other) == changes(result)
    assert other.held == result.held
    assert other.counts == result.counts


def test_the_first_document_by_source_and_position_stands() -> None:
    early = ("a", "one.jsonl", 7, "lang_de", ("x", "y"))
    late = ("a", "two.jsonl", 0, "lang_en", ("z",))
    later = ("a", "two.jsonl", 1, "lang_en", ("z", "z"))

    result = reconcile([row for document in (later, late, early) for row in pointers(document)], [], [])

    assert [row["partition"] for row in result.held] == ["lang_de", "lang_de"]
    assert [(row["source"], row["position"]) for row in result.duplicates] == [("two.jsonl", 0), ("two.jsonl", 1)]


def test_outcomes_of_documents() -> None:
    held = reconcile([row for one in "abde" for row in pointers((one, "s", 0, "p", ("x", "y")))], [], []).held
    shrunken = pointers(("a", "s", 0, "p", ("x",)), {*"xy"})
    same = pointers(("b", "s", 0, "p", ("x", "y")), {*"xy"})
    new = pointers(("c", "s", 0, "p", ("z", None)))
    lost = pointers(("d", "s", 0, "p", (None, None)))

    result = reconcile([*shrunken, *same, *new, *lost], held, [])

    outcomes = {name: result.counts[f"documents.{name}"] for name in ("reused", "unchanged", "embedded", "rejected")}
    assert outcomes == {"reused": 1, "unchanged": 1, "embedded": 1, "rejected": 1}
    assert [row["id"] for row in result.writes] == [chunk_id("c", 0, "p")]
    gone = [chunk_id("a", 1, "p"), chunk_id("d", 0, "p"), chunk_id("d", 1, "p")]
    assert sorted(row["id"] for row in result.deletes) == sorted(gone)
    assert sum(row["document_id"] == "e" for row in result.held) == 2
    assert result.counts["rows.produced"] == 4


def test_an_unchanged_row_points_to_where_this_run_found_it() -> None:
    held = reconcile(pointers(("a", "s", 0, "p", ("x",))), [], []).held
    moved = [{**row, "shard": "elsewhere", "row": 5} for row in pointers(("a", "s", 0, "p", ("x",)), {"x"})]

    result = reconcile(moved, held, [])

    assert result.writes == []
    assert [(row["shard"], row["row"]) for row in result.held] == [("elsewhere", 5)]


def test_without_a_row_its_document_is_not_known() -> None:
    documents: list[Document] = [
        ("a", "one.jsonl", 0, "lang_de", ("x", "y")),
        ("b", "one.jsonl", 1, "lang_de", ("x",)),
    ]
    held = reconcile([row for document in documents for row in pointers(document)], [], []).held
    table = pa.Table.from_batches([batch_of(held, LEDGER)])
    refused = chunk_id("a", 1, "lang_de")

    left = without_rows(table, [refused])

    assert left.schema == LEDGER
    assert {(row["id"], row["document_key"]) for row in left.to_pylist()} == {
        (chunk_id("a", 0, "lang_de"), None),
        (chunk_id("b", 0, "lang_de"), document_key(documents[1])),
    }
    assert without_rows(table, [chunk_id("c", 0, "lang_de")]).equals(table)
