"""A collection held against its ledger and its dataset, to any depth.

quick   counts of every partition, index and load state, and a few rows fetched back with every output that the collection holds
full    besides: every id, by checksums of ranges; rows of every partition fetched back; stored vectors find themselves; recall of the index
        against exact search. Of the workspace every ledger part and every shard that holds rows is read whole, against its digest.

Milvus keeps no key of a row's content, so of rows that are not fetched back it is proven that they are there, once and in their partition,
not what they say. Memory is that of a few ranges and a shard, however many rows there are.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.adapters.held_rows import HeldRows, Stored
from transforms.adapters.milvus import CollectionSpace, Target
from transforms.adapters.milvus.audit import UNFINISHED, AuditedCollection, audited
from transforms.adapters.ranges import compare_ids
from transforms.adapters.workspace import Ledger, Workspace
from transforms.logic.errors import CorruptDataError
from transforms.logic.identity import digest
from transforms.logic.index_recall import IndexRecall
from transforms.logic.outputs import Output
from transforms.logic.recall import TOP
from transforms.logic.representations import restore
from transforms.logic.rows import NO_WEIGHT, STORED_FIELDS
from transforms.logic.verification import (
    Finding,
    IdRanges,
    Kind,
    Verification,
    differing_fields,
    rows_differ,
    sample_order,
    stored_token_vectors,
    stored_vector,
    stored_weights,
    vector_agrees,
)

Form = Literal["quick", "full"]
_QUICK_ROWS = 16
# An index over some hundred million rows takes hours; whoever has one verifies it later.
_READY_SECONDS = 600.0
_FETCHED_AT_ONCE = 64
_FETCHED_BYTES = 16 << 20
# Milvus adds up cosines in float32.
_SAME_COSINE = 1e-4

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Depth:
    """How much a full verification looks at.

    Attributes:
        rows: fetched back of each partition.
        queries: of these, how many search; 0 leaves out recall and with it the reading of all vectors.
        min_recall: a partition whose index finds less is a finding. Low, because a server searches rows that it has not sealed yet by a
            makeshift index; what is broken finds next to nothing.
    """

    rows: int = 50
    queries: int = 20
    min_recall: float = 0.8


def verify(
    workspace: Workspace,
    target: Target,
    ledger: Ledger,
    form: Form,
    counted: Mapping[str, int] | None = None,
    depth: Depth | None = None,
) -> Verification:
    """Everything in which a collection differs from a ledger.

    Args:
        workspace: with the collection's embedding space and key.
        target: the collection; a Milvus Lite must be served.
        ledger: what it should hold.
        form: `quick` or `full`.
        counted: rows of each partition, if they have just been counted.
        depth: of a full verification.

    Raises:
        TransientError: Milvus does not answer.
        CorruptDataError: a file of the workspace is not what was written.
    """
    collection = audited(target)
    try:
        check = _Check(workspace, collection, ledger, depth or Depth())
        check.found.form = form
        if form == "full":
            collection.wait_until_ready(_READY_SECONDS)
        if check.state():
            there = collection.counts() if counted is None else counted
            check.counts(there)
            if form == "full":
                check.everything(there)
            else:
                check.few_rows()
        return check.found
    finally:
        collection.close()


@dataclass
class _Sample:
    """Rows of the `LEDGER` schema with the smallest numbers, of each partition."""

    most: int
    salt: int
    kept: dict[str, pa.Table] = field(default_factory=dict)

    def add(self, partition: str, rows: pa.Table) -> None:
        """Takes rows of a partition."""
        before = self.kept.get(partition)
        rows = rows if before is None else pa.concat_tables([before, rows])
        order = np.argsort(sample_order(rows.column("id").to_pylist(), self.salt), kind="stable")
        self.kept[partition] = rows.take(pa.array(order[: self.most]))


class _Check:
    """One verification."""

    def __init__(self, workspace: Workspace, collection: AuditedCollection, ledger: Ledger, depth: Depth) -> None:
        self.found = Verification("", ledger.number, ledger.rows)
        self._workspace = workspace
        self._collection = collection
        self._ledger = ledger
        self._depth = depth
        self._space: CollectionSpace = collection.space()
        self._held = HeldRows(workspace, ledger, self._space)

    def state(self) -> bool:
        """The embedding space, the indexes and the load state; whether more can be asked."""
        if self._space.embedding_space != self._workspace.space:
            self._find(
                Kind.SPACE,
                f"the collection holds vectors of {self._space.embedding_space}, the ledger is of {self._workspace.space}",
            )
        indexes = self._collection.indexes()
        for output in self._space.milvus_outputs:
            index = next((one for name, one in indexes.items() if name.split("[")[0] == output), None)
            if index is None:
                self._find(Kind.INDEX, f"field {output!r} has no index")
            elif self.found.form == "full" and index.get("state") in UNFINISHED:
                there = f"{index.get('indexed_rows')} of {index.get('total_rows')} rows"
                self._find(
                    Kind.INDEX, f"the index of field {output!r} is not finished after {_READY_SECONDS:g} s: {there}"
                )
            elif index.get("state") == "Failed":
                self._find(Kind.INDEX, f"the index of field {output!r} failed: {index.get('index_state_fail_reason')}")
        state = self._collection.load_state()
        if state != "Loaded":
            self._find(Kind.LOAD, f"the collection's load state is {state}, so that it answers no reader")
        return state == "Loaded"

    def counts(self, counted: Mapping[str, int]) -> None:
        """Rows of each partition."""
        for partition in sorted({*counted, *self._ledger.partitions}):
            there, wanted = counted.get(partition, 0), self._ledger.partitions.get(partition, 0)
            if there != wanted:
                detail = f"{there:,} rows counted, {wanted:,} in the ledger"
                self.found.findings.append(Finding(Kind.COUNT, detail, partition, abs(there - wanted)))

    def few_rows(self) -> None:
        """Some rows of some documents."""
        sample = _Sample(_QUICK_ROWS, self._salt)
        for held in self._held.parts():
            sample.add("", held)
            if len(sample.kept[""]) == _QUICK_ROWS:
                break
        if "" in sample.kept:
            self._fetch_back("", sample.kept[""], self.found, and_missing=True)

    def everything(self, counted: Mapping[str, int]) -> None:
        """Every id, rows of every partition, and the index."""
        wanted = IdRanges(self._ledger.partitions)
        sample = _Sample(self._depth.rows, self._salt)
        shards: Counter[str] = Counter()
        for held in self._held.parts():
            shards.update({one["values"]: one["counts"] for one in held.column("shard").value_counts().to_pylist()})
            for partition, rows in _by_partition(held):
                wanted.add(partition, rows.column("id").to_pylist())
                sample.add(partition, rows)
        for partition, rows in self._ledger.partitions.items():
            if wanted.count(partition) != rows:
                raise CorruptDataError(
                    f"ledger {self._ledger.number} of {self._workspace.collection_key} counts {rows:,} rows in {partition}, "
                    f"its parts hold {wanted.count(partition):,}; restore it"
                )
        compare_ids(self._collection, wanted, counted, self._held.ids, self.found)
        # What the partitions that are there no more lack is found by now.
        partitions = sorted({*self._collection.partitions()} & sample.kept.keys())
        searches: dict[str, IndexRecall] = {}
        with ThreadPoolExecutor(self._collection.asked_at_once) as threads:
            looked_at = threads.map(lambda partition: self._partition(partition, sample.kept[partition]), partitions)
            for partition, (found, search) in zip(partitions, looked_at, strict=True):
                self.found.add(found)
                if search is not None:
                    searches[partition] = search
        if searches:
            self._measure(searches, shards)

    def _partition(self, partition: str, rows: pa.Table) -> tuple[Verification, IndexRecall | None]:
        """Some rows of a partition fetched back and searched by; what was found, and what the index answered."""
        found = Verification("", 0, 0)
        stored = self._fetch_back(partition, rows, found)
        ids = rows.column("id").to_pylist()[: self._depth.queries]
        search = None
        if ids and stored.dense is not None:
            search = self._search(partition, ids, stored.dense[: self._depth.queries], found)
        if ids and stored.sparse is not None:
            self._search_weights(partition, ids, stored.sparse[: self._depth.queries], found)
        return found, search

    # --- rows ---

    def _fetch_back(self, partition: str, rows: pa.Table, into: Verification, *, and_missing: bool = False) -> Stored:
        """Rows as the collection holds them, every field and output, against the dataset."""
        stored = self._held.stored(rows)
        ids = rows.column("id").to_pylist()
        outputs = self._space.milvus_outputs
        fields = [*STORED_FIELDS, "metadata", *outputs]
        at_once = _rows_at_once(stored)
        there: dict[str, dict[str, Any]] = {}
        for start in range(0, len(ids), at_once):
            there |= self._collection.rows(partition, ids[start : start + at_once], fields)
        content: dict[str, list[str]] = {}
        vectors: dict[Output, list[str]] = {output: [] for output in outputs}
        for number, identity in enumerate(ids):
            if identity not in there:
                continue
            found = there[identity]
            content[identity] = differing_fields(stored.rows[number], found)
            agreements = {output: self._agrees(stored, number, output, found[output]) for output in outputs}
            into.vectors_exact += all(exactly for _, exactly in agreements.values())
            for output in outputs:
                vectors[output] += [] if agreements[output][0] else [identity]
        into.rows_compared += len(there)
        missing = [identity for identity in ids if identity not in there] if and_missing else []
        other = [identity for identity, names in content.items() if names]
        names = ", ".join(sorted({name for some in content.values() for name in some}))
        for kind, some, detail in (
            (Kind.MISSING, missing, f"of {len(ids):,} asked for are not there"),
            (Kind.CONTENT, other, f"of {len(ids):,} fetched differ from the dataset in {names}"),
            *(
                (Kind.VECTOR, of_output, f"of {len(ids):,} fetched are not the dataset's in the output {output}")
                for output, of_output in vectors.items()
            ),
        ):
            if some:
                into.findings.append(rows_differ(kind, partition, some, detail))
        return stored

    def _agrees(self, stored: Stored, number: int, output: Output, found: Any) -> tuple[bool, bool]:
        """Whether an output of a row is the dataset's, and whether it is so to the last bit."""
        if output == "dense" and stored.dense is not None and self._space.vector_type is not None:
            vector = stored_vector(found, self._space.vector_type)
            return vector_agrees(stored.dense[number], vector, self._space.vector_type)
        if output == "sparse" and stored.sparse is not None:
            same = stored.sparse[number] == stored_weights(found)
        else:
            same = stored.multi is not None and np.array_equal(stored.multi[number], stored_token_vectors(found))
        return same, same

    # --- the index ---

    def _search(self, partition: str, ids: Sequence[str], vectors: npt.NDArray[Any], into: Verification) -> IndexRecall:
        representation = self._held.representation
        metric = representation.metric
        hits = self._collection.nearest(partition, vectors, metric, TOP + 1)
        lost = []
        for identity, of_query in zip(ids, hits, strict=True):
            itself = any(one == identity for one, _ in of_query)
            # More rows than were asked for may be equal to it.
            tied = bool(of_query) and _is_perfect(of_query[-1][1], metric) and len(of_query) > TOP
            lost += [] if itself or tied else [identity]
        if lost:
            detail = f"of {len(ids):,} stored vectors do not find their own row"
            into.findings.append(rows_differ(Kind.NOT_FOUND, partition, lost, detail))
        into.searched += len(ids)
        answers = [[one for one, _ in of_query] for of_query in hits]
        return IndexRecall(ids, restore(vectors, representation), answers)

    def _search_weights(
        self, partition: str, ids: Sequence[str], weights: Sequence[Mapping[int, float]], into: Verification
    ) -> None:
        """Lets sparse vectors search: each finds its own row, or only such whose inner product with it is as great."""
        asked = [(identity, one) for identity, one in zip(ids, weights, strict=True) if one != dict([NO_WEIGHT])]
        if not asked:
            return
        hits = self._collection.heaviest(partition, [one for _, one in asked], TOP + 1)
        lost = []
        for (identity, one), of_query in zip(asked, hits, strict=True):
            own = sum(weight * weight for weight in one.values())
            outdone = len(of_query) > TOP and of_query[-1][1] >= own * (1 - _SAME_COSINE)
            lost += [] if outdone or any(found == identity for found, _ in of_query) else [identity]
        if lost:
            detail = f"of {len(asked):,} stored sparse vectors find neither their own row nor rows that weigh as much"
            into.findings.append(rows_differ(Kind.NOT_FOUND, partition, lost, detail))
        into.searched += len(asked)

    def _measure(self, searches: Mapping[str, IndexRecall], shards: Mapping[str, int]) -> None:
        """Lets every held row pass by the searches of its partition."""
        for partition, ids, vectors in self._held.vectors(shards):
            if partition in searches:
                searches[partition].see(ids, vectors)
        for partition, search in sorted(searches.items()):
            recall = search.recall()
            if recall is None:
                continue
            self.found.recall[partition] = recall
            if recall < self._depth.min_recall:
                detail = f"recall@{TOP} against exact search is {recall:.3f}, below {self._depth.min_recall:g}"
                self.found.findings.append(Finding(Kind.RECALL, detail, partition))

    @property
    def _salt(self) -> int:
        # Another sample after every commit.
        return int.from_bytes(digest("verification", self._ledger.number)[:4], "big")

    def _find(self, kind: Kind, detail: str) -> None:
        self.found.findings.append(Finding(kind, detail))


def _by_partition(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    for partition in rows.column("partition").unique().sort().to_pylist():
        yield partition, rows.filter(pc.equal(rows.column("partition"), partition))


def _rows_at_once(stored: Stored) -> int:
    """How many rows are fetched by one request: an answer of vectors of tokens is large, and gRPC's limit is 64 MiB."""
    largest = max((one.nbytes for one in stored.multi or ()), default=0)
    return max(1, min(_FETCHED_AT_ONCE, _FETCHED_BYTES // max(1, largest)))


def _is_perfect(distance: float, metric: str) -> bool:
    return distance == 0 if metric == "HAMMING" else distance >= 1 - _SAME_COSINE
