"""Load: what one collection holds goes to another, from the dataset and without a model, in another representation perhaps."""

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import PCollection

import transforms.coders  # noqa: F401  registers the coder of record batches
from pipelines import logs
from pipelines.collection import check_no_alias
from pipelines.embed_corpus import errors_of_workers
from pipelines.preflight import run_context
from pipelines.representation import choose_representation
from pipelines.sections import Representation as Wanted
from transforms.adapters.calibrations import reopen
from transforms.adapters.events import report_run
from transforms.adapters.export import find_collection
from transforms.adapters.inventory import list_workspace
from transforms.adapters.lease import Claim, OnBusy, leased
from transforms.adapters.milvus import (
    Collection,
    CollectionSpace,
    Target,
    capabilities_of,
    check_held,
    choose_index,
    held_by,
    read_index,
    release,
    served,
)
from transforms.adapters.milvus.aliases import Alias
from transforms.adapters.storage import check_writable, join
from transforms.adapters.verifier import Form
from transforms.adapters.workspace import Held, Ledger, Workspace, collection_key, read_ledger
from transforms.commit import CommitRun
from transforms.compress import CompressVectors
from transforms.held import ReadHeldRows
from transforms.load import LoadRows
from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import fingerprint
from transforms.logic.inventory import Kind, Listing
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.record import RunContext
from transforms.logic.representations import VECTOR_TYPES, Recorded, Representation
from transforms.metrics import ByProducts
from transforms.reconcile import ReconcileLedger
from transforms.reject import WriteRejects
from transforms.write import DeleteFromMilvus, WriteToMilvus

_LOG = logging.getLogger(__name__)
_ROWS_PER_BUCKET = 20_000
_MIN_BUCKETS = 8
_MAX_BUCKETS = 4096
_NO_ROWS = np.empty(0, np.int64)
_FIRST_ROW = np.zeros(1, np.int64)


@dataclass(frozen=True)
class Loading:
    """What is asked for.

    Attributes:
        workspace: its URI.
        source: the collection whose ledger says which rows.
        source_milvus: where that is or was; needed if several collections of the workspace have the name.
        target: the collection to fill, created if it does not exist.
        representation: how it holds dense vectors; None as the source does.
        milvus_outputs: which outputs it holds; None those of the source.
        verify: how deep it is held against its ledger at the end.
    """

    workspace: str
    source: str
    target: Target
    source_milvus: str | None = None
    representation: Wanted | None = None
    milvus_outputs: tuple[Output, ...] | None = None
    verify: Form = "quick"


@dataclass(frozen=True)
class Plan:
    """A load as planned."""

    parts: Sequence[str]
    source: Workspace
    workspace: Workspace
    target: Target
    held: Held
    space: CollectionSpace
    representation: Representation | None
    bucket_count: int
    context: RunContext


@dataclass(frozen=True)
class _Source:
    """The ledger that says which rows, and the space of the collection that it is of."""

    workspace: Workspace
    ledger: Ledger
    space: CollectionSpace


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
        plan.workspace, plan.bucket_count, kept, plan.space.milvus_outputs
    )
    if plan.representation is not None:
        loaded = loaded | "Compress vectors" >> CompressVectors(plan.representation, kept)
    _ = loaded | "Write to Milvus" >> WriteToMilvus(plan.target, kept, plan.space.milvus_outputs)
    _ = changes.deletes | "Delete from Milvus" >> DeleteFromMilvus(plan.target, kept)
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
    with ExitStack() as until_done:
        source = _open_source(asked, lambda key: until_done.enter_context(leased(key, "load", on_busy, say)))
        workspace = Workspace(
            uri, source.space.embedding_space, collection_key(asked.target.uri, asked.target.collection)
        )
        if workspace.collection_key == source.workspace.collection_key:
            raise ConfigurationError(f"--from and --collection are both {asked.source!r}; name another --collection")
        run_id = f"load-{fingerprint(_configuration(asked))[:16]}"
        claim = until_done.enter_context(leased(workspace.lease, run_id, on_busy, say))
        until_done.callback(release, asked.target.uri)
        logs.bind(run_id=run_id)
        plan = _plan(asked, source, workspace, claim, run_id)
        pipeline = beam.Pipeline(options=beam_options)
        build(pipeline, plan)
        with errors_of_workers():
            pipeline.run().wait_until_finish()
        record = plan.workspace.read_record(run_id)
        report_run(_LOG, "run finished", record, plan.target.collection)
        return record


def _open_source(asked: Loading, lease: Callable[[str], Claim]) -> _Source:
    uri = asked.workspace.rstrip("/")
    listing = list_workspace(uri)
    key = find_collection(listing, asked.source, asked.source_milvus, "--from")
    workspace = Workspace(uri, "", key)
    lease(workspace.lease)
    ledger = workspace.latest_ledger()
    if not ledger.parts:
        raise ConfigurationError(
            f"--from {asked.source}: its ledger holds no rows; name a collection that a run has filled"
        )
    return _Source(workspace, ledger, _recorded_space(workspace, listing, key) or _ask_source(asked))


def _recorded_space(workspace: Workspace, listing: Listing, key: str) -> CollectionSpace | None:
    """What the run that committed the ledger recorded of the collection, so that it need not be there any more."""
    latest = listing.latest_ledger(key)
    run_id = "" if latest is None else read_ledger(join(workspace.uri, latest.path), latest.number)[1]
    if not listing.of(Kind.RECORD, run_id):
        return None
    space = workspace.read_record(run_id).get("collection_space")
    return CollectionSpace.from_json(json.dumps(space)) if space else None


