"""One switch says which workers have a GPU; what it asks of Beam is asked nowhere else."""

import argparse

import pytest
from apache_beam.options.pipeline_options import DebugOptions, GoogleCloudOptions, PipelineOptions, WorkerOptions

from pipelines.configuration import options
from pipelines.configuration.accelerators import embedding_hints
from pipelines.configuration.config import Config
from transforms.logic.errors import ConfigurationError

FLAGS = ["--input=a", "--workspace=w", "--milvus=https://m", "--collection=c", "--model=m", "--runner=DataflowRunner"]


def _parse(*arguments: str) -> tuple[Config, PipelineOptions]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    options.add_arguments(parser)
    return options.parse(parser, [*FLAGS, *arguments])


def _pool(beam_options: PipelineOptions) -> list[str]:
    return list(beam_options.view_as(GoogleCloudOptions).dataflow_service_options or [])


def _experiments(beam_options: PipelineOptions) -> list[str]:
    return list(beam_options.view_as(DebugOptions).experiments or [])


def test_without_a_gpu_nothing_is_asked_for() -> None:
    config, beam_options = _parse()
    assert embedding_hints(config.workers) == {}
    assert _pool(beam_options) == []
    assert _experiments(beam_options) == []


@pytest.mark.parametrize(
    ("flags", "accelerator"),
    [
        (["--gpu=nvidia-l4"], "type:nvidia-l4;count:1;install-nvidia-driver"),
        (
            ["--gpu=nvidia-l4:2", "--gpu-machine-type=g2-standard-24"],
            "type:nvidia-l4;count:2;machine_type:g2-standard-24;install-nvidia-driver",
        ),
    ],
)
def test_the_embedding_step_gets_a_hint_and_no_pool(flags: list[str], accelerator: str) -> None:
    config, beam_options = _parse(*flags)
    assert embedding_hints(config.workers) == {"accelerator": accelerator}
    assert _pool(beam_options) == []
    assert beam_options.view_as(WorkerOptions).machine_type is None
    assert _experiments(beam_options) == ["no_use_multiple_sdk_containers"]


def test_a_pool_for_all_has_no_hint() -> None:
    flags = ["--gpu=nvidia-l4", "--gpu-workers=all", "--gpu-machine-type=g2-standard-8"]
    config, beam_options = _parse(*flags, "--dataflow_service_options=enable_prime")
    assert embedding_hints(config.workers) == {}
    assert _pool(beam_options) == [
        "enable_prime",
        "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver",
    ]
    assert beam_options.view_as(WorkerOptions).machine_type == "g2-standard-8"
    assert _experiments(beam_options) == ["no_use_multiple_sdk_containers"]


@pytest.mark.parametrize("workers", ["embedding", "all"])
@pytest.mark.parametrize(
    "asked",
    [
        "--dataflow_service_options=worker_accelerator=type:nvidia-tesla-t4;count:1",
        "--experiments=worker_accelerator=type:nvidia-tesla-t4;count:1",
        "--resource_hints=accelerator=type:nvidia-tesla-t4;count:1",
    ],
)
def test_a_second_way_to_ask_is_refused(workers: str, asked: str) -> None:
    with pytest.raises(ConfigurationError, match="both ask for a GPU, which exclude each other") as caught:
        _parse("--gpu=nvidia-l4", f"--gpu-workers={workers}", asked)
    assert asked.split("=", maxsplit=1)[0].removesuffix("s") in str(caught.value)
    assert "nvidia-tesla-t4" in str(caught.value)
    _parse(asked)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--gpu=NVIDIA L4"], "--gpu: needs text matching"),
        (["--gpu=nvidia-l4:0"], "(got 'nvidia-l4:0')"),
        (["--gpu-machine-type=g2-standard-8"], "--gpu-machine-type is of workers with --gpu"),
        (["--gpu=nvidia-l4", "--device=cpu"], "--gpu asks for workers that --device cpu does not use"),
        (["--gpu=nvidia-l4", "--flexrs_goal=COST_OPTIMIZED"], "leave out --flexrs_goal COST_OPTIMIZED, or --gpu"),
        (["--gpu=nvidia-l4", "--gpu-workers=all", "--flexrs_goal=SPEED_OPTIMIZED"], "flexible scheduling has no GPUs"),
        (
            [
                "--gpu=nvidia-l4",
                "--gpu-workers=all",
                "--gpu-machine-type=g2-standard-8",
                "--machine_type=n1-standard-4",
            ],
            "--gpu-machine-type g2-standard-8 and --machine_type n1-standard-4",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(flags: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _parse(*flags)
    assert said in str(caught.value)


def test_whoever_names_the_processes_is_obeyed() -> None:
    _, beam_options = _parse("--gpu=nvidia-l4", "--experiments=use_multiple_sdk_containers")
    assert _experiments(beam_options) == ["use_multiple_sdk_containers"]
