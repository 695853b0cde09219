"""The collection that a run writes to: opened if it is of the run's own space, created if it is not there."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pipelines.config import Config
from pipelines.partitions import OwnPartitions
from pipelines.representation import Choice, choose_representation
from pipelines.spaces import collection_space, milvus_outputs
from transforms.adapters.milvus import CollectionSpace, Target, check_held, held_by
from transforms.adapters.milvus.aliases import Alias
from transforms.adapters.models import ModelDescription
from transforms.adapters.workspace import Held, Ledger, Workspace
from transforms.logic.errors import ConfigurationError
from transforms.logic.representations import VECTOR_TYPES
from transforms.logic.zero_shot import Labels


@dataclass(frozen=True)
class Wanted:
    """What decides a collection's space, as checked."""

    config: Config
    model: ModelDescription
    labels: Labels | None
    own: OwnPartitions


@dataclass(frozen=True)
class Opened:
    """A collection that the run may write to; `choice` is None where it holds no dense vectors."""

    held: Held
    space: CollectionSpace
    choice: Choice | None


def open_collection(
    wanted: Wanted,
    target: Target,
    workspace: Workspace,
    choose_languages: Callable[[], tuple[str, ...] | None],
) -> Opened:
    """What the collection holds by the workspace's ledger, and its space; creates it if it does not exist.

    Languages with a partition of their own are chosen when a collection is created, and stand from then on.

    Raises:
        ConfigurationError: this Milvus does not hold what is asked for, or the collection holds vectors of another space.
    """
    collection = Alias(target)
    try:
        check_no_alias(collection, target.collection)
        ledger = workspace.latest_ledger()
        intents = tuple(workspace.unsettled_intents(ledger))
        found = collection.space() if collection.exists() else None
        choice = _choose(wanted, workspace, collection.version, found)
        recorded = None if choice is None else choice.recorded
        space = collection_space(wanted.config, wanted.model, recorded, wanted.labels)
        check_held(collection.version, space.field_kinds)
        if found is None:
            space = replace(space, languages=choose_languages())
            collection.create(space)
            # A new collection holds nothing, whatever an older one of this name held.
            return Opened(Held(Ledger(ledger.number, (), {}), (), trusted=True), space, choice)
        space = replace(space, languages=wanted.own.languages if wanted.own.is_named else found.languages)
        found.check_same(space, target.collection, may_cut_anew=wanted.config.run.new_space)
        if found.cut_as(space) != found:
            # Before the first row: if this run dies, a collection that holds both is brought to the end by its like alone.
            collection.record(found.cut_as(space))
        collection.load()
        return Opened(Held(ledger, intents, trusted=collection.counts() == ledger.partitions), space, choice)
    finally:
        collection.close()


def check_no_alias(collection: Alias, name: str) -> None:
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
