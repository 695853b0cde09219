"""Calibrate: frozen statistics of a sample of the dataset, and what every representation would lose on it."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import embed_corpus
from pipelines.configuration import options
from pipelines.configuration.access import MilvusAccess
from pipelines.configuration.config import Config
from pipelines.preflight.representation import calibrate_sample, compare, open_projection, take_sample
from pipelines.preflight.sources import plan_sources
from pipelines.preflight.spaces import embedding_space
from transforms.adapters.calibrations import read_sample
from transforms.adapters.models import describe_model
from transforms.adapters.storage import check_writable
from transforms.adapters.workspace import Workspace
from transforms.logic.errors import ConfigurationError
from transforms.logic.recall import MIN_SAMPLE
from transforms.logic.representations import VECTOR_TYPES

# UTF-8 of most languages takes less; a sample that comes out larger costs time, and one that comes out smaller precision.
_BYTES_PER_TOKEN = 4
_GZIP_RATIO = 4


def calibrate_workspace(config: Config, say: Callable[[str], object] = lambda _: None) -> str:
    """Stores a calibration of the dataset as it is now, as the latest of its embedding space, and gives the table of recalls.

    `say` hears what takes long before it is done.

    A dataset with too few vectors gets those of a share of the input first, chosen by digest of the document id: they are stored like any
    others, so that the run to come does not encode them again. Collections that exist keep the calibration they were made with.

    Raises:
        ConfigurationError: a value is wrong, or the input is too small to calibrate on.
    """
    if "dense" not in config.encoding.outputs:
        raise ConfigurationError("dense vectors are calibrated, and --outputs leaves them out; add dense")
    check_writable(config.storage.workspace)
    model = describe_model(config.encoding.model, config.encoding.revision)
    projection, most = open_projection(config.representation, model.dimensions)
    workspace = Workspace(config.storage.workspace.rstrip("/"), embedding_space(config, model), "")
    if len(read_sample(workspace, MIN_SAMPLE)) < MIN_SAMPLE:
        share = sample_of(config)
        say(f"embedding {share.selection.sample:.2%} of the documents first; their vectors are kept\n")
        _embed(share)
    sample = take_sample(config.representation, workspace)
    calibration, uri = calibrate_sample(sample, workspace)
    _, _, table = compare(config.representation, sample, projection, calibration, most, VECTOR_TYPES)
    return f"{table}calibration of {len(sample):,} vectors: {uri}\n"


def sample_of(config: Config) -> Config:
    """The same run over a share of its documents that gives about `calibration_sample` chunks, in full precision."""
    splits = plan_sources(config).splits
    text_bytes = sum(split.size_bytes * (_GZIP_RATIO if split.compression else 1) for split in splits)
    wanted_bytes = config.representation.calibration_sample * config.chunking.max_tokens * _BYTES_PER_TOKEN
    share = min(config.selection.sample, wanted_bytes / max(1, text_bytes))
    plain = config.representation.model_copy(
        update={"vector_type": "float32", "dimensions": None, "calibration": None, "projection": None}
    )
    return config.model_copy(
        update={"selection": config.selection.model_copy(update={"sample": share}), "representation": plain}
    )


def _embed(config: Config) -> None:
    """Runs the main job in this process and into a Milvus Lite that is thrown away: what stays is the dataset and the run record."""
    with tempfile.TemporaryDirectory() as directory:
        storage = config.storage.model_copy(
            update={
                "milvus": str(Path(directory) / "sample.db"),
                "milvus_outputs": ("dense",),
            }
        )
        # Token and certificates are of another Milvus.
        here = config.model_copy(update={"storage": storage, "access": MilvusAccess()})
        embed_corpus.run(here, PipelineOptions([f"--runner={options.DEFAULT_RUNNER}"]))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the main job, whose embedding space is calibrated."""
    options.add_arguments(parser)


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Calibrates and prints the table."""
    config, _ = options.parse(parser, argv)
    sys.stdout.write(calibrate_workspace(config, sys.stdout.write))
    return 0
