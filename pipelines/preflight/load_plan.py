"""What a load does, found out before anything is written: which rows, into which collection, how they are held there."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any, Literal

import numpy as np

from pipelines.configuration import sections
from pipelines.configuration.access import describe_access
from pipelines.preflight.collection import check_no_alias, index_to_record
from pipelines.preflight.importing import CollectionImport, importing_of
from pipelines.preflight.representation import choose_representation
from pipelines.preflight.run_plan import run_context
from transforms.adapters.calibrations import reopen
from transforms.adapters.export import find_collection
from transforms.adapters.inventory import list_workspace
from transforms.adapters.lease import Claim
from transforms.adapters.milvus import (
    Collection,
    CollectionSpace,
    Index,
    Target,
    capabilities_of,
    check_held,
    choose_index,
    held_by,
    read_index,
    release,
    served,
)
from transforms.adapters.milvus.import_jobs import ImportCollection
from transforms.adapters.milvus.import_storage import ImportStorage
from transforms.adapters.storage import join
from transforms.adapters.verifier import Form
from transforms.adapters.workspace import Held, Ledger, Workspace, read_ledger
from transforms.bulk_import import Importing
from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import fingerprint
from transforms.logic.inventory import Kind, Listing
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.record import RunContext
from transforms.logic.representations import VECTOR_TYPES, Recorded, Representation
from transforms.write import Writing

_ROWS_PER_BUCKET = 20_000
# Each bucket is written to files of its own, one or more a partition; places of so many rows, of some hundred bytes, are in memory.
_ROWS_PER_BUCKET_OF_FILES = 4_000_000
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
        index: type of the index of dense vectors in a new collection; `auto` that of the source, where it is of such vectors and this
            Milvus builds it, else by vector type, server and size.
        index_parameters: `NAME=VALUE` each, of that type.
        loading: whether rows are upserted or imported, and how.
        writing: how rows are upserted.
        verify: how deep it is held against its ledger at the end.
    """

    workspace: str
    source: str
    target: Target
    source_milvus: str | None = None
    representation: sections.Representation | None = None
    milvus_outputs: tuple[Output, ...] | None = None
    index: str = "auto"
    index_parameters: tuple[str, ...] = ()
    loading: sections.Loading = field(default_factory=sections.Loading)
    writing: Writing = field(default_factory=Writing)
    verify: Literal["none"] | Form = "quick"


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
    load_bucket_count: int
    importing: Importing | None
    writing: Writing
    context: RunContext


@dataclass(frozen=True)
class Source:
    """The ledger that says which rows, and the space of the collection that it is of."""

    workspace: Workspace
    ledger: Ledger
    space: CollectionSpace


def run_id_of(asked: Loading) -> str:
    """Names a load by what was asked for."""
    return f"load-{fingerprint(_configuration(asked))[:16]}"


def open_source(asked: Loading, lease: Callable[[str], Claim]) -> Source:
    """What is to be loaded; `lease` is asked for the lease of a directory first.

    Raises:
        ConfigurationError: the workspace does not know the collection, or it holds nothing.
        TransientError: a run holds the lease.
    """
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
    return Source(workspace, ledger, _recorded_space(workspace, listing, key) or _ask_source(asked))


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
    collection = Collection(served(Target(asked.source_milvus, asked.source, asked.target.access)))
    try:
        return collection.space()
    finally:
        collection.close()
        release(asked.source_milvus)


