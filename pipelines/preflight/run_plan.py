"""Everything that can be wrong is found in the first seconds, before a model is loaded; what is found is frozen into a plan."""

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from math import ceil
from typing import Any

from pipelines.configuration.config import Config
from pipelines.preflight.collection import Opened, Wanted, open_collection
from pipelines.preflight.importing import importing_of, open_import_storage
from pipelines.preflight.labelling import labels_of, plan_labelling
from pipelines.preflight.partitions import of_new_collection, read_kept_languages, read_own_partitions
from pipelines.preflight.recipe import recipe_of
from pipelines.preflight.sources import Sources, plan_sources
from pipelines.preflight.spaces import choose_prompts, computation, embedding_space, milvus_outputs
from transforms.adapters.detectors import Detector, read_choice
from transforms.adapters.encoders import Computation, Encoder, open_encoder
from transforms.adapters.formats import Split
from transforms.adapters.formats.groups import SplitGroup
from transforms.adapters.lease import Claim
from transforms.adapters.milvus import MAX_TOKEN_VECTORS, CollectionSpace, Target, served
from transforms.adapters.models import ModelDescription, check_outputs, describe_model
from transforms.adapters.pushing import check_push_url
from transforms.adapters.storage import check_writable
from transforms.adapters.tokenizer_proof import Proven, known_proof
from transforms.adapters.tokenizers import ModelTokenizer, open_tokenizer
from transforms.adapters.workspace import Held, Shard, Workspace, collection_key
from transforms.bulk_import import Importing
from transforms.identify import Partitioning
from transforms.label import Labelling
from transforms.logic.chunking import Limits
from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import fingerprint
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.progress import Expected
from transforms.logic.record import RunContext
from transforms.logic.records import Columns, Reading
from transforms.logic.representations import Representation
from transforms.logic.selection import Selection
from transforms.logic.zero_shot import Labels
from transforms.split import Splitting
from transforms.write import Writing

# Two million tokens: some minutes of a CPU, seconds of a GPU. What dies with a worker is at most the bucket it encodes.
_BUCKET_BYTES = 8 << 20
# A bucket's vectors of tokens are in memory together; a token has some four bytes of text.
_BUCKET_TOKEN_VECTOR_BYTES = 256 << 20
_TOKEN_BYTES = 4
# Some four million rows; their places, of a few hundred bytes each, are in memory together.
_FILES_BUCKET_BYTES = 4 << 30
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
    recipe: str
    bucket_count: int
    full_dimensions: int
    representation: Representation | None
    remarks: str
    labelling: Labelling | None
    context: RunContext
    detector: Callable[[], Detector]
    tokenizer: Callable[[], ModelTokenizer]
    encoder: Callable[[], Encoder]
    device: str
    writing: Writing
    importing: Importing | None
    load_bucket_count: int

    @property
    def keep_rejected_text(self) -> bool:
        """Whether rejects keep how they begin."""
        return bool(self.context.configuration["run"]["keep_rejected_text"])

    @property
    def recheck(self) -> bool:
        """Whether documents are looked into that the ledger knows as they are."""
        return bool(self.context.configuration["run"]["recheck"])

    @property
    def expected(self) -> Expected:
        """What is known of how much there is to do."""
        splits = [split for group in self.groups for split in group.splits]
        return Expected(len(splits), sum(split.size_bytes for split in splits), self.selection.limit)

    @property
    def loaded_outputs(self) -> tuple[Output, ...]:
        """What is read back from the dataset: the outputs that Milvus holds, and the dense one to label by."""
        of_milvus = self.space.milvus_outputs
        return tuple(one for one in OUTPUTS if one in of_milvus or (one == "dense" and self.labelling is not None))


