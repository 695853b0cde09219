"""A corpus, a workspace and a Milvus Lite of its own, for tests that run the whole job."""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.options.pipeline_options import PipelineOptions
from pymilvus import MilvusClient
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import BertPreTokenizer

from pipelines import cli, embed_corpus
from pipelines.configuration import options
from pipelines.preflight.run_plan import Plan, plan_run
from transforms.adapters.milvus import Target, release, served

COLLECTION = "corpus"
DIMENSIONS = 16
MAX_SEQUENCE_TOKENS = 128
MAX_TOKENS = 32

Row = dict[str, Any]


def make_model(directory: Path) -> Path:
    """A checkpoint directory that describes itself like a real one and tokenises by words; its weights are never used."""
    directory.mkdir(parents=True)
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.save(str(directory / "tokenizer.json"))
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    files: dict[str, Any] = {
        "config.json": {
            "model_type": "bert",
            "hidden_size": DIMENSIONS,
            "max_position_embeddings": MAX_SEQUENCE_TOKENS,
        },
        "modules.json": [
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (path, kind) in enumerate(kinds)
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": DIMENSIONS, "pooling_mode_mean_tokens": True},
        "config_sentence_transformers.json": {"prompts": {"query": "query: ", "document": "passage: "}},
    }
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    save_file({"weight": np.zeros(1, np.float32)}, directory / "model.safetensors")
    return directory


def add_heads(directory: Path) -> Path:
    """Puts the layers beside a checkpoint that make it one of dense, sparse and multi-vector output, as BGE-M3 is."""
    for name, width in (("sparse_linear", 1), ("colbert_linear", DIMENSIONS)):
        layer = {"weight": np.ones((width, DIMENSIONS), np.float32), "bias": np.zeros(width, np.float32)}
        save_file(layer, directory / f"{name}.safetensors")
    return directory


def story(name: str, sentences: int) -> str:
    """A text of sentences of ten words each; a chunk of `MAX_TOKENS` holds two of them, with their full stops."""
    return " ".join(f"Sentence {number} of {name} tells about rivers and old towns." for number in range(sentences))


def document(name: str, text: str | None = None, lang: str = "en", **more: Any) -> Row:
    """A record of the source."""
    return {"id": name, "text": story(name, 1) if text is None else text, "lang": lang, "date": "2026-03-01", **more}


def document_counts(record: Mapping[str, Any]) -> tuple[int, ...]:
    """Documents read, embedded, reused, unchanged and rejected."""
    return tuple(record["documents"][name] for name in ("read", "embedded", "reused", "unchanged", "rejected"))


def row_counts(record: Mapping[str, Any]) -> tuple[int, ...]:
    """Rows held, written, unchanged and deleted."""
    return tuple(record["rows"][name] for name in ("held", "written", "unchanged", "deleted"))


@dataclass
class Job:
    """Runs the main job over `corpus`, and reads what Milvus, the dataset and the rejects then hold."""

    home: Path
    model: Path

    @property
    def corpus(self) -> Path:
        return self.home / "corpus"

    @property
    def workspace(self) -> Path:
        return self.home / "workspace"

    @property
    def milvus(self) -> Path:
        return self.home / "milvus.db"

    def write(self, name: str, records: Sequence[Mapping[str, Any] | bytes]) -> Path:
        """Writes a source file in the format its name tells; bytes stand as a line of their own."""
        path = self.corpus / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist([dict(row) for row in records if not isinstance(row, bytes)]), path)
            return path
        lines = [row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in records]
        data = b"".join(line + b"\n" for line in lines)
        path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        return path

    def options(self, **changes: Any) -> dict[str, Any]:
        """Options as in a configuration file; None takes one away."""
        values = {
            "input": f"{self.corpus}/*",
            "workspace": str(self.workspace),
            "milvus": str(self.milvus),
            "collection": COLLECTION,
            "model": str(self.model),
            "detector": "column:lang,cld2",
            "max_tokens": MAX_TOKENS,
            "max_reject_fraction": 0.5,
            **changes,
        }
        return {name: value for name, value in values.items() if value is not None}

    def flags(self, **changes: Any) -> list[str]:
        """The options as flags."""
        pairs = self.options(**changes).items()
        return [part for name, value in pairs for part in (f"--{name.replace('_', '-')}", str(value))]

    def run(self, *beam_flags: str, **changes: Any) -> dict[str, Any]:
        """Runs the job and gives its record."""
        config = options.to_config(self.options(**changes))
        return embed_corpus.run(config, PipelineOptions(["--runner=FnApiRunner", *beam_flags]))

    def run_plan(self, change: Callable[[Plan], Plan], **changes: Any) -> dict[str, Any]:
        """Runs the job with a changed plan and gives its record."""
        try:
            plan = change(plan_run(options.to_config(self.options(**changes))))
            pipeline = beam.Pipeline("FnApiRunner")
            embed_corpus.build(pipeline, plan)
            pipeline.run().wait_until_finish()
            return plan.workspace.read_record(plan.context.run_id)
        finally:
            release(str(self.milvus))

    def main(self, *flags: str, **changes: Any) -> int:
        """Runs the job as the console script does and gives the exit code."""
        return cli.main(["run", *self.flags(**changes), "--runner=FnApiRunner", *flags])

    @contextmanager
    def client(self) -> Iterator[MilvusClient]:
        """The database, opened by hand, with every collection loaded."""
        client = MilvusClient(uri=served(Target(str(self.milvus), COLLECTION)).uri)
        try:
            for collection in client.list_collections():
                client.load_collection(collection)
            yield client
        finally:
            client.close()
            release(str(self.milvus))

    def rows(self, collection: str = COLLECTION) -> dict[str, Row]:
        """Every row of a collection by id, with its partition and vector."""
        found: dict[str, Row] = {}
        with self.client() as client:
            for partition in client.list_partitions(collection):
                rows = client.query(
                    collection, filter='id != ""', partition_names=[partition], output_fields=["*"], limit=16_384
                )
                for row in rows:
                    assert row["id"] not in found
                    dense = {"dense": tuple(row["dense"])} if "dense" in row else {}
                    found[row["id"]] = {**row, **dense, "partition": partition}
        return found

    def texts(self) -> dict[tuple[str, int], str]:
        """Chunk texts by document id and ordinal."""
        return {(row["document_id"], row["ordinal"]): row["text"] for row in self.rows().values()}

    def stored(self) -> dict[str, Row]:
        """Every row of the dataset by id, with its vectors."""
        shards = sorted((self.workspace / "dataset").rglob("*.parquet"))
        return {row["id"]: row for path in shards for row in pq.read_table(path).to_pylist()}

    def rejects(self, record: Mapping[str, Any]) -> list[Row]:
        """Rejects that a run kept, ordered by source and locator."""
        rows = [row for uri in record["reject_files"] for row in pq.read_table(uri).to_pylist()]
        return sorted(rows, key=lambda row: (row["source"], row["locator"], row["reason"]))
