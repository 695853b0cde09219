"""A rerun among many documents, none of which changed."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from benchmarks.incremental.double import counted_milvus
from benchmarks.incremental.editions import Document, write_documents
from benchmarks.incremental.ours import Result, flags_of

STUB_DIMENSIONS = 16


def make_stub_model(model: Path, folder: Path) -> None:
    """The checkpoint with its own tokenizer, but vectors of `STUB_DIMENSIONS` numbers, and weights that nobody reads."""
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    for name, key in (("config.json", "hidden_size"), ("1_Pooling/config.json", "word_embedding_dimension")):
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), key: STUB_DIMENSIONS}))
    save_file({"weight": np.zeros(1, np.float32)}, folder / "model.safetensors")


def stub_documents(count: int) -> Iterator[Document]:
    """Distinct documents of one short sentence."""
    for number in range(count):
        text = f"Record {number} tells about the old town at river {number % 997}."
        yield {"id": f"record-{number:07}", "text": text, "revision": 0}


def measure_lookup(documents: int, model: Path, run: Callable[[Sequence[str]], Result]) -> dict[str, Result]:
    """A first run and its rerun over so many stub documents."""
    with tempfile.TemporaryDirectory() as folder, counted_milvus() as address:
        home = Path(folder)
        corpus = home / "corpus.jsonl"
        write_documents(corpus, stub_documents(documents))
        # The double holds no rows that could be fetched back.
        flags = [*flags_of(corpus, home, str(model), address), "--verify", "none"]
        return {"first": run(flags), "unchanged": run(flags)}
