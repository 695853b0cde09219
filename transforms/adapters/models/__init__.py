"""What a checkpoint says about itself in its files, read without loading it and without torch.

Cheap enough to run before anything is paid for: outputs, dimensions, limits, pooling, prompts, and the digest that makes the embedding
space. Safetensors only: a pickle can run code when it is read (BGE-M3's two small heads are read without unpickling, see `heads`).
"""

from transforms.adapters.models.description import (
    ModelDescription,
    check_outputs,
    check_unchanged,
    describe_model,
    unweighted_ids,
)
from transforms.adapters.models.files import locate_model
from transforms.adapters.models.heads import read_linear

__all__ = [
    "ModelDescription",
    "check_outputs",
    "check_unchanged",
    "describe_model",
    "locate_model",
    "read_linear",
    "unweighted_ids",
]
