"""Token ids to vectors: the protocol, and the engine that fits a model.

The engines import torch, which takes seconds; this module does not, so that a run that is refused, or that reuses every vector,
never pays for it.
"""

from collections.abc import Sequence
from typing import Protocol

from transforms.adapters.models import ModelDescription
from transforms.adapters.tokenizers import ModelTokenizer, open_tokenizer
from transforms.logic.vectors import Float32

FIRST_POSITION = {"bert": 0, "xlm-roberta": 2}
"""Model types that the packed engine knows, with the position that each counts from (XLM-R: padding index + 1)."""


class Encoder(Protocol):
    """A model with one prompt."""

    dimensions: int

    def encode(self, texts: Sequence[str], token_ids: Sequence[Sequence[int]]) -> Float32:
        """Vectors (n, dimensions) float32 of unit length, in order; `token_ids` are those of each text alone."""
        ...


def open_encoder(model: ModelDescription, prompt: str, dtype: str) -> Encoder:
    """Loads the checkpoint on the CPU with the engine that fits it; takes seconds, and the model's size in memory."""
    from transforms.adapters.engines import ListEncoder, PackedEncoder  # noqa: PLC0415  torch is imported on need only

    tokenizer = open_tokenizer(model.directory)
    if can_pack(model) and prompt_is_separable(tokenizer, prompt):
        return PackedEncoder(model, tokenizer, prompt, dtype)
    return ListEncoder(model, prompt, dtype)


def can_pack(model: ModelDescription) -> bool:
    """Whether the packed engine reproduces this model's own modules."""
    known_modules = model.modules in {("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize")}
    return model.model_type in FIRST_POSITION and model.pooling in {"mean", "cls"} and known_modules


def prompt_is_separable(tokenizer: ModelTokenizer, prompt: str) -> bool:
    """Whether the ids of prompt + text are always those of the prompt followed by those of the text.

    That holds where the tokenizer splits at white space and the prompt ends with it.
    """
    return not prompt or (prompt[-1].isspace() and tokenizer.splits_at_whitespace)
