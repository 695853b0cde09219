"""What a run would find and do, told from a sample: nothing is written, no weights are loaded, no Milvus is asked."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipelines.configuration.config import Config
from pipelines.preflight.labelling import labels_of
from pipelines.preflight.partitions import of_new_collection, read_kept_languages, read_own_partitions
from pipelines.preflight.recipe import recipe_of
from pipelines.preflight.run_plan import bucket_count_of, check_limits, reading_of, splitting_of
from pipelines.preflight.sources import Sources, plan_sources
from pipelines.preflight.spaces import choose_prompts, computation, embedding_space, milvus_outputs
from transforms.adapters.detectors import Detector, read_choice
from transforms.adapters.known_before import KnownBefore, read_known
from transforms.adapters.milvus import CollectionSpace
from transforms.adapters.models import ModelDescription, check_outputs, describe_model
from transforms.adapters.run_records import newest_first
from transforms.adapters.tokenizer_proof import known_proof
from transforms.adapters.tokenizers import ModelTokenizer, open_tokenizer
from transforms.adapters.workspace import Ledger, Workspace, collection_key
from transforms.identify import Partitioning
from transforms.logic.errors import ConfigurationError
from transforms.logic.outputs import Output
from transforms.logic.records import Reading
from transforms.split import Splitting


@dataclass(frozen=True)
class Intended:
    """A run as far as it can be planned without touching anything.

    Attributes:
        sources: what it reads.
        reading: how.
        partitioning: what follows from a document's language.
        splitting: how documents are cut.
        recipe: the fingerprint of how documents become rows.
        model: the checkpoint.
        frame_tokens: special tokens and prompt, which the model reads with every chunk.
        outputs: what is made of every chunk.
        milvus_outputs: what of that Milvus holds.
        workspace: where everything is kept.
        ledger: what the collection holds.
        known: which documents and contents the workspace knows.
        records: of earlier runs, the newest first.
        bucket_count: into how many buckets contents are put.
        detector: opens the detector.
        tokenizer: opens the tokenizer.
    """

    sources: Sources
    reading: Reading
    partitioning: Partitioning
    splitting: Splitting
    recipe: str
    model: ModelDescription
    frame_tokens: int
    outputs: tuple[Output, ...]
    milvus_outputs: tuple[Output, ...]
    workspace: Workspace
    ledger: Ledger
    known: KnownBefore
    records: list[dict[str, Any]]
    bucket_count: int
    detector: Callable[[], Detector]
    tokenizer: Callable[[], ModelTokenizer]


def intend(config: Config) -> Intended:
    """Checks what can be checked without a Milvus, and reads what the workspace knows.

    What the collection holds is taken from its ledger and the record of the run that committed it.

    Raises:
        ConfigurationError: a value is wrong, or the collection holds vectors of another space.
        CorruptDataError: the workspace does not hold what was written.
    """
    choice = read_choice(config.language.detector, config.language.language_floor)
    own = read_own_partitions(config.language, choice)
    labels_of(config)
    reading = reading_of(config, choice.column)
    held = milvus_outputs(config)
    wanted = computation(config)
    sources = plan_sources(config)
    model = describe_model(config.encoding.model, config.encoding.revision)
    check_outputs(model, wanted.outputs)
    prompt = choose_prompts(model, config)["document"]
    check_limits(config, model, prompt)
    space = embedding_space(config, model)
    uri = config.storage.workspace.rstrip("/")
    workspace = Workspace(uri, space, collection_key(config.storage.milvus, config.storage.collection))
    # A publication fills a collection of its own.
    ledger = Ledger(0, (), {}) if config.run.publish else workspace.latest_ledger()
    found = _space_of(workspace, ledger, config.storage.collection)
    if found is not None and not own.is_named:
        languages = found.languages
    else:
        languages = of_new_collection(own, sources.splits, reading, choice, config)
    partitioning = Partitioning(
        config.language.partition_by, languages, config.language.language_floor, read_kept_languages(config.selection)
    )
    splitting = splitting_of(config, space)
    proof = known_proof(model.tokenizer_directory, uri, worth_proving=False)
    tokenizer = open_tokenizer(model.tokenizer_directory, proof)
    before, after = tokenizer.frame()
    looked_up = Ledger(0, (), {}) if config.run.recheck else ledger
    return Intended(
        sources,
        reading,
        partitioning,
        splitting,
        recipe_of(config.language.detector, choice, partitioning, splitting),
        model,
        len(before) + len(after) + len(tokenizer.ids(prompt)),
        wanted.outputs,
        held,
        workspace,
        ledger,
        read_known(workspace, workspace.shards(), looked_up),
        _records(uri),
        bucket_count_of(sources.splits, model, wanted),
        choice.detector,
        partial(open_tokenizer, model.tokenizer_directory, proof),
    )


def _records(uri: str) -> list[dict[str, Any]]:
    """Run records, the newest first; none before the first run."""
    try:
        return newest_first(uri)
    except ConfigurationError:
        # What cannot be listed was refused when the dataset was.
        return []


def _space_of(workspace: Workspace, ledger: Ledger, collection: str) -> CollectionSpace | None:
    """What the run that committed the ledger recorded of the collection; None for a collection without a ledger."""
    if not ledger.number:
        return None
    record: Mapping[str, Any] = workspace.read_record(workspace.run_of_ledger(ledger.number))
    found = CollectionSpace.from_json(json.dumps(record["collection_space"]))
    if found.embedding_space != workspace.space:
        raise ConfigurationError(
            f"collection {collection!r} holds vectors of another space ({found.embedding_space} of {found.model}, "
            f"{workspace.space} in this run); use the same settings or another --collection"
        )
    return found
