"""The encoder of killed runs: what it encodes is written to a file, which outlives the process."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from tests.fakes import FakeEncoder
from transforms.adapters.encoders import Computation, Encoded, TokenIds
from transforms.adapters.models import ModelDescription

LOG_VARIABLE = "ENCODED_TEXTS_OF_TEST"


class LoggingEncoder(FakeEncoder):
    """Appends every text to the file that the environment names, before its vector exists."""

    def encode(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Encoded:
        lines = "".join(f"{json.dumps(text)}\n" for text in texts)
        with Path(os.environ[LOG_VARIABLE]).open("ab", buffering=0) as log:
            log.write(lines.encode())
        return super().encode(texts, token_ids)


def open_logging_encoder(model: ModelDescription, prompt: str, computation: Computation) -> LoggingEncoder:
    """In place of `encoders.open_encoder`."""
    return LoggingEncoder(model.dimensions, prefix=f"{prompt}|{computation.dtype}|", outputs=computation.outputs)
