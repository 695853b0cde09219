"""Honest stand-ins: they keep the contracts of what they replace, so that a test with them proves something."""

import hashlib
from collections.abc import Sequence

import numpy as np
import regex

from transforms.adapters.models import ModelDescription
from transforms.logic.languages import Guess
from transforms.logic.vectors import Float32, unit_rows

POISON = "poison"
"""A chunk with this word gets no sound vector from the encoder of `open_fake_encoder`."""

ENCODED: list[str] = []
"""Texts that the encoders of `open_fake_encoder` were asked for in this process."""

OPENED: list[str] = []
"""Prompts that `open_fake_encoder` was called with in this process."""


class FakeEncoder:
    """Unit vectors derived from the text alone; counts what it is asked for, and can be told to fail on a text."""

    def __init__(self, dimensions: int = 16, poison: str | None = None, prefix: str = "") -> None:
        self.dimensions = dimensions
        self.encoded: list[str] = []
        self._poison = poison
        self._prefix = prefix

    def encode(self, texts: Sequence[str], token_ids: Sequence[Sequence[int]]) -> Float32:
        assert len(texts) == len(token_ids)
        self.encoded.extend(texts)
        vectors = np.stack([self._vector(text) for text in texts])
        return unit_rows(vectors)

    def _vector(self, text: str) -> Float32:
        if self._poison is not None and self._poison in text:
            return np.full(self.dimensions, np.nan, np.float32)
        seed = int.from_bytes(hashlib.sha256((self._prefix + text).encode()).digest()[:8], "big")
        return np.random.default_rng(seed).standard_normal(self.dimensions).astype(np.float32)


def open_fake_encoder(model: ModelDescription, prompt: str, dtype: str) -> FakeEncoder:
    """In place of `encoders.open_encoder`: the prompt and the number type change the vector, as they do in a model."""
    OPENED.append(prompt)
    encoder = FakeEncoder(model.dimensions, POISON, prefix=f"{prompt}|{dtype}|")
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


def _token_id(token: str) -> int:
    return int.from_bytes(hashlib.sha256(token.encode()).digest()[:3], "big")
