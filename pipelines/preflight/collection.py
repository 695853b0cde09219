"""The collection that a run writes to: opened if it is of the run's own space, created if it is not there."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pipelines.configuration.config import Config
from pipelines.preflight.importing import CollectionImport
from pipelines.preflight.partitions import OwnPartitions
from pipelines.preflight.representation import Choice, choose_representation
from pipelines.preflight.spaces import collection_space, milvus_outputs
from transforms.adapters.milvus import (
    Collection,
    CollectionSpace,
    Index,
    Target,
    capabilities_of,
    check_held,
    choose_index,
    held_by,
    index_of,
)
from transforms.adapters.milvus.import_jobs import ImportCollection
from transforms.adapters.models import ModelDescription
from transforms.adapters.workspace import Held, Ledger, Workspace
from transforms.logic.errors import ConfigurationError
from transforms.logic.representations import VECTOR_TYPES
from transforms.logic.zero_shot import Labels


@dataclass(frozen=True)
class Wanted:
    """What decides a collection's space, as checked; `expected_rows` is an estimate, by which an index is chosen."""

    config: Config
    model: ModelDescription
    labels: Labels | None
    own: OwnPartitions
    expected_rows: int | None = None


@dataclass(frozen=True)
class Opened:
    """A collection that the run may write to.

    Attributes:
        held: what it holds.
        space: what it records.
        choice: None where it holds no dense vectors.
        import_folder: name of the folder for its import files; None if it holds rows that no import brought, so that none may be imported.
    """

    held: Held
    space: CollectionSpace
    choice: Choice | None
    import_folder: str | None


def open_collection(
    wanted: Wanted,
    target: Target,
    workspace: Workspace,
    choose_languages: Callable[[], tuple[str, ...] | None],
    check_cutting: Callable[[], None],
) -> Opened:
    """What the collection holds by the workspace's ledger, and its space; creates it if it does not exist.

    Languages with a partition of their own are chosen when a collection is created, and stand from then on. `check_cutting` is asked
    whether the model can read chunks as they are to be cut, unless that is how the collection's are cut: then it was asked before.

    Raises:
        ConfigurationError: this Milvus does not hold what is asked for, or the collection holds vectors of another space.
    """
    collection = ImportCollection(target)
    try:
        check_no_alias(collection, target.collection)
        ledger = workspace.latest_ledger()
        imports = CollectionImport(wanted.config.loading, target, collection, workspace, ledger.number + 1)
        intents = tuple(workspace.unsettled_intents(ledger))
        found = collection.space() if collection.exists() else None
        choice = _choose(wanted, workspace, collection.version, found)
        recorded = None if choice is None else choice.recorded
        space = collection_space(wanted.config, wanted.model, recorded, wanted.labels)
        check_held(collection.version, space.field_kinds)
        space = replace(space, index=_index(wanted, collection.version, space, found))
        if found is None:
            check_cutting()
            space = replace(space, languages=choose_languages())
            imports.forget()
            collection.create(space)
            return Opened(Held(Ledger(ledger.number, (), {}), (), trusted=True), space, choice, imports.folder(0))
        space = replace(space, languages=wanted.own.languages if wanted.own.is_named else found.languages)
        found.check_same(space, target.collection, may_cut_anew=wanted.config.run.new_space)
        if found.cut_as(space) != found:
            check_cutting()
            # Before the first row: if this run dies, a collection that holds both is brought to the end by its like alone.
            collection.record(found.cut_as(space))
        imports.check_none_is_left()
        collection.load()
        counts = collection.counts()
        held = Held(ledger, intents, trusted=counts == ledger.partitions)
        return Opened(held, space, choice, imports.folder(sum(counts.values()) + ledger.rows))
    finally:
        collection.close()


def _index(wanted: Wanted, version: str, space: CollectionSpace, found: CollectionSpace | None) -> str | None:
    """The index of the dense vectors as a collection records it: that of a collection stands."""
    storage = wanted.config.storage
    if space.vector_type is None:
        if storage.index != "auto":
            raise ConfigurationError(
                f"--index {storage.index} is for dense vectors, and Milvus holds none in this run; leave it out"
            )
        return None
    asked = choose_index(
        storage.index, storage.index_parameters, space.vector_type, capabilities_of(version), wanted.expected_rows
    )
    return index_to_record(storage.index, asked, space, found)


def index_to_record(asked: str, chosen: Index, space: CollectionSpace, found: CollectionSpace | None) -> str | None:
    """The index that a collection records: that of a collection which is there stands.

    Args:
        asked: what `--index` says.
        chosen: what that means for these vectors on this Milvus.
        space: of the rows to be written.
        found: of the collection, if it is there.

    Raises:
        ConfigurationError: another index is asked for than the collection has.
    """
    if found is None:
        return str(chosen)
    held = index_of(found)
    if asked != "auto" and held is not None and found.vector_type == space.vector_type and chosen != held:
        raise ConfigurationError(
            f"--index asks for {chosen}, the collection was made with {held}; leave --index out, or use another --collection"
        )
    return found.index


def check_no_alias(collection: Collection, name: str) -> None:
    """Refuses to write to a collection under an alias of it: `ConfigurationError` naming the collection."""
    # Ledgers go by the names of collections: under another name the same rows would be held anew.
    if collection.exists() and (meant := collection.meant()) != name:
        message = f"--collection {name!r} is an alias of {meant!r}; name that collection, or publish a fresh one: --publish {name}"
        raise ConfigurationError(message)


def _choose(wanted: Wanted, workspace: Workspace, version: str, found: CollectionSpace | None) -> Choice | None:
    asked = wanted.config.representation
    if "dense" not in milvus_outputs(wanted.config):
        if asked != type(asked)():
            raise ConfigurationError(
                "--vector-type, --dimensions and what belongs to them are for dense vectors, and Milvus holds none in this run; "
                "leave them out, or add dense to --outputs and --milvus-outputs"
            )
        return None
    held = held_by(version)
    allowed = [one for one in VECTOR_TYPES if one in held]
    if asked.vector_type != "auto":
        # Before a calibration is made for what cannot be held.
        check_held(version, {"dense": asked.vector_type})
    # Of a collection of another space nothing stands; it is refused below.
    same = found is not None and found.embedding_space == workspace.space
    recorded = found.recorded if found is not None and same else None
    return choose_representation(asked, wanted.model.dimensions, workspace, allowed, recorded)
