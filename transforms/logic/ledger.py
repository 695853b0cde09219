"""What a collection holds, what this run wants it to hold, and so what must be written and deleted.

All functions see one bucket of documents: every row of a document, held or new, meets here.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transforms.logic.schemas import Origin

Row = Mapping[str, Any]
_LEDGER_FIELDS = ("id", "document_id", "partition", "row_key", "shard", "row")


@dataclass
class Reconciliation:
    """The decision for one bucket: rows of the `LEDGER` schema to write and to hold, ids to delete, duplicates, and counts."""

    writes: list[Row] = field(default_factory=list)
    deletes: list[Row] = field(default_factory=list)
    held: list[Row] = field(default_factory=list)
    duplicates: list[Row] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def gone_documents(produced: Iterable[Row], ledger: Iterable[Row], rejected: Iterable[str]) -> tuple[set[str], int]:
    """Ids of the held documents that a whole source no longer has, and how many documents are held; arguments as for `reconcile`.

    A document that was `rejected`, by its id, is in the source, whatever became of it.
    """
    held = {row["document_id"] for row in ledger}
    return held - {row["document_id"] for row in produced} - set(rejected), len(held)


def reconcile(
    produced: Iterable[Row], ledger: Iterable[Row], uncertain: Iterable[Row], gone: Collection[str] = ()
) -> Reconciliation:
    """Decides for one bucket of documents.

    Args:
        produced: rows of the `POINTERS` schema that this run made; `shard` is None for rejected chunks.
        ledger: rows of the `LEDGER` schema that the collection holds by its last committed ledger.
        uncertain: rows of the `INTENTS` schema from runs that never committed; Milvus may hold any version of them, or none.
        gone: ids of documents to be held no longer, of `gone_documents`.

    Of documents that share an id the first by (source, position) stands; the others become duplicates. Other documents that this run
    did not produce stay as they are. A row is written when it is new, differs from the held one, or is uncertain; an id is deleted
    when it is held or uncertain and no longer wanted.
    """
    result = Reconciliation()
    before = {row["id"]: row for row in ledger}
    doubts = {row["id"]: row for row in uncertain}
    produced = list(produced)
    documents = _first_of_each(produced, result)
    left = {*documents, *gone}
    wanted = {identity: row for identity, row in before.items() if row["document_id"] not in left}
    for rows in documents.values():
        wanted.update({row["id"]: row for row in rows if row["shard"] is not None})
    for identity in sorted(wanted):
        row = wanted[identity]
        held = before.get(identity)
        result.held.append({name: row[name] for name in _LEDGER_FIELDS})
        if held is None or held["row_key"] != row["row_key"] or identity in doubts:
            result.writes.append(result.held[-1])
    for identity in sorted((before.keys() | doubts.keys()) - wanted.keys()):
        result.deletes.append(before.get(identity) or doubts[identity])
    result.counts["chunks.reconciled"] = len(produced)
    _count(documents, result)
    return result


def _first_of_each(produced: Iterable[Row], result: Reconciliation) -> dict[str, list[Row]]:
    """Rows by document id, of the first document with that id only."""
    by_document: dict[str, dict[tuple[str, int], list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in produced:
        by_document[row["document_id"]][row["source"], row["position"]].append(row)
    documents = {}
    for document_id in sorted(by_document):
        first, *others = sorted(by_document[document_id].items())
        documents[document_id] = first[1]
        result.duplicates.extend(rows[0] for _, rows in others)
    return documents


def _count(documents: Mapping[str, list[Row]], result: Reconciliation) -> None:
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
    result.counts["rows.held"] += len(result.held)
    result.counts["rows.to_write"] += len(result.writes)
    result.counts["rows.to_delete"] += len(result.deletes)
    for row in result.held:
        result.counts[f"partition.{row['partition']}"] += 1
