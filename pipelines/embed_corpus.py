"""The main job: documents in storage become searchable vectors in Milvus."""

import argparse
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from types import MappingProxyType
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import PCollection

import pipelines.worker_processes  # noqa: F401  registers how they are started
import transforms.coders  # noqa: F401  registers the coder of record batches
from pipelines.command_line.interruption import apart
from pipelines.configuration import options
from pipelines.configuration.accelerators import embedding_hints
from pipelines.configuration.config import Config
from pipelines.preflight.run_plan import Plan, plan_run
from pipelines.watching import logs
from pipelines.watching.progress import shown
from pipelines.watching.summary import summarise
from transforms.adapters.events import report, report_run
from transforms.adapters.lease import Claim, leased
from transforms.adapters.milvus import release
from transforms.adapters.report import find_report
from transforms.adapters.spill import spilling
from transforms.bulk_import import ImportToMilvus
from transforms.commit import CommitRun
from transforms.compress import CompressVectors
from transforms.embed import EmbedChunks
from transforms.identify import IdentifyLanguage
from transforms.label import LabelChunks
from transforms.load import LoadRows
from transforms.logic.errors import CorpusEmbedError, find_in_text, without_step
from transforms.logic.progress import PHASES_OF_RUN
from transforms.metrics import ByProducts, Timeline
from transforms.read import ReadDocuments
from transforms.recognise import RecogniseDocuments
from transforms.reconcile import ReconcileLedger
from transforms.reject import WriteRejects
from transforms.reuse import ReuseVectors
from transforms.share import ShareVectors
from transforms.split import SplitIntoChunks
from transforms.store import StoreVectors
from transforms.write import DeleteFromMilvus, WriteToMilvus

_LOG = logging.getLogger(__name__)
_NO_HINTS: Mapping[str, str] = MappingProxyType({})


def build(root: beam.Pipeline, plan: Plan, hints: Mapping[str, str] = _NO_HINTS) -> PCollection[int]:
    """The whole flow, with resource hints for the workers that encode; gives the exit code of the run."""
    kept, outputs = ByProducts(), plan.space.outputs
    timeline = Timeline(plan.context.started_seconds)
    recognised = (
        root
        | "Plan splits" >> beam.Create(plan.groups, reshuffle=False)
        | "Read documents" >> ReadDocuments(plan.reading, plan.selection, kept, timeline)
        | "Recognise documents"
        >> RecogniseDocuments(plan.workspace, plan.held, plan.bucket_count, plan.recipe, kept, recheck=plan.recheck)
    )
    reused = (
        recognised.changed
        | "Identify language" >> IdentifyLanguage(plan.detector, plan.partitioning, kept)
        | "Split into chunks" >> SplitIntoChunks(plan.tokenizer, plan.detector, plan.splitting, kept)
        | "Reuse vectors" >> ReuseVectors(plan.workspace, plan.shards, plan.bucket_count, kept, outputs)
    )
    embed = EmbedChunks(
        plan.encoder, kept, outputs, device=plan.device, space=plan.space.embedding_space, timeline=timeline
    )
    embedded = reused.chunks | "Embed chunks" >> embed.with_resource_hints(**hints)
    shared = reused.repeats | "Share vectors" >> ShareVectors(plan.workspace, plan.shards, embedded, kept, outputs)
    stored = {"chunks": embedded, "repeats": shared} | "Store vectors" >> StoreVectors(
        plan.workspace, plan.full_dimensions, plan.bucket_count, kept, outputs
    )
    changes = {"pointers": stored, "kept": recognised.kept} | "Reconcile ledger" >> ReconcileLedger(
        plan.workspace, plan.held, plan.bucket_count, kept, plan.context.max_delete_fraction
    )
    rows = changes.writes | "Load rows" >> LoadRows(plan.workspace, plan.load_bucket_count, kept, plan.loaded_outputs)
    if plan.labelling is not None:
        rows = rows | "Label chunks" >> LabelChunks(plan.labelling, kept)
    if plan.representation is not None:
        rows = rows | "Compress vectors" >> CompressVectors(plan.representation, kept)
    if plan.importing is None:
        _ = rows | "Write to Milvus" >> WriteToMilvus(plan.target, kept, plan.space.milvus_outputs, plan.writing)
    else:
        importing = ImportToMilvus(plan.target, plan.space, plan.importing, plan.workspace, plan.held, kept)
        _ = rows | "Import into Milvus" >> importing
    _ = changes.deletes | "Delete from Milvus" >> DeleteFromMilvus(plan.target, kept, plan.writing)
    rejects = kept.rejects | "Write rejects" >> WriteRejects(
        plan.workspace, plan.context.run_id, keep_text=plan.keep_rejected_text
    )
    end = CommitRun(plan.workspace, plan.target, plan.held, plan.context, kept.tallies, changes.parts, rejects)
    exit_code: PCollection[int] = root | "Commit run" >> end
    return exit_code


