"""One run of corpus-embed, timed and counted."""

import argparse
import hashlib
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.pipeline import MAX_TOKENS
from transforms.adapters import encoders
from transforms.adapters.encoders import Computation, Encoded, Encoder, TokenIds
from transforms.adapters.models import ModelDescription
from transforms.logic.outputs import Outputs
from transforms.logic.record import EXIT_COMPLETE, EXIT_REJECTS
from transforms.logic.vectors import unit_rows

Result = dict[str, Any]

ENCODED_TEXTS: list[int] = []
"""How many texts each call of an encoder in this process had."""


class _CountedEncoder:
    """An encoder that notes in `ENCODED_TEXTS` what it is asked for."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def call_tokens(self) -> int:
        return self._encoder.call_tokens()

    def encode(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Encoded:
        ENCODED_TEXTS.append(len(texts))
        return self._encoder.encode(texts, token_ids)


class _StubEncoder:
    """Unit vectors drawn from a digest of the text."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions

    def call_tokens(self) -> int:
        return 1

    def encode(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Encoded:
        del token_ids
        digests = b"".join(hashlib.shake_128(text.encode()).digest(self._dimensions) for text in texts)
        numbers = np.frombuffer(digests, np.uint8).reshape(len(texts), self._dimensions)
        # The half keeps every number, and so the length, from being zero.
        return Encoded(Outputs(unit_rows(numbers.astype(np.float32) - np.float32(127.5))), {})


def open_counted_encoder(model: ModelDescription, prompt: str, computation: Computation) -> Encoder:
    """In place of `encoders.open_encoder`: the same, counted."""
    return _CountedEncoder(encoders.open_encoder(model, prompt, computation))


def open_stub_encoder(model: ModelDescription, prompt: str, computation: Computation) -> Encoder:
    """In place of `encoders.open_encoder`: no model, counted."""
    del prompt, computation
    return _CountedEncoder(_StubEncoder(model.dimensions))


def flags_of(corpus: Path, state: Path, model: str, milvus: str) -> list[str]:
    """Flags of a run over one file, whose workspace lies in the folder `state`."""
    values = {
        "input": corpus,
        "workspace": state / "workspace",
        "milvus": milvus,
        "collection": "incremental",
        "model": model,
        "max-tokens": MAX_TOKENS,
        # On a GPU the encoder may live in a process where nobody counts.
        "device": "cpu",
    }
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def run_once(flags: Sequence[str], *, stub: bool) -> Result:
    """One run of the main job in this process; seconds are those of its record without the model's loading."""
    begin = perf_counter()
    from pipelines import embed_corpus  # noqa: PLC0415  the import is a part of what is measured
    from pipelines.configuration import options  # noqa: PLC0415  the import is a part of what is measured
    from pipelines.preflight import run_plan  # noqa: PLC0415  the import is a part of what is measured

    imported = perf_counter()
    ENCODED_TEXTS.clear()
    parser = argparse.ArgumentParser(allow_abbrev=False)
    options.add_arguments(parser)
    with patch.dict(run_plan.__dict__, open_encoder=open_stub_encoder if stub else open_counted_encoder):
        record = embed_corpus.run(*options.parse(parser, flags))
    run_seconds = perf_counter() - imported
    if record["exit_code"] not in {EXIT_COMPLETE, EXIT_REJECTS}:
        sys.exit(f"the run is not complete: {record['status']}: {record['differences']}")
    load = record["stages"]["model"]["seconds"]
    return {
        "imports": imported - begin,
        "run": run_seconds,
        "planning": run_seconds - record["seconds"],
        "load": load,
        "seconds": record["seconds"] - load,
        "encoded": sum(ENCODED_TEXTS),
        "documents": record["documents"],
        "rows": record["rows"],
        "stages": {name: stage["seconds"] for name, stage in record["stages"].items()},
        "peak_mib": _peak_mib(),
    }


def _peak_mib() -> float:
    # ru_maxrss of a new process begins with that of the process that started it.
    status = Path("/proc/self/status")
    if status.exists():
        high = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(high.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
