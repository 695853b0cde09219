"""The workspace against a plain dictionary: documents come, change and go, runs are killed, rows are lost; every run that ends is right."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import apache_beam as beam
import fsspec
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.windowed_value import WindowedValue
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.fakes import FakeDetector, FakeEncoder, FakeTokenizer
from tests.transforms.logic.test_notices import known_of, notices_of
from tests.transforms.verbs import SPACE, record, records
from transforms import commit, write
from transforms.adapters import crashpoints
from transforms.adapters.dataset import KnownVectors
from transforms.adapters.milvus import Refused, Target, connections
from transforms.adapters.workspace import Held, Workspace, read_intents
from transforms.embed import _EmbedFn, _Model
from transforms.identify import Partitioning, identify_language
from transforms.load import _LoadFn
from transforms.logic.chunking import Limits
from transforms.logic.identity import buckets_of, key_prefixes
from transforms.logic.recognition import recognise, with_keys
from transforms.logic.record import RunContext
from transforms.logic.schemas import CHUNKS, batch_of, row_schema, slices
from transforms.metrics import TALLIED, Tally, sum_tallies
from transforms.reconcile import DELETES, PARTS, _ReconcileFn
from transforms.reuse import _ReuseFn
from transforms.split import Splitting, split_into_chunks
from transforms.store import _StoreFn

DIMENSIONS = 4
BUCKETS = 3
WORDS = ("river", "town", "old", "tells", "stone", "bridge")
Version = tuple[tuple[str, ...], str, int]
"""Sentences of a document, its language, and the limit of tokens that it was cut by."""

_homes = count()


class Killed(BaseException):
    """The process is gone: nothing catches this."""


class _Milvus:
    """Rows by partition, as a server without deduplication over partitions keeps them."""

    is_lite = False

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def max_bytes(self) -> dict[str, int]:
        return {}

    def upsert(self, partition: str, rows: Sequence[Mapping[str, Any]]) -> list[Refused]:
        assert len({row["id"] for row in rows}) == len(rows)
        with crashpoints.durable("upsert"):
            self.rows.setdefault(partition, {}).update({row["id"]: row for row in rows})
        return []

    def delete(self, partition: str, ids: Sequence[str]) -> None:
        with crashpoints.durable("delete"):
            for one in ids:
                self.rows.get(partition, {}).pop(one, None)

    def counts(self) -> dict[str, int]:
        return {partition: len(rows) for partition, rows in self.rows.items() if rows}

    def close(self) -> None:
        pass


def _recognised(
    documents: Mapping[str, Version], held: Sequence[pa.Table] = ()
) -> tuple[dict[str, pa.RecordBatch], list[pa.RecordBatch]]:
    """Documents as read, by name, that no held row is of as they are, and notices of the others."""
    changed, read = {}, []
    known = known_of(held, ["a.jsonl"], 1)
    for position, (name, (sentences, language, most)) in enumerate(sorted(documents.items())):
        row = with_keys(records(record(name, " ".join(sentences), position=position)), f"{language} {most}")
        read.append(row)
        if recognise(row, np.zeros(1, np.int64), known).ranks[0] < 0:
            changed[name] = row
    return changed, [batch for _, batch in notices_of(read, held, 1)]


def _chunks(documents: Mapping[str, Version], read: Mapping[str, pa.RecordBatch]) -> list[pa.RecordBatch]:
    batches = []
    for name, row in read.items():
        _, language, most = documents[name]
        identified = identify_language(row, FakeDetector(language), Partitioning())
        rows, rejects = split_into_chunks(
            identified, FakeTokenizer(), FakeDetector(language), Splitting(Limits(most), SPACE)
        )
        assert not rejects
        batches.append(batch_of(rows, CHUNKS))
    return batches


def _drive(function: beam.DoFn, elements: Iterable[Any]) -> dict[str, list[Any]]:
    """One bundle; outputs by tag."""
    outputs: dict[str, list[Any]] = {"main": [], TALLIED: [], PARTS: [], DELETES: []}

    def every() -> Iterator[Any]:
        function.setup()
        try:
            function.start_bundle()
            for element in elements:
                yield from function.process(element) or ()
            yield from function.finish_bundle() or ()
        finally:
            function.teardown()

    for output in every():
        tag, value = (output.tag, output.value) if isinstance(output, TaggedOutput) else ("main", output)
        outputs[tag].append(value.value if isinstance(value, WindowedValue) else value)
    return outputs


class WorkspaceMachine(RuleBasedStateMachine):
    """The source, what was committed of it, and the product's own functions between the two, with fakes at the ends."""

    @initialize()
    def begin(self) -> None:
        self.workspace = Workspace(f"memory://model/{next(_homes)}", SPACE, "key")
        self.milvus = _Milvus()
        self.source: dict[str, Version] = {}
        self.committed: dict[str, Version] = {}
        self.most_tokens = 16
        self.steps_left = 0
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(crashpoints, "_crashpoint", self._step)
        for module in (connections, commit):
            self.patch.setattr(module, "connect", lambda target: self.milvus)

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.patch.undo()
            memory = fsspec.filesystem("memory")
            if memory.exists("/model"):
                memory.rm("/model", recursive=True)

    def _step(self, name: str) -> None:
        self.steps_left -= 1
        if self.steps_left == 0:
            raise Killed(name)

    @rule(
        name=st.sampled_from("abcde"),
        words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6),
        language=st.sampled_from(["en", "de"]),
    )
    def edit(self, name: str, words: list[str], language: str) -> None:
        sentences = tuple(f"The {word} of number {place} tells about rivers." for place, word in enumerate(words))
        self.source[name] = (sentences, language, self.most_tokens)

    @precondition(lambda self: self.source)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        del self.source[data.draw(st.sampled_from(sorted(self.source)))]

    @rule(most_tokens=st.sampled_from([16, 24]))
    def cut_otherwise(self, most_tokens: int) -> None:
        self.most_tokens = most_tokens
        self.source = {name: (text, language, most_tokens) for name, (text, language, _) in self.source.items()}

    @precondition(lambda self: self.milvus.counts())
    @rule(data=st.data())
    def lose_a_row(self, data: st.DataObject) -> None:
        rows = self.milvus.rows[data.draw(st.sampled_from(sorted(self.milvus.counts())))]
        del rows[data.draw(st.sampled_from(sorted(rows)))]

    @rule(step=st.integers(1, 40))
    def run_killed(self, step: int) -> None:
        before = self.workspace.latest_ledger().number
        self.steps_left = step
        try:
            self._run()
        except Killed:
            if self.workspace.latest_ledger().number > before:
                self.committed.update(self.source)
        else:
            self._check()

    @rule()
    def run(self) -> None:
        self.steps_left = 0
        self._run()
        self._check()

    @rule()
    def run_twice(self) -> None:
        self.run()
        number = self.workspace.latest_ledger().number
        rows = self._run()
        assert (rows["rows.written"], rows["rows.deleted"], self.encoder.encoded) == (0, 0, [])
        assert self.workspace.latest_ledger().number == number

    def _check(self) -> None:
        self.committed.update(self.source)
        expected = {
            (row["partition"], row["id"]): (row["document_id"], row["ordinal"], row["text"])
            for batch in _chunks(self.committed, _recognised(self.committed)[0])
            for row in batch.to_pylist()
        }
        found = {
            (partition, name): (row["document_id"], row["ordinal"], row["text"])
            for partition, rows in self.milvus.rows.items()
            for name, row in rows.items()
        }
        assert found == expected
        ledger = self.workspace.latest_ledger()
        assert self.workspace.unsettled_intents(ledger) == []
        held = [row for name in ledger.parts for row in self.workspace.read_ledger_part(name).to_pylist()]
        assert sorted((row["partition"], row["id"]) for row in held) == sorted(expected)

    def _run(self) -> Tally:
        """The main job, without Beam."""
        workspace, tallies = self.workspace, []

        def drive(function: beam.DoFn, elements: Iterable[Any]) -> dict[str, list[Any]]:
            outputs = _drive(function, elements)
            tallies.extend(outputs[TALLIED])
            return outputs

        ledger = workspace.latest_ledger()
        intents = tuple(workspace.unsettled_intents(ledger))
        held = Held(ledger, intents, trusted=self.milvus.counts() == ledger.partitions)
        shards = tuple(workspace.shards())
        stored = {text for one in shards for text in workspace.read_shard(one.name, ["text"])["text"].to_pylist()}
        self.encoder = FakeEncoder(DIMENSIONS)
        parts = [workspace.read_ledger_part(name) for name in ledger.parts]
        changed, kept = _recognised(self.source, parts)
        batches = _chunks(self.source, changed)
        chunks = pa.Table.from_batches(batches, CHUNKS)
        buckets = buckets_of(key_prefixes(chunks.column("content_key")), BUCKETS) if len(chunks) else ()
        grouped = [(one, [*slices(chunks.filter(pa.array(buckets == one)))]) for one in sorted(set(buckets))]
        reused = drive(_ReuseFn(KnownVectors(workspace, shards)), grouped)["main"]
        embedded = drive(_EmbedFn(_Model(lambda: self.encoder, "cpu", SPACE), ("dense",)), reused)["main"]
        assert not stored.intersection(self.encoder.encoded)
        pointers = drive(_StoreFn(workspace, DIMENSIONS, BUCKETS, ("dense",)), embedded)["main"]
        doubts = [one for uri in intents for one in slices(read_intents(uri))]
        changes = drive(_ReconcileFn(workspace, held, bucket_count=1), [(0, [*pointers, *kept, *doubts])])
        loaded = drive(_LoadFn(workspace, row_schema(1).names), [(0, changes["main"])] if changes["main"] else [])[
            "main"
        ]
        target = Target("https://nowhere", "c")
        drive(write._UpsertFn(target), [_as_sent(batch) for batch in loaded])
        drive(write._DeleteFn(target), changes[DELETES])
        known: Tally = {"splits.read": 1, "documents.read": len(self.source), "chunks.split": len(chunks)}
        known["tokens.split"] = sum(chunks.column("tokens").to_pylist())
        total = sum_tallies([*tallies, known])
        context = RunContext("run", 1, 1, 0.01, {}, {}, SPACE, {}, {}, "", 0.0)
        (code,) = commit._CommitFn(workspace, target, held, context).process(None, total, changes[PARTS], [])
        record_of_run = workspace.read_record("run")
        assert (code, record_of_run["differences"]) == (0, [])
        return {f"rows.{name}": record_of_run["rows"][name] for name in ("written", "deleted")}


def _as_sent(batch: pa.RecordBatch) -> pa.RecordBatch:
    """As `CompressVectors` hands rows on."""
    return batch.append_column("dense", batch.column("vector").cast(pa.list_(pa.float32(), DIMENSIONS)))


TestWorkspace = WorkspaceMachine.TestCase
TestWorkspace.settings = settings(max_examples=25, stateful_step_count=20, deadline=None, derandomize=True)
