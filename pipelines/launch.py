"""The main job handed to a runner elsewhere, which the launching process does not wait for: what the Dataflow template runs."""

import argparse
import sys
from collections.abc import Sequence

from pipelines import embed_corpus
from pipelines.configuration import options
from pipelines.configuration.template import from_parameters
from transforms.adapters.milvus import is_lite_path
from transforms.logic.errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the main job, which may also be written as a template's parameters."""
    options.add_arguments(parser)


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Hands the job to the runner, says what it will write, and ends; the exit code is then 0, whatever the job ends with."""
    config, beam_options = options.parse(parser, from_parameters(argv))
    if options.workers_are_here(beam_options):
        raise ConfigurationError(
            "launch is for a runner elsewhere, as --runner=DataflowRunner; use corpus-embed run here"
        )
    if config.run.publish is not None:
        message = (
            f"--publish {config.run.publish} moves the alias after the job's end, which launch does not wait for; "
            "use corpus-embed run where a process can stay"
        )
        raise ConfigurationError(message)
    if is_lite_path(config.storage.milvus):
        message = f"--milvus {config.storage.milvus!r} is a file of this machine, which workers elsewhere do not see; name a server"
        raise ConfigurationError(message)
    run_id = embed_corpus.launch(config, beam_options, sys.stdout.write)
    sys.stdout.write(f"run {run_id}: handed to the runner; its record will be in {config.storage.workspace}\n")
    return 0
