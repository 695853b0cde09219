"""CommitRun: the collection is counted, the run balanced, its ledger committed and its record written and told."""

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from time import time
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsList, AsSingleton, PBegin, PCollection

from transforms.adapters.events import report, report_run
from transforms.adapters.milvus import Target, connect
from transforms.adapters.progress import tell_phase
from transforms.adapters.pushing import push
from transforms.adapters.report import FAILURES, write_report
from transforms.adapters.secrets import redact
from transforms.adapters.verifier import verify
from transforms.adapters.workspace import Held, Ledger, Workspace
from transforms.logic.exposition import exposition
from transforms.logic.ledger import without_rows
from transforms.logic.record import RunContext, build_record, rejected_rows, verified
from transforms.metrics import Tally, sum_tallies

_LOG = logging.getLogger(__name__)


class CommitRun(beam.PTransform[PBegin, PCollection[int]]):
    """Waits for every tally, then ends the run; gives its exit code.

    The ledger is committed only if the run balances. If it does not, the intents stay unsettled and the next run writes those rows again.
    """

    def __init__(
        self,
        workspace: Workspace,
        target: Target,
        held: Held,
        context: RunContext,
        tallies: PCollection[Tally],
        parts: PCollection[str],
        reject_files: PCollection[str],
    ) -> None:
        """Takes what the collection held before the run, and all that the verbs handed out."""
        super().__init__()
        self._function = _CommitFn(workspace, target, held, context)
        self._tallies = tallies
        self._parts = parts
        self._reject_files = reject_files

    def expand(self, root: PBegin) -> PCollection[int]:
        """Nothing in, the exit code out."""
        total = self._tallies | "Sum" >> beam.CombineGlobally(sum_tallies)
        code: PCollection[int] = (
            root
            | beam.Create([None], reshuffle=False)
            | beam.ParDo(self._function, AsSingleton(total), AsList(self._parts), AsList(self._reject_files))
        )
        return code


class _CommitFn(beam.DoFn):
    def __init__(self, workspace: Workspace, target: Target, held: Held, context: RunContext) -> None:
        self._workspace = workspace
        self._target = target
        self._held = held
        self._context = context

    def process(self, element: None, total: Tally, parts: list[str], reject_files: list[str]) -> Iterator[int]:
        del element
        collection = connect(self._target)
        try:
            counted = collection.counts()
        finally:
            collection.close()
        # The clock measures; nothing that decides a row depends on it.
        record: dict[str, Any] = build_record(self._context, total, counted, time() - self._context.started_seconds)
        record["reject_files"] = sorted(reject_files)
        before = self._held.ledger
        parts = list(self._without(rejected_rows(total), parts))
        after = Ledger(self._held.next_number, tuple(sorted(parts)), dict(sorted(counted.items())))
        if self._context.verify != "none":
            tell_phase("verify")
            rows = {name: one["expected"] for name, one in record["partitions"].items() if one["expected"]}
            found = verify(
                self._workspace, self._target, replace(after, partitions=rows), self._context.verify, counted
            )
            record = verified(record, found, self._context.max_reject_fraction)
        tell_phase("commit")
        # Rows that are written again to the same state left intents too, which only a commit settles.
        settles = bool(self._held.intents) or total.get("rows.to_write", 0) + total.get("rows.to_delete", 0) > 0
        changed = settles or replace(after, number=before.number) != before
        if not record["differences"] and changed:
            self._held.check_lease()
            self._workspace.commit_ledger(after, self._context.run_id)
        record["ledger"] = before.number if record["differences"] or not changed else after.number
        self._workspace.write_record(self._context.run_id, record)
        self._report(record)
        _tell(record, self._target.collection, self._context.push_metrics)
        yield record["exit_code"]

    def _report(self, record: Mapping[str, Any]) -> None:
        """Puts a page beside the record. The run is committed: whatever is wrong with the page is told and changes nothing."""
        if self._context.report == "none":
            return
        try:
            write_report(self._workspace.uri, record, with_texts=self._context.report == "full")
        except FAILURES as error:
            told = redact(f"{type(error).__name__}: {error}")
            report(_LOG, logging.WARNING, "report not written", run_id=self._context.run_id, error=told)

    def _without(self, ids: Collection[str], parts: list[str]) -> Iterator[str]:
        """Names of parts that hold the same rows but these: parts are written before Milvus is asked to take the rows.

        What is left of their documents is known no longer, so that the next run tries those rows again.
        """
        for name in parts:
            if not ids:
                yield name
                continue
            rows = self._workspace.read_ledger_part(name)
            kept = without_rows(rows, ids)
            if kept.num_rows == rows.num_rows:
                yield name
            elif kept.num_rows:
                yield self._workspace.write_ledger_part(kept)


def _tell(record: Mapping[str, Any], collection: str, push_metrics: str | None) -> None:
    """Says what became of the run, from where it ended: the process that launched it may have gone long ago."""
    report_run(_LOG, "run recorded", record, collection)
    if push_metrics is not None:
        push(push_metrics, exposition(record, collection))
