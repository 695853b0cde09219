"""Load: what one collection holds goes to another, from the dataset and without a model, in another representation perhaps."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import PCollection

import transforms.coders  # noqa: F401  registers the coder of record batches
from pipelines.embed_corpus import finish
from pipelines.preflight.importing import open_import_storage
from pipelines.preflight.load_plan import Loading, Plan, open_source, plan_load, run_id_of
from pipelines.watching import logs
from pipelines.watching.progress import shown
from transforms.adapters.events import report_run
from transforms.adapters.lease import OnBusy, leased
from transforms.adapters.milvus import release
from transforms.adapters.storage import check_writable
from transforms.adapters.workspace import Workspace, collection_key
from transforms.bulk_import import ImportToMilvus
from transforms.commit import CommitRun
from transforms.compress import CompressVectors
from transforms.held import ReadHeldRows
from transforms.load import LoadRows
from transforms.logic.errors import ConfigurationError
from transforms.logic.progress import PHASES_OF_LOAD, Expected
from transforms.metrics import ByProducts
from transforms.reconcile import ReconcileLedger
from transforms.reject import WriteRejects
from transforms.write import DeleteFromMilvus, WriteToMilvus

_LOG = logging.getLogger(__name__)


def build(root: beam.Pipeline, plan: Plan) -> PCollection[int]:
    """The whole flow; gives the exit code. What the source no longer holds is deleted."""
    kept = ByProducts()
    rows = (
        root
        | "Plan parts" >> beam.Create(list(plan.parts), reshuffle=False)
        | "Read held rows" >> ReadHeldRows(plan.source, kept)
    )
    changes = {"pointers": rows} | "Reconcile ledger" >> ReconcileLedger(
        plan.workspace, plan.held, plan.bucket_count, kept, plan.context.max_delete_fraction
    )
    loaded = changes.writes | "Load rows" >> LoadRows(
        plan.workspace, plan.load_bucket_count, kept, plan.space.milvus_outputs
    )
    if plan.representation is not None:
        loaded = loaded | "Compress vectors" >> CompressVectors(plan.representation, kept)
    if plan.importing is None:
        _ = loaded | "Write to Milvus" >> WriteToMilvus(plan.target, kept, plan.space.milvus_outputs, plan.writing)
    else:
        importing = ImportToMilvus(plan.target, plan.space, plan.importing, plan.workspace, plan.held, kept)
        _ = loaded | "Import into Milvus" >> importing
    _ = changes.deletes | "Delete from Milvus" >> DeleteFromMilvus(plan.target, kept, plan.writing)
    rejects = kept.rejects | "Write rejects" >> WriteRejects(plan.workspace, plan.context.run_id)
    end = CommitRun(plan.workspace, plan.target, plan.held, plan.context, kept.tallies, changes.parts, rejects)
    exit_code: PCollection[int] = root | "Commit run" >> end
    return exit_code


def load(
    asked: Loading,
    beam_options: PipelineOptions,
    on_busy: OnBusy = "refuse",
    say: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Brings a collection to what another one holds, and gives the run record; again, it writes only what changed.

    Raises:
        ConfigurationError: before anything is written.
        TransientError: a service failed beyond the retries, or a run on one of the two collections is under way; running again resumes.
        CorruptDataError: the workspace does not hold what was written.
    """
    uri = asked.workspace.rstrip("/")
    check_writable(uri)
    storage = open_import_storage(asked.loading)
    with ExitStack() as until_done:
        view = until_done.enter_context(shown(PHASES_OF_LOAD, beam_options, say))
        source = open_source(asked, lambda key: until_done.enter_context(leased(key, "load", on_busy, view.say)))
        workspace = Workspace(
            uri, source.space.embedding_space, collection_key(asked.target.uri, asked.target.collection)
        )
        if workspace.collection_key == source.workspace.collection_key:
            raise ConfigurationError(f"--from and --collection are both {asked.source!r}; name another --collection")
        claim = until_done.enter_context(leased(workspace.lease, run_id_of(asked), on_busy, view.say))
        until_done.callback(release, asked.target.uri)
        logs.bind(run_id=run_id_of(asked))
        plan = plan_load(asked, source, workspace, storage, claim)
        pipeline = beam.Pipeline(options=beam_options)
        build(pipeline, plan)
        view.expect(Expected(len(plan.parts)))
        finish(pipeline)
        record = plan.workspace.read_record(plan.context.run_id)
        report_run(_LOG, "run finished", record, plan.target.collection)
        view.end(record)
        return record
