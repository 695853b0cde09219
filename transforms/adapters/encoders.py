"""Token ids to vectors: what an engine is, what an encoder is, and the engine that fits a model.

The engines import torch, which takes seconds; this module does not, so that a run that is refused, or that reuses every vector,
never pays for it.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from transforms.adapters.models import ModelDescription, check_outputs
from transforms.adapters.tokenizers import ModelTokenizer, open_tokenizer
from transforms.logic.outputs import OUTPUTS, Output, Outputs

TokenIds = npt.NDArray[np.int32]
"""Ids of one chunk's text alone, shape (tokens,): no prompt, no special tokens."""
Role = Literal["document", "query"]
"""What a text is; some models have modules, lengths or masks of their own for queries."""
FIRST_POSITION = {"bert": 0, "xlm-roberta": 2}
"""Model types that the packed engine knows, with the position that each counts from (XLM-R: padding index + 1)."""


@dataclass(frozen=True)
class Computation:
    """How a model computes.

    Attributes:
        dtype: number type of weights and activations.
        device: `cpu`, `cuda`, `cuda:<number>`, or `auto`: a GPU where there is one.
        outputs: what is made of each chunk, in the order of `OUTPUTS`.
        threads: passes that a CPU makes at once, each on a core; None for every core that the process may use.
        budget_tokens: tokens of a pass; None to find by a probe, which takes a second or two and is worth it for more than a few texts.
    """

    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    device: str = "auto"
    outputs: tuple[Output, ...] = OUTPUTS[:1]
    threads: int | None = None
    budget_tokens: int | None = None


class Engine(Protocol):
    """A loaded model with one prompt, that makes forward passes.

    Attributes:
        frame_tokens: tokens that the prompt and special tokens add to each chunk.
        budget_tokens: tokens, frames included, of one pass that it is fastest with, or that fit its memory.
        in_flight: how many passes may be under way at once.
        by_length: whether a pass over chunks of like length is faster, because it pads.
    """

    frame_tokens: int
    budget_tokens: int
    in_flight: int
    by_length: bool

    def submit(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Callable[[], Outputs]:
        """Starts a pass over some chunks; the function that it gives waits for the outputs, in order.

        Either may raise what torch raises: `RuntimeError`, of which `torch.OutOfMemoryError` is one, `IndexError` or `ValueError`.
        """
        ...


@dataclass(frozen=True)
class Encoded:
    """What is made of n chunks, and what that took.

    Attributes:
        outputs: of every chunk, in order; the row of one with a fault holds nothing of use.
        faults: by index why a chunk has no output that is sound.
        budget_reductions: how often memory was short and the token budget lowered for good.
        computed_tokens: rows of the model's input in passes that ended well, with prompts, special tokens and padding.
        padding_tokens: those of them that only fill a pass up to its longest chunk; 0 where chunks are packed.
        device_seconds: for how long the device was taken, without the wait for calls of other threads.
    """

    outputs: Outputs
    faults: Mapping[int, str]
    budget_reductions: int = 0
    computed_tokens: int = 0
    padding_tokens: int = 0
    device_seconds: float = 0.0


class Encoder(Protocol):
    """What verbs see of a model: chunks in, sound outputs or faults out."""

    def encode(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Encoded:
        """Outputs of every chunk; `token_ids` are those of each text alone.

        Raises:
            TransientError: the device is lost or does not answer.
            ConfigurationError: the device that was asked for is not there.
        """
        ...

    def call_tokens(self) -> int:
        """How many tokens a call should have at least: with fewer the device runs empty between calls."""
        ...


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_gpu(device: str) -> bool:
    """Whether a device as it is asked for is a GPU on this machine."""
    if device != "auto":
        return device.startswith("cuda")
    import torch  # noqa: PLC0415

    return torch.cuda.is_available()


def open_encoder(model: ModelDescription, prompt: str, computation: Computation, role: Role = "document") -> Encoder:
    """Loads the checkpoint with the engine that fits it; takes seconds, and the model's size in memory."""
    from transforms.adapters.batching import BatchingEncoder  # noqa: PLC0415  torch is imported on need only

    return BatchingEncoder(lambda wanted: open_engine(model, prompt, wanted, role), computation)


def open_engine(model: ModelDescription, prompt: str, computation: Computation, role: Role = "document") -> Engine:
    """The fastest engine that reproduces the model's own outputs.

    Raises:
        ConfigurationError: the model does not make one of the outputs, or the device is not there.
    """
    from transforms.adapters.engines.lists import ListEngine  # noqa: PLC0415
    from transforms.adapters.engines.packed import PackedEngine  # noqa: PLC0415

    check_outputs(model, computation.outputs)
    tokenizer = open_tokenizer(model.tokenizer_directory)
    if can_pack(model) and prompt_is_separable(tokenizer, prompt):
        return PackedEngine(model, tokenizer, prompt, computation)
    return ListEngine(model, tokenizer, prompt, computation, role)


def can_pack(model: ModelDescription) -> bool:
    """Whether the packed engine reproduces this model's own modules."""
    known_modules = model.modules in {("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize")}
    known_model = model.kind == "SentenceTransformer" and model.model_type in FIRST_POSITION
    return known_model and known_modules and model.pooling in {"mean", "cls"}


def prompt_is_separable(tokenizer: ModelTokenizer, prompt: str) -> bool:
    """Whether the ids of prompt + text are always those of the prompt followed by those of the text.

    That holds where the tokenizer splits at white space and the prompt ends with it.
    """
    return not prompt or (prompt[-1].isspace() and tokenizer.splits_at_whitespace)
