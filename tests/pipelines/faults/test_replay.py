"""Beam runs a bundle again after a failure: every function of the job fails at every element, and nothing changes."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.internal import cloudpickle_pickler

from pipelines import embed_corpus
from pipelines.configuration import options
from pipelines.preflight.run_plan import plan_run
from tests.pipelines.faults.scene import FIRST, NEXT
from tests.pipelines.jobs import Job, document, story
from transforms.adapters.milvus import release
from transforms.adapters.workspace import Workspace
from transforms.logic.errors import TransientError
from transforms.metrics import at_end_of_bundle

_ENOUGH_TO_BE_HOT = 70
MEASURED = {"seconds", "started_at", "stages", "timeline", "slowest"}
ABANDONED: Counter[str] = Counter()
"""How often each function was abandoned."""


class _ReplayFn(beam.DoFn):
    """Gathers a bundle; then for each element one to three times: a new instance comes that far and dies. At last one gets through."""

    def __init__(self, inner: beam.DoFn, label: str) -> None:
        self._inner = inner
        self._label = label
        self._elements: list[tuple[Any, ...]] = []

    def start_bundle(self) -> None:
        self._elements = []

    def process(self, element: Any, *side_inputs: Any) -> Iterator[Any]:
        self._elements.append((element, *side_inputs))
        yield from ()

    def finish_bundle(self) -> Iterator[Any]:
        for index in range(len(self._elements)):
            for attempt in range(1 + index % 3):
                self._abandon(index, mid_element=attempt % 2 == 1)
        instance = self._instance()
        for element in self._elements:
            yield from at_end_of_bundle(instance.process(*element) or ())
        yield from instance.finish_bundle() or ()
        instance.teardown()

    def _instance(self) -> beam.DoFn:
        instance = cloudpickle_pickler.loads(cloudpickle_pickler.dumps(self._inner))
        instance.setup()
        instance.start_bundle()
        return instance

    def _abandon(self, last: int, *, mid_element: bool) -> None:
        ABANDONED[self._label] += 1
        instance = self._instance()
        for element in self._elements[:last]:
            list(instance.process(*element) or ())
        list(islice(instance.process(*self._elements[last]) or (), 1 if mid_element else None))
        instance.teardown()


def _replay_all(pipeline: beam.Pipeline) -> set[str]:
    """Puts the harness around every function of this project; gives their labels."""
    replayed: set[str] = set()

    class Visitor(beam.pipeline.PipelineVisitor):
        def visit_transform(self, applied: beam.pipeline.AppliedPTransform) -> None:
            transform = applied.transform
            if isinstance(transform, beam.ParDo) and type(transform.fn).__module__.startswith("transforms."):
                transform.fn = _ReplayFn(transform.fn, applied.full_label)
                replayed.add(applied.full_label)

    pipeline.visit(Visitor())
    return replayed


def _run_replayed(job: Job) -> tuple[dict[str, Any], set[str]]:
    try:
        plan = plan_run(options.to_config(job.options()))
        pipeline = beam.Pipeline("FnApiRunner")
        embed_corpus.build(pipeline, plan)
        replayed = _replay_all(pipeline)
        pipeline.run().wait_until_finish()
        return plan.workspace.read_record(plan.context.run_id), replayed
    finally:
        release(str(job.milvus))


def _left(job: Job, record: dict[str, Any]) -> list[Any]:
    """What a run leaves, as far as it must not depend on how the work was bundled and how often it was done."""
    kept = {name: value for name, value in record.items() if name not in MEASURED}
    kept["chunks"] = {name: count for name, count in record["chunks"].items() if name != "hot"}
    files = sorted(str(path.relative_to(job.workspace)) for path in job.workspace.rglob("*.parquet"))
    return [kept, job.rows(), job.rejects(record), files]


def _two_runs(job: Job, monkeypatch: pytest.MonkeyPatch, run: Callable[[Job], dict[str, Any]]) -> list[list[Any]]:
    """What two runs leave, between which one died before its commit, so that the second finds its intents."""
    copies = [document(f"copy{number}", story("copied", 1)) for number in range(_ENOUGH_TO_BE_HOT)]
    job.write("a.jsonl", [*FIRST, *copies])
    left = [_left(job, run(job))]
    job.write("a.jsonl", [*NEXT, *copies])
    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "commit_ledger", _power_cut)
        assert job.main() == 6
    job.write("b.jsonl", [document("late", story("late", 5))])
    return [*left, _left(job, run(job))]


def _power_cut(*_: object) -> None:
    raise TransientError("the power is cut")


@pytest.mark.timeout(300)
def test_every_function_may_fail_at_every_element(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    labels: set[str] = set()

    def run_replayed(job: Job) -> dict[str, Any]:
        record, replayed = _run_replayed(job)
        labels.update(replayed)
        return record

    expected = _two_runs(job, monkeypatch, lambda job: job.run())
    for path in (job.workspace, job.milvus, job.corpus):
        shutil.rmtree(path)
    ABANDONED.clear()
    assert _two_runs(job, monkeypatch, run_replayed) == expected
    assert len(labels) >= 15
    assert labels == set(ABANDONED)
