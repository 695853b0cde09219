"""Which workers have a GPU, in the words of Beam's options; one of two ways, never both.

- `embedding`: a resource hint on the embedding step. The runner gives that step workers with a GPU and all others workers without
  ("right fitting", cloud.google.com/dataflow/docs/guides/right-fitting). Runners that know no hints leave them be.
- `all`: one pool whose every worker has a GPU, by Dataflow's service option `worker_accelerator`.
"""

from collections.abc import Iterator

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)

from pipelines.configuration.machines import Workers
from transforms.logic.errors import ConfigurationError

_POOL = "worker_accelerator"
# By default a worker has a process for each core, and each would want the GPU: Beam issue 22895.
_ONE_PROCESS = "no_use_multiple_sdk_containers"
_PROCESSES = "use_multiple_sdk_containers"


def embedding_hints(workers: Workers) -> dict[str, str]:
    """Resource hints of the embedding step; none where it needs no worker of its own kind."""
    if workers.gpu is None or workers.gpu_workers != "embedding":
        return {}
    return {"accelerator": _describe(workers, in_hint=True)}


def with_gpu(beam_options: PipelineOptions, workers: Workers) -> PipelineOptions:
    """Beam's options with what `--gpu` asks of them: the pool, if it is for all, and one process a worker, so that one has the GPU.

    Raises:
        ConfigurationError: a GPU is asked for in Beam's options too, or they do not go with one.
    """
    if workers.gpu is None:
        return beam_options
    for given in _asked_of_beam(beam_options):
        message = f"--gpu {workers.gpu} and {given} both ask for a GPU, which exclude each other; leave out one of them"
        raise ConfigurationError(message)
    google, worker = beam_options.view_as(GoogleCloudOptions), beam_options.view_as(WorkerOptions)
    if google.flexrs_goal is not None:
        message = f"--gpu {workers.gpu}: flexible scheduling has no GPUs; leave out --flexrs_goal {google.flexrs_goal}, or --gpu"
        raise ConfigurationError(message)
    if workers.gpu_workers == "all":
        google.dataflow_service_options = [
            *(google.dataflow_service_options or []),
            f"{_POOL}={_describe(workers, in_hint=False)}",
        ]
        if workers.gpu_machine_type is not None:
            if worker.machine_type not in {None, workers.gpu_machine_type}:
                message = (
                    f"--gpu-machine-type {workers.gpu_machine_type} and --machine_type {worker.machine_type}: with --gpu-workers all "
                    "there is one kind of worker; leave out one of them"
                )
                raise ConfigurationError(message)
            worker.machine_type = workers.gpu_machine_type
    debug = beam_options.view_as(DebugOptions)
    if not {_ONE_PROCESS, _PROCESSES} & set(debug.experiments or []):
        debug.add_experiment(_ONE_PROCESS)
    return beam_options


def _describe(workers: Workers, *, in_hint: bool) -> str:
    kind, _, count = str(workers.gpu).partition(":")
    machine = [f"machine_type:{workers.gpu_machine_type}"] if in_hint and workers.gpu_machine_type else []
    return ";".join([f"type:{kind}", f"count:{count or 1}", *machine, "install-nvidia-driver"])


def _asked_of_beam(beam_options: PipelineOptions) -> Iterator[str]:
    """Flags of Beam that ask for a GPU; a Flex template hands service options on as experiments."""
    google, debug = beam_options.view_as(GoogleCloudOptions), beam_options.view_as(DebugOptions)
    for flag, values in (
        ("--dataflow_service_options", google.dataflow_service_options),
        ("--experiments", debug.experiments),
    ):
        yield from (f"{flag} {value}" for value in values or [] if value.partition("=")[0] == _POOL)
    hints = beam_options.view_as(StandardOptions).resource_hints
    yield from (f"--resource_hint {hint}" for hint in hints or [] if hint.partition("=")[0] == "accelerator")
