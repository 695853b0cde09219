"""Which machines a runner is asked for."""

from typing import Literal

from pydantic import Field, model_validator

from pipelines.configuration.sections import Section


class Workers(Section):
    """The machines of workers, where the runner provides them."""

    gpu: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9-]*(:[1-8])?$",
        description="type of GPU that the runner is asked for, and after a colon how many a machine: nvidia-l4, nvidia-tesla-a100:2",
    )
    gpu_workers: Literal["embedding", "all"] = Field(
        "embedding",
        description="workers with --gpu: of the embedding step alone, all others have none; or all, in one pool",
    )
    gpu_machine_type: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9-]*$",
        description="machine type of workers with --gpu, as g2-standard-8; default what the runner chooses",
    )

    @model_validator(mode="after")
    def _machines_are_of_a_gpu(self) -> "Workers":
        if self.gpu_machine_type is not None and self.gpu is None:
            raise ValueError("--gpu-machine-type is of workers with --gpu; add that or leave it out")
        return self
