"""The device that a worker computes on."""

from pathlib import Path

import torch

from transforms.adapters.encoders import Computation
from transforms.logic.errors import ConfigurationError

_DRIVER = Path("/proc/driver/nvidia/version")
_BFLOAT16_CAPABILITY = (8, 0)


def choose_device(computation: Computation) -> torch.device:
    """The device asked for, or for `auto` a GPU where there is one; a GPU is never replaced by a CPU.

    Raises:
        ConfigurationError: no such device, a GPU that torch cannot use, or one that cannot compute in the number type.
    """
    wanted = computation.device
    if wanted == "cpu":
        return torch.device("cpu")
    available = torch.cuda.is_available()
    if not available and wanted == "auto" and not _DRIVER.exists():
        return torch.device("cpu")
    if not available:
        message = (
            f"--device {wanted!r} needs a GPU that torch {torch.__version__} can use, and it sees none here; install a build of torch for "
            "the driver of this machine, or choose --device cpu"
        )
        raise ConfigurationError(message)
    device = torch.device("cuda" if wanted == "auto" else wanted)
    if ":" in wanted and device.index >= torch.cuda.device_count():
        message = f"--device {wanted!r} is not there: torch sees {torch.cuda.device_count()} GPUs, counted from 0"
        raise ConfigurationError(message)
    capability = torch.cuda.get_device_capability(device)
    if computation.dtype == "bfloat16" and capability < _BFLOAT16_CAPABILITY:
        message = (
            f"{torch.cuda.get_device_name(device)!r} does not compute in bfloat16; choose --dtype float16 or float32"
        )
        raise ConfigurationError(message)
    return device
