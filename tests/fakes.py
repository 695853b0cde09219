"""Honest stand-ins: they keep the contracts of what they replace, so that a test with them proves something."""

import hashlib
from collections.abc import Sequence, Sized
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import regex

from transforms.adapters.encoders import Computation, Encoded, TokenIds
from transforms.adapters.models import ModelDescription
from transforms.logic.languages import Guess
from transforms.logic.outputs import OUTPUTS, Multi, Output, Outputs, Sparse
from transforms.logic.vectors import Float32, unit_rows

POISON = "poison"
"""A chunk with this word gets no sound vector from the encoder of `open_fake_encoder`."""

ENCODED: list[str] = []
"""Texts that the encoders of `open_fake_encoder` were asked for in this process."""

OPENED: list[str] = []
"""Prompts that `open_fake_encoder` was called with in this process."""


class FakeEncoder:
    """Outputs derived from the text alone; counts what it is asked for, and can be told to fail on a text."""

    def __init__(
        self,
        dimensions: int = 16,
        poison: str | None = None,
        prefix: str = "",
        outputs: Sequence[Output] = OUTPUTS[:1],
    ) -> None:
        self.dimensions = dimensions
        self.encoded: list[str] = []
        self._poison = poison
        self._prefix = prefix
        self._outputs = outputs

    def call_tokens(self) -> int:
        return 1

    def encode(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Encoded:
        assert len(texts) == len(token_ids)
        self.encoded.extend(texts)
        faults = {
            index: f"fake fault at {self._poison}"
            for index, text in enumerate(texts)
            if self._poison is not None and self._poison in text
        }
        outputs = outputs_of([self._prefix + text for text in texts], self.dimensions, self._outputs)
        if outputs.dense is not None:
            outputs.dense[list(faults)] = np.nan
        return Encoded(outputs, faults)


def outputs_of(texts: Sequence[str], dimensions: int, outputs: Sequence[Output] = OUTPUTS) -> Outputs:
    """Outputs that depend on each text alone: a weight for each distinct word, and a vector for each word."""
    words = [text.split() for text in texts]
    ids = [np.unique(np.array([_token_id(word) for word in of_text], np.int32)) for of_text in words]
    weights = [
        np.random.default_rng(_seed(text)).random(len(of_text)) for text, of_text in zip(texts, ids, strict=True)
    ]
    dense = [_unit_vector(text, dimensions) for text in texts]
    vectors = [_unit_vector(f"{text}|{place}", dimensions) for text in texts for place in range(len(text.split()))]
    return Outputs(
        np.array(dense, np.float32).reshape(-1, dimensions) if "dense" in outputs else None,
        Sparse(_offsets(ids), _joined(ids, np.int32), _joined(weights, np.float32) + np.float32(0.25))
        if "sparse" in outputs
        else None,
        Multi(_offsets(words), np.array(vectors, np.float32).reshape(-1, dimensions)) if "multi" in outputs else None,
    )


def open_fake_encoder(model: ModelDescription, prompt: str, computation: Computation) -> FakeEncoder:
    """In place of `encoders.open_encoder`: the prompt and the number type change the outputs, as they do in a model."""
    OPENED.append(prompt)
    encoder = FakeEncoder(model.dimensions, POISON, f"{prompt}|{computation.dtype}|", computation.outputs)
    encoder.encoded = ENCODED
    return encoder


class FakeTokenizer:
    """A token for each word and each other visible character; splits at white space, as XLM-R's tokenizer does."""

    splits_at_whitespace = True
    unknown_id: int | None = None

    def tokenise(self, texts: Sequence[str]) -> list[bytes]:
        words = (regex.findall(r"\w+|[^\w\s]", text) for text in texts)
        return [np.array([_token_id(word) for word in of_text], np.int32).tobytes() for of_text in words]


class FakeDetector:
    """Every text has one language."""

    judges_text = True

    def __init__(self, language: str = "en") -> None:
        self._language = language

    def identify(self, texts: Sequence[str]) -> list[Guess]:
        return [Guess(self._language, 1.0) for _ in texts]


@cache
def _unit_vector(text: str, dimensions: int) -> Float32:
    vector = np.random.default_rng(_seed(text)).standard_normal(dimensions).astype(np.float32)
    return unit_rows(vector[None])[0]


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _offsets(parts: Sequence[Sized]) -> npt.NDArray[np.int64]:
    return np.cumsum([0, *(len(part) for part in parts)])


def _joined(parts: Sequence[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
    return np.concatenate([np.empty(0), *parts]).astype(dtype)


def _token_id(token: str) -> int:
    return int.from_bytes(hashlib.sha256(token.encode()).digest()[:3], "big")
