"""A checkpoint as sentence-transformers loads it: from disk only, safetensors only, no code of its own."""

from typing import Any

import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer, SparseEncoder
from transformers.utils.logging import disable_progress_bar

from transforms.adapters.models import ModelDescription, check_unchanged

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_CLASSES: dict[str, type[SentenceTransformer | SparseEncoder | MultiVectorEncoder]] = {
    "SentenceTransformer": SentenceTransformer,
    "SparseEncoder": SparseEncoder,
    "MultiVectorEncoder": MultiVectorEncoder,
}


def load_model(model: ModelDescription, device: torch.device, dtype: str, **model_settings: Any) -> Any:
    """The whole model in a number type on a device, ready to compute: an instance of the class that `model.kind` names.

    Raises:
        ConfigurationError: the files are not those that were described.
    """
    check_unchanged(model)
    disable_progress_bar()
    return _CLASSES[model.kind](
        model.directory,
        device=str(device),
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": DTYPES[dtype], "use_safetensors": True, **model_settings},
    )