def run(config: Config, beam_options: PipelineOptions, say: Callable[[str], object] = lambda _: None) -> dict[str, Any]:
    """Plans, runs to the end and gives the run record; `say` hears what the plan was chosen by before anything is encoded.

    Of the runs on one collection one at a time gets to work: from the plan on it holds the lease of the collection's ledger.

    Raises:
        ConfigurationError: before anything is encoded.
        TransientError: a service failed beyond the retries, or another run is under way; running again resumes.
        CorruptDataError: the workspace does not hold what was written.
    """
    with (
        shown(PHASES_OF_RUN, beam_options, say) as view,
        _planned(config, beam_options, view.say) as (pipeline, plan),
    ):
        view.expect(plan.expected)
        finish(pipeline)
        record = plan.workspace.read_record(plan.context.run_id)
        report_run(_LOG, "run finished", record, plan.target.collection)
        view.end(record)
        return record


def launch(config: Config, beam_options: PipelineOptions, say: Callable[[str], object] = lambda _: None) -> str:
    """Plans, hands the job to the runner and gives the run id; the job itself commits the run and writes its record.

    The lease of the collection's ledger is held until the runner has the job. A run that starts before the job's end takes it over, and
    the job then commits nothing.

    Raises:
        ConfigurationError: before the runner has the job.
        TransientError: a service failed beyond the retries, or another run is under way.
    """
    with _planned(config, beam_options, say) as (pipeline, plan), errors_of_workers():
        pipeline.run()
        return plan.context.run_id


@contextmanager
def _planned(
    config: Config, beam_options: PipelineOptions, say: Callable[[str], object]
) -> Iterator[tuple[beam.Pipeline, Plan]]:
    """The pipeline of a run that nothing is wrong with, under the collection's lease."""
    with ExitStack() as until_done:

        def lease(directory: str, run_id: str) -> Claim:
            claim = until_done.enter_context(leased(directory, run_id, config.run.on_busy, say))
            # Not before: another run of this process may be using it.
            until_done.callback(release, config.storage.milvus)
            return claim

        plan = plan_run(
            config,
            workers_are_here=options.workers_are_here(beam_options),
            processes=options.worker_processes(beam_options),
            lease=lease,
        )
        say(plan.remarks)
        context = plan.context
        logs.bind(run_id=context.run_id)
        planned = {"files": context.files_planned, "splits": context.splits_planned, "known_shards": len(plan.shards)}
        report(_LOG, logging.INFO, "run planned", collection=plan.target.collection, **planned)
        pipeline = beam.Pipeline(options=beam_options)
        build(pipeline, plan, embedding_hints(config.workers))
        yield pipeline, plan


def finish(pipeline: beam.Pipeline) -> None:
    """Runs a pipeline to its end, or until this process is interrupted.

    Raises:
        CorpusEmbedError: what a worker raised.
    """
    try:
        # On another machine the disk of this one is not there.
        waits_on_disk = options.workers_are_here(pipeline.options)
        with errors_of_workers(), spilling() if waits_on_disk else nullcontext():
            apart(lambda: pipeline.run().wait_until_finish())
    finally:
        # Beam does that too, where it comes to its end.
        shutil.rmtree(pipeline.local_tempdir, ignore_errors=True)


@contextmanager
def errors_of_workers() -> Iterator[None]:
    """Raises what a worker raised as this project's own error, however the runner hands it on."""
    try:
        yield
    except CorpusEmbedError as error:
        raise type(error)(without_step(str(error))) from error
    except RuntimeError as error:
        known = find_in_text(str(error))
        if known is None:
            raise
        raise known from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this job."""
    options.add_arguments(parser)


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Runs the job with a parser that `add_arguments` filled; prints a summary and gives the exit code of the record."""
    config, beam_options = options.parse(parser, argv)
    if config.run.publish is not None:
        from pipelines import publish  # noqa: PLC0415  it runs this job

        return publish.execute_run(config, beam_options)
    record = run(config, beam_options, sys.stdout.write)
    sys.stdout.write(summarise(record, config, find_report(config.storage.workspace, record["run_id"])))
    return int(record["exit_code"])


if __name__ == "__main__":
    from pipelines.cli import script

    script(["run", *sys.argv[1:]])