def plan_run(
    config: Config,
    *,
    workers_are_here: bool = False,
    processes: int = 1,
    lease: Callable[[str, str], Claim | None] = lambda *_: None,
) -> Plan:
    """Checks the whole configuration against the world and freezes what the run starts from.

    Creates the collection if it does not exist. Devices are looked for only where the workers are; elsewhere each worker does it.
    `processes` of the workers share the cores of this machine. `lease` is asked for the lease of a directory and a run id when all else is
    known to be right, before the collection is touched.

    Raises:
        ConfigurationError: naming the value, what is allowed and what to do.
        TransientError: a service does not answer, or another run holds the lease.
    """
    choice = read_choice(config.language.detector, config.language.language_floor)
    own = read_own_partitions(config.language, choice)
    keep_languages = read_kept_languages(config.selection)
    reading = reading_of(config, choice.column)
    labels = labels_of(config)
    wanted = computation(config, processes)
    if config.run.push_metrics is not None:
        check_push_url(config.run.push_metrics)
    if workers_are_here and wanted.device not in {"auto", "cpu"}:
        _check_device(wanted)
    sources = plan_sources(config)
    splits = sources.splits
    check_writable(config.storage.workspace)
    storage = open_import_storage(config.loading)
    model = describe_model(config.encoding.model, config.encoding.revision)
    check_outputs(model, wanted.outputs)
    prompt = choose_prompts(model, config)["document"]
    labelling = None if labels is None else _labelling(labels, model, prompt, wanted)
    workspace = Workspace(
        config.storage.workspace.rstrip("/"),
        embedding_space(config, model),
        collection_key(config.storage.milvus, config.storage.collection),
    )
    claim = lease(workspace.lease, run_id(config))
    target = served(Target(config.storage.milvus, config.storage.collection, config.access.value))
    opened = open_collection(
        Wanted(config, model, labels, own, _text_bytes(splits) // (_TOKEN_BYTES * config.chunking.max_tokens)),
        target,
        workspace,
        lambda: of_new_collection(own, splits, reading, choice, config),
        lambda: check_limits(config, model, prompt),
    )
    space = opened.space
    partitioning = Partitioning(
        config.language.partition_by, space.languages, config.language.language_floor, keep_languages
    )
    splitting = splitting_of(config, space.embedding_space)
    importing = importing_of(config.loading, storage, opened.import_folder)
    return Plan(
        groups=sources.groups,
        reading=reading,
        selection=sources.selection,
        partitioning=partitioning,
        splitting=splitting,
        space=space,
        workspace=workspace,
        target=target,
        shards=workspace.shards(),
        held=replace(opened.held, claim=claim),
        recipe=recipe_of(config.language.detector, choice, partitioning, splitting),
        bucket_count=bucket_count_of(splits, model, wanted),
        full_dimensions=model.dimensions,
        representation=None if opened.choice is None else opened.choice.representation,
        remarks="" if opened.choice is None else opened.choice.text,
        labelling=labelling,
        context=_context(config, model, opened, sources),
        detector=choice.detector,
        tokenizer=partial(open_tokenizer, model.tokenizer_directory, _proof(config, model, splits)),
        encoder=partial(open_encoder, model, prompt, wanted),
        device=wanted.device,
        writing=Writing(config.storage.write_path, config.storage.writers),
        importing=importing,
        load_bucket_count=_load_bucket_count(splits, model, wanted, files=importing is not None),
    )


def reading_of(config: Config, language_column: str | None) -> Reading:
    """How sources are read; the column is that of `--detector column:NAME`."""
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


def splitting_of(config: Config, space: str) -> Splitting:
    """How documents are cut, for an embedding space."""
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
    return known_proof(model.tokenizer_directory, config.storage.workspace, worth_proving=worth_proving)


def _labelling(labels: Labels, model: ModelDescription, document_prompt: str, wanted: Computation) -> Labelling:
    prompt = document_prompt if labels.prompt is None else labels.prompt
    tokenizer = open_tokenizer(model.tokenizer_directory)
    for_few = replace(wanted, outputs=("dense",), budget_tokens=model.max_sequence_tokens)
    encoder = partial(open_encoder, model, prompt, for_few)
    return plan_labelling(labels, tokenizer, _room_tokens(model, tokenizer, prompt), encoder)


def _check_device(wanted: Computation) -> None:
    # Imports torch, which takes seconds.
    from transforms.adapters.engines.devices import choose_device  # noqa: PLC0415

    choose_device(wanted)


def _room_tokens(model: ModelDescription, tokenizer: ModelTokenizer, prompt: str) -> int:
    """What the model reads at once beside special tokens and a prompt."""
    before, after = tokenizer.frame()
    return model.max_sequence_tokens - len(before) - len(after) - len(tokenizer.ids(prompt))


def check_limits(config: Config, model: ModelDescription, prompt: str) -> None:
    """Raises `ConfigurationError` where the model cannot read a chunk, or Milvus not hold its vectors of tokens."""
    wanted = config.chunking.max_tokens
    room = _room_tokens(model, open_tokenizer(model.tokenizer_directory), prompt)
    if wanted > room:
        message = (
            f"--max-tokens {wanted} does not fit: {config.encoding.model!r} reads {model.max_sequence_tokens} tokens, "
            f"of which {room} remain beside special tokens and the prompt {prompt!r}; choose at most {room}"
        )
        raise ConfigurationError(message)
    most = MAX_TOKEN_VECTORS - (model.max_sequence_tokens - room)
    if "multi" in milvus_outputs(config) and wanted > most:
        message = (
            f"--max-tokens {wanted}: Milvus holds at most {MAX_TOKEN_VECTORS:,} vectors of tokens in a row; choose at most {most}, "
            "or keep multi in the dataset alone by --milvus-outputs"
        )
        raise ConfigurationError(message)


def bucket_count_of(splits: list[Split], model: ModelDescription, wanted: Computation) -> int:
    """Into how many buckets the contents of a run are put."""
    bucket_bytes = _BUCKET_BYTES
    if "multi" in wanted.outputs:
        token_vector_bytes = 2 * model.multi_dimensions
        bucket_bytes = min(bucket_bytes, _BUCKET_TOKEN_VECTOR_BYTES * _TOKEN_BYTES // token_vector_bytes)
    return min(_MAX_BUCKETS, max(_MIN_BUCKETS, ceil(_text_bytes(splits) / bucket_bytes)))


def _load_bucket_count(splits: list[Split], model: ModelDescription, wanted: Computation, *, files: bool) -> int:
    """Each bucket is written to files of its own, one or more a partition: few buckets, few small files."""
    return max(1, ceil(_text_bytes(splits) / _FILES_BUCKET_BYTES)) if files else bucket_count_of(splits, model, wanted)


def _text_bytes(splits: list[Split]) -> int:
    return sum(split.size_bytes * (_GZIP_RATIO if split.compression else 1) for split in splits)


def run_id(config: Config) -> str:
    """Names a run by its logical date and configuration."""
    return f"{config.run.logical_date or 'run'}-{fingerprint(config.model_dump(mode='json'))[:16]}"


def _context(config: Config, model: ModelDescription, opened: Opened, sources: Sources) -> RunContext:
    configuration = config.model_dump(mode="json")
    return run_context(
        run_id=run_id(config),
        splits_planned=len(sources.splits),
        files_planned=sources.files_planned,
        files_left_out=sources.files_left_out,
        max_reject_fraction=config.run.max_reject_fraction,
        max_delete_fraction=config.run.max_delete_fraction if config.run.mirror else None,
        verify=config.run.verify,
        push_metrics=config.run.push_metrics,
        report=config.run.report,
        configuration=configuration,
        model={
            "name": model.name,
            "revision": model.revision,
            "files_digest": model.files_digest,
            "files": dict(model.files),
        },
        embedding_space=opened.space.embedding_space,
        representation={
            "outputs": list(opened.space.milvus_outputs),
            **({} if opened.choice is None else opened.choice.describe()),
        },
        computation={
            "dtype": config.encoding.dtype,
            "device": config.encoding.device,
            "outputs": list(config.encoding.outputs),
        },
        collection_space=json.loads(opened.space.to_json()),
    )


def run_context(**known: Any) -> RunContext:
    """What is known of a run that starts now; fields of `RunContext` but for versions and times."""
    started = time.time()
    return RunContext(
        **known,
        versions={"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        started_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        started_seconds=started,
    )
