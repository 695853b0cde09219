"""Everything that can be wrong is found in the first seconds, before a model is loaded; what is found is frozen into a plan."""

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from math import ceil
from typing import Literal

from pipelines.config import Config
from pipelines.partitions import OwnPartitions, of_new_collection, read_kept_languages, read_own_partitions
from pipelines.sources import Sources, plan_sources
from transforms.adapters.detectors import Detector, read_choice
from transforms.adapters.encoders import Encoder, open_encoder
from transforms.adapters.formats import Split
from transforms.adapters.formats.groups import SplitGroup
from transforms.adapters.milvus import Collection, CollectionSpace, Target, served
from transforms.adapters.models import ModelDescription, describe_model
from transforms.adapters.storage import check_writable
from transforms.adapters.tokenizer_proof import Proven, known_proof
from transforms.adapters.tokenizers import ModelTokenizer, open_tokenizer
from transforms.adapters.workspace import Held, Ledger, Shard, Workspace, collection_key
from transforms.identify import Partitioning
from transforms.logic.chunking import Limits
from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import fingerprint
from transforms.logic.record import RunContext
from transforms.logic.records import Columns, Reading
from transforms.logic.selection import Selection
from transforms.split import Splitting

# Two million tokens: some minutes of a CPU, seconds of a GPU. What dies with a worker is at most the bucket it encodes.
_BUCKET_BYTES = 8 << 20
# A proof takes ten seconds of one core, the model's own tokenizer some forty for so much text, the faster one ten.
_WORTH_PROVING_BYTES = 64 << 20
_MIN_BUCKETS = 8
_MAX_BUCKETS = 4096
_GZIP_RATIO = 4
_PACKAGES = (
    "corpus-embed",
    "apache-beam",
    "torch",
    "transformers",
    "sentence-transformers",
    "tokenizers",
    "kitoken",
    "pymilvus",
    "pyarrow",
    "pycld2",
    "langcodes",
)


@dataclass(frozen=True)
class Plan:
    """A run as planned: what it reads, what is known already, and how its steps are made."""

    groups: list[SplitGroup]
    reading: Reading
    selection: Selection
    partitioning: Partitioning
    splitting: Splitting
    space: CollectionSpace
    workspace: Workspace
    target: Target
    shards: list[Shard]
    held: Held
    bucket_count: int
    full_dimensions: int
    context: RunContext
    detector: Callable[[], Detector]
    tokenizer: Callable[[], ModelTokenizer]
    encoder: Callable[[], Encoder]


def plan_run(config: Config) -> Plan:
    """Checks the whole configuration against the world and freezes what the run starts from.

    Creates the collection if it does not exist.

    Raises:
        ConfigurationError: naming the value, what is allowed and what to do.
    """
    choice = read_choice(config.language.detector, config.language.language_floor)
    own = read_own_partitions(config.language, choice)
    keep_languages = read_kept_languages(config.selection)
    reading = _reading(config, choice.column)
    sources = plan_sources(config)
    splits = sources.splits
    check_writable(config.storage.workspace)
    model = describe_model(config.encoding.model, config.encoding.revision)
    prompts = choose_prompts(model, config)
    tokenizer = open_tokenizer(model.directory)
    _check_limits(config, model, tokenizer, prompts["document"])
    space = collection_space(config, model, prompts)
    target = served(Target(config.storage.milvus, config.storage.collection, config.storage.milvus_token_env))
    key = collection_key(config.storage.milvus, config.storage.collection)
    workspace = Workspace(config.storage.workspace.rstrip("/"), space.embedding_space, key)
    held, space = _open_collection(
        target, space, workspace, own, lambda: of_new_collection(own, splits, reading, choice, config)
    )
    return Plan(
        groups=sources.groups,
        reading=reading,
        selection=sources.selection,
        partitioning=Partitioning(
            config.language.partition_by, space.languages, config.language.language_floor, keep_languages
        ),
        splitting=_splitting(config, space.embedding_space),
        space=space,
        workspace=workspace,
        target=target,
        shards=workspace.shards(),
        held=held,
        bucket_count=_bucket_count(splits),
        full_dimensions=model.dimensions,
        context=_context(config, model, space, sources),
        detector=choice.detector,
        tokenizer=partial(open_tokenizer, model.directory, _proof(config, model, splits)),
        encoder=partial(open_encoder, model, prompts["document"], config.encoding.dtype),
    )


def _reading(config: Config, language_column: str | None) -> Reading:
    source = config.source
    return Reading(
        columns=Columns(
            source.id_column,
            source.text_column,
            language_column,
            source.date_column,
            source.metadata_columns,
        ),
        max_document_bytes=source.max_document_bytes,
        max_record_bytes=source.max_record_bytes,
        max_decompressed_bytes=source.max_decompressed_bytes,
        max_compression_ratio=source.max_compression_ratio,
        format=source.format,
        id_from=source.id_from,
        decoding=source.decoding,
    )


def choose_prompts(model: ModelDescription, config: Config) -> dict[Literal["document", "query"], str]:
    """The document and query prompts: the user's, else the model's own, else none."""
    own = model.prompts
    document = config.encoding.document_prompt
    query = config.encoding.query_prompt
    return {
        "document": document if document is not None else own.get("document", own.get("passage", "")),
        "query": query if query is not None else own.get("query", ""),
    }