def plan_load(
    asked: Loading, source: Source, workspace: Workspace, storage: ImportStorage | None, claim: Claim
) -> Plan:
    """Checks the target against the source, and creates it if it does not exist.

    Raises:
        ConfigurationError: naming the value, what is allowed and what to do.
        TransientError: Milvus does not answer.
    """
    target = served(asked.target)
    collection = ImportCollection(target)
    try:
        check_no_alias(collection, target.collection)
        ledger = workspace.latest_ledger()
        imports = CollectionImport(asked.loading, target, collection, workspace, ledger.number + 1)
        intents = tuple(workspace.unsettled_intents(ledger))
        found = collection.space() if collection.exists() else None
        space, representation = _space(asked, source, workspace, collection.version, found)
        check_held(collection.version, space.field_kinds)
        if found is None:
            imports.forget()
            collection.create(space)
            held, folder = Held(Ledger(ledger.number, (), {}), (), trusted=True, claim=claim), imports.folder(0)
        else:
            found.check_same(space, target.collection)
            imports.check_none_is_left()
            collection.load()
            counts = collection.counts()
            held = Held(ledger, intents, trusted=counts == ledger.partitions, claim=claim)
            folder = imports.folder(sum(counts.values()) + ledger.rows)
    finally:
        collection.close()
    importing = importing_of(asked.loading, storage, folder)
    bucket_count = min(_MAX_BUCKETS, max(_MIN_BUCKETS, ceil(source.ledger.rows / _ROWS_PER_BUCKET)))
    of_files = ceil(source.ledger.rows / _ROWS_PER_BUCKET_OF_FILES)
    return Plan(
        parts=source.ledger.parts,
        source=source.workspace,
        workspace=workspace,
        target=target,
        held=held,
        space=space,
        representation=representation,
        bucket_count=bucket_count,
        load_bucket_count=bucket_count if importing is None else of_files,
        importing=importing,
        writing=asked.writing,
        context=_context(asked, source, space, representation),
    )


def _context(
    asked: Loading, source: Source, space: CollectionSpace, representation: Representation | None
) -> RunContext:
    return run_context(
        run_id=run_id_of(asked),
        splits_planned=len(source.ledger.parts),
        files_planned=0,
        max_reject_fraction=0.0,
        max_delete_fraction=1.0,
        configuration=_configuration(asked),
        model={"name": space.model, "revision": space.revision},
        embedding_space=space.embedding_space,
        representation={
            "outputs": list(space.milvus_outputs),
            **({} if representation is None else representation.describe()),
        },
        collection_space=json.loads(space.to_json()),
        verify=asked.verify,
    )


def _space(
    asked: Loading, source: Source, workspace: Workspace, version: str, found: CollectionSpace | None
) -> tuple[CollectionSpace, Representation | None]:
    """The target's space, and how it holds dense vectors."""
    of_source = source.space
    outputs = asked.milvus_outputs or of_source.milvus_outputs
    missing = [one for one in outputs if one not in of_source.outputs]
    if asked.writing.path == "columns" and "multi" in outputs:
        raise ConfigurationError(
            "--write-path columns does not write vectors of tokens; leave it out, or leave multi out of --milvus-outputs"
        )
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
            choice = choose_representation(
                asked.representation or sections.Representation(), full, workspace, allowed, standing
            )
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
        multi_dimensions=multi,
        # They are made by a model from a file, and the dataset has none.
        labels=(),
        labels_digest=None,
    )
    return replace(space, index=_index(asked, source, space, version, found)), representation


def _index(
    asked: Loading, source: Source, space: CollectionSpace, version: str, found: CollectionSpace | None
) -> str | None:
    """The index of the dense vectors, as the collection records it."""
    if space.vector_type is None:
        if asked.index != "auto":
            raise ConfigurationError(
                f"--index {asked.index} is for dense vectors, and the collection is to hold none; leave it out"
            )
        return None
    there = capabilities_of(version)
    like_source = _index_of_source(source.space, space, there.indexes) if asked.index == "auto" else None
    chosen = like_source or choose_index(
        asked.index, asked.index_parameters, space.vector_type, there, source.ledger.rows
    )
    return index_to_record(asked.index, chosen, space, found)


def _index_of_source(source: CollectionSpace, space: CollectionSpace, indexes: frozenset[str]) -> Index | None:
    """The source's, where it is of such vectors and this Milvus builds it."""
    if source.index is None or space.vector_type != source.vector_type:
        return None
    index = read_index(source.index)
    return index if index.type in indexes else None


def _configuration(asked: Loading) -> dict[str, Any]:
    wanted = asked.representation
    return {
        "storage": {
            "workspace": asked.workspace,
            "milvus": asked.target.uri,
            "collection": asked.target.collection,
            "milvus_outputs": None if asked.milvus_outputs is None else list(asked.milvus_outputs),
            "index": asked.index,
            "index_parameters": list(asked.index_parameters),
            "writers": asked.writing.writers,
            "write_path": asked.writing.path,
        },
        "access": describe_access(asked.target.access),
        "loading": asked.loading.model_dump(mode="json"),
        "load": {"from": asked.source, "from_milvus": asked.source_milvus},
        "representation": None if wanted is None else wanted.model_dump(mode="json"),
        "run": {"verify": asked.verify, "keep_rejected_text": False},
    }
