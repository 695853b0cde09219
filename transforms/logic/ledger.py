"""What a collection holds, what this run wants it to hold, and so what must be written and deleted.

All functions see one bucket of documents: every row of a document, held or new, meets here.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transforms.logic.schemas import KEY, LEDGER, Origin, batch_of

Row = Mapping[str, Any]


@dataclass
class Reconciliation:
    """The decision for some documents: rows of the `LEDGER` schema to write and to hold, ids to delete, duplicates, and counts."""

    writes: list[Row] = field(default_factory=list)
    deletes: list[Row] = field(default_factory=list)
    held: list[Row] = field(default_factory=list)
    duplicates: list[Row] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(frozen=True)
class Bucket:
    """What meets in one bucket of documents.

    Attributes:
        produced: rows of the `POINTERS` schema that this run made; `shard` is null for rejected chunks.
        kept: rows of the `KEPT` schema: documents that this run found to be as the ledger knows them.
        ledger: rows of the `LEDGER` schema that the collection holds by its last committed ledger.
        uncertain: rows of the `INTENTS` schema from runs that never committed; Milvus may hold any version of them, or none.
    """

    produced: pa.Table
    kept: pa.Table
    ledger: pa.Table
    uncertain: pa.Table

    def gone(self, rejected: Iterable[str]) -> tuple[set[str], int]:
        """Ids of the held documents that a whole source no longer has, and how many documents are held.

        A document that was `rejected`, by its id, is in the source, whatever became of it.
        """
        held = self.ledger.column("document_id").unique()
        there = pa.chunked_array(
            [*self.produced.column("document_id").chunks, *self.kept.column("document_id").chunks], pa.string()
        )
        gone = held.filter(pc.invert(pc.is_in(held, there.unique())))
        return set(gone.to_pylist()) - set(rejected), len(held)


def reconcile_bucket(bucket: Bucket, gone: Collection[str] = ()) -> tuple[Reconciliation, pa.Table]:
    """`reconcile` for a bucket of which little changed: what it decides, and all rows to be held, ordered by id.

    Rows of a kept document are looked at one by one only where something else speaks of that document too. The others, which
    `Reconciliation.held` lacks, stay as they are, and are counted.

    Args:
        bucket: what meets.
        gone: ids of documents to be held no longer, of `Bucket.gone`.
    """
    spoken_of = _spoken_of(bucket, gone)
    produced, kept, ledger, uncertain = (
        _of_documents(table, spoken_of).to_pylist()
        for table in (bucket.produced, bucket.kept, bucket.ledger, bucket.uncertain)
    )
    result = reconcile(produced, ledger, uncertain, gone, kept)
    staying = _of_documents(bucket.ledger, spoken_of, invert=True)
    result.counts["rows.held"] += staying.num_rows
    result.counts["documents.unchanged"] += bucket.kept.num_rows - len(kept)
    for count in staying.column("partition").value_counts().to_pylist():
        result.counts[f"partition.{count['values']}"] += count["counts"]
    held = (
        pa.concat_tables([staying, pa.Table.from_batches([batch_of(result.held, LEDGER)])]) if result.held else staying
    )
    order = pc.sort_indices(held.column("id")).to_numpy()
    # A bucket in which nothing changed is not copied.
    return result, held if (order[1:] > order[:-1]).all() else held.take(pa.array(order))


def without_rows(held: pa.Table, ids: Collection[str]) -> pa.Table:
    """`LEDGER` rows without some, whose documents lose their keys, so that they go through the pipeline again."""
    missing = pc.is_in(held.column("id"), pa.array(sorted(ids), pa.string()))
    lacking = pc.is_in(held.column("document_id"), held.filter(missing).column("document_id").unique())
    keys = pc.if_else(lacking, pa.scalar(None, KEY), held.column("document_key"))
    place = held.schema.get_field_index("document_key")
    return held.set_column(place, held.schema.field(place), keys).filter(pc.invert(missing))


def _spoken_of(bucket: Bucket, gone: Collection[str]) -> pa.Array:
    """Ids of the documents of which not only one kept row speaks that the ledger knows."""
    ids = pc.value_counts(bucket.kept.column("document_id"))
    twice = ids.field("values").filter(pc.greater(ids.field("counts"), 1))
    unknown = pc.invert(pc.is_in(bucket.kept.column("document_key"), bucket.ledger.column("document_key").unique()))
    return pa.chunked_array(
        [
            *bucket.produced.column("document_id").chunks,
            *bucket.uncertain.column("document_id").chunks,
            *bucket.kept.column("document_id").filter(unknown).chunks,
            twice,
            pa.array(sorted(gone), pa.string()),
        ],
        pa.string(),
    ).unique()


def _of_documents(table: pa.Table, ids: pa.Array, *, invert: bool = False) -> pa.Table:
    if not len(ids):
        return table if invert else table.slice(0, 0)
    among = pc.is_in(table.column("document_id"), ids)
    return table.filter(pc.invert(among) if invert else among)


def reconcile(
    produced: Iterable[Row],
    ledger: Iterable[Row],
    uncertain: Iterable[Row],
    gone: Collection[str] = (),
    kept: Collection[Row] = (),
) -> Reconciliation:
    """Decides row by row; arguments as the attributes of `Bucket`, `gone` as for `reconcile_bucket`.

    Of documents that share an id the first by (source, position) stands; the others become duplicates. Other documents that this run
    neither produced nor kept stay as they are. A row is written when it is new, differs from the held one, or is uncertain; an id is
    deleted when it is held or uncertain and no longer wanted.
    """
    result = Reconciliation()
    before = {row["id"]: row for row in ledger}
    doubts = {row["id"]: row for row in uncertain}
    produced = list(produced)
    documents, staying = _first_of_each(produced, kept, result)
    left = {*documents, *gone}
    wanted = {identity: row for identity, row in before.items() if row["document_id"] not in left}
    for rows in documents.values():
        # A document that lacks a chunk is not known, so that every run tries it, and says what it lacks.
        known = {} if all(row["shard"] is not None for row in rows) else {"document_key": None}
        wanted.update({row["id"]: {**row, **known} for row in rows if row["shard"] is not None})
    for identity in sorted(wanted):
        row = wanted[identity]
        held = before.get(identity)
        result.held.append({name: row[name] for name in LEDGER.names})
        if held is None or held["row_key"] != row["row_key"] or identity in doubts:
            result.writes.append(result.held[-1])
    for identity in sorted((before.keys() | doubts.keys()) - wanted.keys()):
        result.deletes.append(before.get(identity) or doubts[identity])
    result.counts["chunks.reconciled"] = len(produced)
    known_keys = {row["document_key"] for row in before.values()}
    _count(documents, [document for document, key in staying.items() if key in known_keys], result)
    return result


def _first_of_each(
    produced: Iterable[Row], kept: Collection[Row], result: Reconciliation
) -> tuple[dict[str, list[Row]], dict[str, bytes]]:
    """Of the documents that share an id the first: rows by id of those produced, keys by id of those kept."""
    found: dict[str, dict[tuple[str, int], list[Row]]] = defaultdict(lambda: defaultdict(list))
    keys = {(row["document_id"], row["source"], row["position"]): row["document_key"] for row in kept}
    for row in (*produced, *kept):
        found[row["document_id"]][row["source"], row["position"]].append(row)
    documents: dict[str, list[Row]] = {}
    staying: dict[str, bytes] = {}
    for document_id in sorted(found):
        (place, rows), *others = sorted(found[document_id].items())
        if (document_id, *place) in keys:
            staying[document_id] = keys[document_id, *place]
        else:
            documents[document_id] = rows
        result.duplicates.extend(rows[0] for _, rows in others)
    return documents, staying


def _count(documents: Mapping[str, list[Row]], staying: Iterable[str], result: Reconciliation) -> None:
    changed = {row["document_id"] for row in (*result.writes, *result.deletes)}
    for document_id, rows in documents.items():
        origins = {row["origin"] for row in rows}
        if origins == {Origin.REJECTED}:
            outcome = "rejected"
        elif Origin.ENCODED in origins:
            outcome = "embedded"
        elif document_id in changed:
            outcome = "reused"
        else:
            outcome = "unchanged"
        result.counts[f"documents.{outcome}"] += 1
        result.counts["rows.produced"] += sum(row["shard"] is not None for row in rows)
    for document_id in staying:
        result.counts["documents.reused" if document_id in changed else "documents.unchanged"] += 1
    result.counts["rows.held"] += len(result.held)
    result.counts["rows.to_write"] += len(result.writes)
    result.counts["rows.to_delete"] += len(result.deletes)
    for row in result.held:
        result.counts[f"partition.{row['partition']}"] += 1