def collection_space(
    config: Config, model: ModelDescription, prompts: dict[Literal["document", "query"], str]
) -> CollectionSpace:
    """What the collection records about itself."""
    return CollectionSpace(
        embedding_space=model.embedding_space(prompts["document"], config.encoding.dtype),
        model=model.directory if model.revision is None else model.name,
        revision=model.revision,
        dtype=config.encoding.dtype,
        query_prompt=prompts["query"],
        dimensions=config.representation.dimensions or model.dimensions,
        vector_type=config.representation.vector_type,
        partition_by=config.language.partition_by,
        document_prompt=prompts["document"],
    )


def _splitting(config: Config, space: str) -> Splitting:
    chunking = config.chunking
    return Splitting(
        Limits(chunking.max_tokens, chunking.overlap, min_tokens=chunking.min_tokens),
        space,
        chunking.structure,
        chunking.max_unknown_fraction,
        chunking.on_unknown,
    )


def _proof(config: Config, model: ModelDescription, splits: list[Split]) -> Proven | None:
    worth_proving = _text_bytes(splits) >= _WORTH_PROVING_BYTES
    return known_proof(model.directory, config.storage.workspace, worth_proving=worth_proving)


def _check_limits(config: Config, model: ModelDescription, tokenizer: ModelTokenizer, prompt: str) -> None:
    before, after = tokenizer.frame()
    room = model.max_sequence_tokens - len(before) - len(after) - len(tokenizer.ids(prompt))
    if config.chunking.max_tokens > room:
        message = (
            f"--max-tokens {config.chunking.max_tokens} does not fit: {config.encoding.model!r} reads {model.max_sequence_tokens} tokens, "
            f"of which {room} remain beside special tokens and the prompt {prompt!r}; choose at most {room}"
        )
        raise ConfigurationError(message)
    dimensions = config.representation.dimensions
    if dimensions is not None and dimensions > model.dimensions:
        message = (
            f"--dimensions {dimensions} is more than {config.encoding.model!r} has; choose at most {model.dimensions}"
        )
        raise ConfigurationError(message)


def _open_collection(
    target: Target,
    space: CollectionSpace,
    workspace: Workspace,
    own: OwnPartitions,
    choose_languages: Callable[[], tuple[str, ...] | None],
) -> tuple[Held, CollectionSpace]:
    """What the collection holds by the workspace's ledger, and its space; creates it if it does not exist.

    Languages with a partition of their own are chosen when a collection is created, and stand from then on.
    """
    collection = Collection(target)
    try:
        ledger = workspace.latest_ledger()
        intents = tuple(workspace.unsettled_intents(ledger))
        if not collection.exists():
            space = replace(space, languages=choose_languages())
            collection.create(space)
            # A new collection holds nothing, whatever an older one of this name held.
            return Held(Ledger(ledger.number, (), {}), (), trusted=True), space
        found = collection.space()
        space = replace(space, languages=own.languages if own.is_named else found.languages)
        _check_space(target.collection, found, space)
        collection.load()
        return Held(ledger, intents, trusted=collection.counts() == ledger.partitions), space
    finally:
        collection.close()


def _check_space(name: str, found: CollectionSpace, wanted: CollectionSpace) -> None:
    decisive = ("embedding_space", "dimensions", "vector_type", "partition_by", "languages")
    there, here = asdict(found), asdict(wanted)
    differing = [one for one in decisive if there[one] != here[one]]
    if differing:
        shown = [*differing, *(one for one in ("model", "revision", "dtype") if there[one] != here[one])]
        lines = "\n".join(f"  {one}: {there[one]!r} in the collection, {here[one]!r} in this run" for one in shown)
        message = f"collection {name!r} holds vectors of another space; use the same settings or another --collection:\n{lines}"
        raise ConfigurationError(message)


def _bucket_count(splits: list[Split]) -> int:
    return min(_MAX_BUCKETS, max(_MIN_BUCKETS, ceil(_text_bytes(splits) / _BUCKET_BYTES)))


def _text_bytes(splits: list[Split]) -> int:
    return sum(split.size_bytes * (_GZIP_RATIO if split.compression else 1) for split in splits)


def _context(config: Config, model: ModelDescription, space: CollectionSpace, sources: Sources) -> RunContext:
    configuration = config.model_dump(mode="json")
    started = time.time()
    return RunContext(
        run_id=f"{config.run.logical_date or 'run'}-{fingerprint(configuration)[:16]}",
        splits_planned=len(sources.splits),
        files_planned=sources.files_planned,
        files_left_out=sources.files_left_out,
        max_reject_fraction=config.run.max_reject_fraction,
        configuration=configuration,
        model={
            "name": model.name,
            "revision": model.revision,
            "files_digest": model.files_digest,
            "dtype": space.dtype,
        },
        embedding_space=space.embedding_space,
        representation={"dimensions": space.dimensions, "vector_type": space.vector_type, "metric": "COSINE"},
        versions={"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        started_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        started_seconds=started,
    )
