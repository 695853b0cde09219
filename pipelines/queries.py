"""Questions as vectors, apart from what they are asked of, so that several rankings share one loaded model."""

import threading
from collections.abc import Sequence

import numpy as np

from transforms.adapters.encoders import Computation, Encoder, open_encoder
from transforms.adapters.models import ModelDescription
from transforms.adapters.tokenizers import open_tokenizer
from transforms.logic.errors import ConfigurationError
from transforms.logic.outputs import Outputs


class QueryEncoder:
    """A model that encodes questions, of one caller at a time; the first loads it. Threads may share one."""

    def __init__(self, model: ModelDescription, prompt: str, computation: Computation) -> None:
        """Takes what is put before every question, and what is made of it."""
        self.model, self.prompt, self.computation = model, prompt, computation
        self._encoding = threading.Lock()
        self._encoder: Encoder | None = None

    def does_as(self, other: "QueryEncoder") -> bool:
        """Whether both make the same of every question."""
        same_model = (self.model.directory, self.model.files) == (other.model.directory, other.model.files)
        return same_model and (self.prompt, self.computation) == (other.prompt, other.computation)

    def load(self) -> None:
        """Loads the model if that was not done yet."""
        with self._encoding:
            self._loaded()

    def encode(self, texts: Sequence[str]) -> Outputs:
        """Outputs of questions, of each of which the beginning counts if it is longer than half of what the model reads.

        Raises:
            ConfigurationError: the model makes no sound vector of one.
        """
        with self._encoding:
            encoder, tokenizer = self._loaded(), open_tokenizer(self.model.tokenizer_directory)
            most = self.model.max_sequence_tokens // 2
            encoded = encoder.encode(list(texts), [np.array(tokenizer.ids(text)[:most], np.int32) for text in texts])
        for number, reason in encoded.faults.items():
            raise ConfigurationError(
                f"the model makes no sound vector of the query {texts[number]!r}: {reason}; word it otherwise"
            )
        return encoded.outputs

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without prompt and special tokens."""
        return len(open_tokenizer(self.model.tokenizer_directory).ids(text))

    def _loaded(self) -> Encoder:
        if self._encoder is None:
            self._encoder = open_encoder(self.model, self.prompt, self.computation, "query")
        return self._encoder
