"""What the vectors of a run are: prompts, computation, embedding space, and the space that a collection records."""

from typing import Literal

from pipelines.configuration.config import Config
from transforms.adapters.encoders import Computation, usable_cores
from transforms.adapters.milvus import CollectionSpace
from transforms.adapters.models import ModelDescription
from transforms.logic.errors import ConfigurationError
from transforms.logic.outputs import Output
from transforms.logic.representations import Recorded
from transforms.logic.zero_shot import Labels

Prompts = dict[Literal["document", "query"], str]


def choose_prompts(model: ModelDescription, config: Config) -> Prompts:
    """The document and query prompts: the user's, else the model's own, else none."""
    own = model.prompts
    document = config.encoding.document_prompt
    query = config.encoding.query_prompt
    return {
        "document": document if document is not None else own.get("document", own.get("passage", "")),
        "query": query if query is not None else own.get("query", ""),
    }


def computation(config: Config, processes: int = 1) -> Computation:
    """How the model computes in each of the processes that share a machine's cores."""
    encoding = config.encoding
    threads = encoding.threads or (max(1, usable_cores() // processes) if processes > 1 else None)
    return Computation(encoding.dtype, encoding.device, encoding.outputs, threads)


def embedding_space(config: Config, model: ModelDescription) -> str:
    """Fingerprint of all that decides a vector of the run."""
    encoding = config.encoding
    return model.embedding_space(choose_prompts(model, config)["document"], encoding.dtype, encoding.outputs)


def milvus_outputs(config: Config) -> tuple[Output, ...]:
    """The outputs that Milvus holds; one that the run does not make raises `ConfigurationError`."""
    made, held = config.encoding.outputs, config.storage.milvus_outputs
    if held is None:
        return made
    missing = [output for output in held if output not in made]
    if missing:
        raise ConfigurationError(
            f"--milvus-outputs {','.join(held)}: the run does not make {','.join(missing)}; "
            f"choose of {','.join(made)}, or add to --outputs"
        )
    return held


def collection_space(
    config: Config,
    model: ModelDescription,
    recorded: Recorded | None,
    labels: Labels | None,
) -> CollectionSpace:
    """What the collection records about itself, but for the languages with a partition of their own.

    Args:
        config: of the run.
        model: the checkpoint.
        recorded: the representation of dense vectors; None where Milvus holds none.
        labels: if chunks are labelled.
    """
    prompts = choose_prompts(model, config)
    held = milvus_outputs(config)
    return CollectionSpace(
        embedding_space=embedding_space(config, model),
        model=model.directory if model.revision is None else model.name,
        revision=model.revision,
        dtype=config.encoding.dtype,
        query_prompt=prompts["query"],
        dimensions=None if recorded is None else recorded.dimensions,
        vector_type=None if recorded is None else recorded.vector_type,
        partition_by=config.language.partition_by,
        document_prompt=prompts["document"],
        outputs=config.encoding.outputs,
        milvus_outputs=held,
        multi_dimensions=model.multi_dimensions if "multi" in held else None,
        calibration=None if recorded is None else recorded.calibration,
        calibration_uri=None if recorded is None else recorded.calibration_uri,
        projection=None if recorded is None else recorded.projection,
        projection_uri=None if recorded is None else recorded.projection_uri,
        labels=() if labels is None else labels.names,
        labels_digest=None if labels is None else labels.digest(prompts["document"]),
        max_tokens=config.chunking.max_tokens,
        min_tokens=config.chunking.min_tokens,
        overlap=config.chunking.overlap,
        structure=config.chunking.structure,
    )