def _ask_source(asked: Loading) -> CollectionSpace:
    """What the collection itself says: a record of an earlier version does not."""
    if asked.source_milvus is None:
        raise ConfigurationError(
            f"--from {asked.source}: no record says what it holds; say by --from-milvus where it is"
        )
    collection = Collection(served(Target(asked.source_milvus, asked.source, asked.target.token_env)))
    try:
        return collection.space()
    finally:
        collection.close()
        release(asked.source_milvus)


def _plan(asked: Loading, source: _Source, workspace: Workspace, claim: Claim, run_id: str) -> Plan:
    target = served(asked.target)
    collection = Alias(target)
    try:
        check_no_alias(collection, target.collection)
        ledger = workspace.latest_ledger()
        intents = tuple(workspace.unsettled_intents(ledger))
        found = collection.space() if collection.exists() else None
        space, representation = _space(asked, source, workspace, collection.version, found)
        check_held(collection.version, space.field_kinds)
        if found is None:
            collection.create(space)
            held = Held(Ledger(ledger.number, (), {}), (), trusted=True, claim=claim)
        else:
            found.check_same(space, target.collection)
            collection.load()
            held = Held(ledger, intents, trusted=collection.counts() == ledger.partitions, claim=claim)
    finally:
        collection.close()
    configuration = _configuration(asked)
    return Plan(
        parts=source.ledger.parts,
        source=source.workspace,
        workspace=workspace,
        target=target,
        held=held,
        space=space,
        representation=representation,
        bucket_count=min(_MAX_BUCKETS, max(_MIN_BUCKETS, ceil(source.ledger.rows / _ROWS_PER_BUCKET))),
        context=run_context(
            run_id=run_id,
            splits_planned=len(source.ledger.parts),
            files_planned=0,
            max_reject_fraction=0.0,
            max_delete_fraction=1.0,
            configuration=configuration,
            model={"name": space.model, "revision": space.revision},
            embedding_space=space.embedding_space,
            representation={
                "outputs": list(space.milvus_outputs),
                **({} if representation is None else representation.describe()),
            },
            collection_space=json.loads(space.to_json()),
            verify=asked.verify,
        ),
    )


def _space(
    asked: Loading, source: _Source, workspace: Workspace, version: str, found: CollectionSpace | None
) -> tuple[CollectionSpace, Representation | None]:
    """The target's space, and how it holds dense vectors."""
    of_source = source.space
    outputs = asked.milvus_outputs or of_source.milvus_outputs
    missing = [one for one in outputs if one not in of_source.outputs]
    if missing:
        raise ConfigurationError(
            f"--milvus-outputs: the dataset has no {' and no '.join(missing)}; choose of {', '.join(of_source.outputs)}"
        )
    shard = str(source.workspace.read_ledger_part(source.ledger.parts[0]).column("shard")[0].as_py())
    recorded: Recorded | None = None
    representation: Representation | None = None
    if "dense" in outputs:
        full = workspace.read_shard(shard, ["vector"], rows=_NO_ROWS).column("vector").type.list_size
        if asked.representation is None and of_source.recorded is not None:
            recorded = of_source.recorded
            representation = reopen(recorded, of_source.embedding_space, full)
        else:
            allowed = [one for one in VECTOR_TYPES if one in held_by(version)]
            standing = None if found is None else found.recorded
            choice = choose_representation(asked.representation or Wanted(), full, workspace, allowed, standing)
            recorded, representation = choice.recorded, choice.representation
    multi = None
    if "multi" in outputs:
        tokens = workspace.read_shard(shard, ["multi"], rows=_FIRST_ROW).column("multi")[0]
        multi = len(tokens[0])
    space = replace(
        of_source,
        milvus_outputs=tuple(one for one in OUTPUTS if one in outputs),
        dimensions=None if recorded is None else recorded.dimensions,
        vector_type=None if recorded is None else recorded.vector_type,
        calibration=None if recorded is None else recorded.calibration,
        calibration_uri=None if recorded is None else recorded.calibration_uri,
        projection=None if recorded is None else recorded.projection,
        projection_uri=None if recorded is None else recorded.projection_uri,
        index=_index(of_source, recorded, source.ledger.rows, version) if found is None else found.index,
        multi_dimensions=multi,
        # They are made by a model from a file, and the dataset has none.
        labels=(),
        labels_digest=None,
    )
    return space, representation


def _index(source: CollectionSpace, recorded: Recorded | None, rows: int, version: str) -> str | None:
    """The index of the dense vectors of a new collection: the source's, where it is of such vectors and this Milvus builds it."""
    if recorded is None:
        return None
    there = capabilities_of(version)
    if source.index is not None and recorded.vector_type == source.vector_type:
        index = read_index(source.index)
        if index.type in there.indexes:
            return str(index)
    return str(choose_index("auto", (), recorded.vector_type, there, rows))


def _configuration(asked: Loading) -> dict[str, Any]:
    wanted = asked.representation
    return {
        "storage": {
            "workspace": asked.workspace,
            "milvus": asked.target.uri,
            "collection": asked.target.collection,
            "milvus_outputs": None if asked.milvus_outputs is None else list(asked.milvus_outputs),
            "milvus_token_env": asked.target.token_env,
        },
        "load": {"from": asked.source, "from_milvus": asked.source_milvus},
        "representation": None if wanted is None else wanted.model_dump(mode="json"),
        "run": {"verify": asked.verify, "keep_rejected_text": False},
    }
