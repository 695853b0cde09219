"""How fast is the whole job, beside Beam's own RAG transforms and beside the bare encoder?

One run on one corpus, each contender in a process of its own:

- `corpus-embed`: the whole job, from files to rows counted in Milvus Lite, with language, dataset, ledger and run record.
- `beam ml.rag`: the same documents through `apache_beam.ml.rag` as its documentation does it: LangChain's recursive splitter
  measured by the same tokenizer at the same limit, `HuggingfaceTextEmbeddings`, `MilvusVectorWriterConfig` into Milvus Lite. Ids are
  given (its default is random), the collection is made beforehand (it makes none), and the sparse column is left out (there is none).
- `bare encoder`: the limit: our packed engine in bfloat16 on the very chunks of corpus-embed, loaded and warm.
- `stock encode`: `SentenceTransformer.encode` in float32, 32 texts a batch, on the same chunks, loaded and warm.

`load` is the time from a checkpoint on disk to a warm model; it is left out of everybody's seconds, as are interpreter start and
imports. Tokens are those of the documents' text by the model's tokenizer, the same for everyone. `other load` is how many cores all
other processes of the machine kept busy meanwhile: a figure above a tenth of a core means that the row is not to be trusted.
"""

import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.machine import OtherLoad
from transforms.adapters.formats import plan_splits, read_split
from transforms.adapters.milvus import Collection, Target, release, served
from transforms.adapters.models import describe_model
from transforms.adapters.storage import list_matching
from transforms.adapters.tokenizers import open_tokenizer
from transforms.logic.chunking import ID_BYTES, Limits, split_texts
from transforms.logic.record import EXIT_COMPLETE, EXIT_REJECTS
from transforms.logic.records import Reading

DEFAULT_INPUT = "deploy/local/corpus/*.jsonl*"
DEFAULT_MODEL = ".cache/models/multilingual-e5-small"
MAX_TOKENS = 256
STOCK_BATCH_SIZE = 32

Result = dict[str, Any]


def sample(documents: Sequence[Mapping[str, Any]], count: int | None) -> list[Mapping[str, Any]]:
    """The first `count` documents ordered by a digest of their id; all if None."""
    ordered = sorted(documents, key=lambda document: hashlib.sha256(str(document["document_id"]).encode()).digest())
    return ordered[:count]


def read_documents(patterns: Sequence[str]) -> list[Mapping[str, Any]]:
    """Every good document of the files; rejects are left out, for all contenders alike."""
    splits = plan_splits(list_matching(patterns))
    pages = (page for split in splits for page in read_split(split, Reading()))
    return [document for page in pages for document in page.documents]


def chunk_texts(texts: Sequence[str], model: str) -> tuple[list[str], list[Any]]:
    """The chunks that corpus-embed makes, and their token ids."""
    tokenizer = open_tokenizer(model)
    split = split_texts(
        texts, tokenizer.tokenise, Limits(MAX_TOKENS), splits_at_whitespace=tokenizer.splits_at_whitespace
    )
    chunks = [text[span.start : span.end] for text, spans in zip(texts, split, strict=True) for span in spans]
    return chunks, [np.frombuffer(span.token_ids, np.int32) for spans in split for span in spans]


def run_corpus_embed(corpus: Path, model: str, folder: Path) -> Result:
    """The whole job."""
    import transforms.adapters.engines.packed  # noqa: F401, PLC0415  imported before the clock starts, as for the others
    from pipelines.configuration.options import to_config, to_pipeline_options  # noqa: PLC0415
    from pipelines.embed_corpus import run  # noqa: PLC0415

    values = {
        "input": str(corpus),
        "workspace": str(folder / "workspace"),
        "milvus": str(folder / "milvus.db"),
        "collection": "ours",
        "model": model,
        "max_tokens": MAX_TOKENS,
    }
    config, beam_options = to_config(values), to_pipeline_options([])
    start = perf_counter()
    record = run(config, beam_options)
    seconds = perf_counter() - start
    if record["exit_code"] not in {EXIT_COMPLETE, EXIT_REJECTS}:
        sys.exit(f"the run of corpus-embed is not complete: {record['status']}: {record['differences']}")
    stages = {name: stage["seconds"] for name, stage in record["stages"].items()}
    load = stages.pop("model")
    return {"seconds": seconds - load, "load": load, "chunks": record["rows"]["held"], "stages": stages}


def run_beam_rag(corpus: Path, model: str, folder: Path) -> Result:
    """The incumbent of the same engine."""
    import apache_beam as beam  # noqa: PLC0415
    import sentence_transformers  # noqa: PLC0415
    from apache_beam.ml.rag.chunking.langchain import LangChainChunker  # noqa: PLC0415
    from apache_beam.ml.rag.embeddings.huggingface import HuggingfaceTextEmbeddings  # noqa: PLC0415
    from apache_beam.ml.rag.ingestion.base import VectorDatabaseWriteTransform  # noqa: PLC0415
    from apache_beam.ml.rag.ingestion.milvus_search import MilvusVectorWriterConfig, MilvusWriteConfig  # noqa: PLC0415
    from apache_beam.ml.rag.ingestion.postgres_common import ColumnSpecsBuilder  # noqa: PLC0415
    from apache_beam.ml.rag.utils import MilvusConnectionParameters  # noqa: PLC0415
    from apache_beam.ml.transforms.base import MLTransform  # noqa: PLC0415
    from langchain.text_splitter import RecursiveCharacterTextSplitter  # noqa: PLC0415

    target = served(Target(str(folder / "milvus.db"), "rag"))
    client = _create_rag_collection(target, describe_model(model).dimensions)
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=MAX_TOKENS, chunk_overlap=0, length_function=partial(_count_tokens, model)
    )
    columns = ColumnSpecsBuilder().with_id_spec().with_embedding_spec(convert_fn=list).with_content_spec()
    writer = MilvusVectorWriterConfig(
        connection_params=MilvusConnectionParameters(uri=target.uri),
        write_config=MilvusWriteConfig(collection_name=target.collection),
        column_specs=columns.with_metadata_spec(convert_fn=dict).build(),
    )
    embeddings = HuggingfaceTextEmbeddings(model, load_model_args={"device": "cpu"}, min_batch_size=STOCK_BATCH_SIZE)
    chunker = LangChainChunker(splitter, "text", ["id"], chunk_id_fn=_rag_chunk_id)
    load = sentence_transformers.SentenceTransformer.__init__
    loads: list[float] = []

    def timed_load(*arguments: Any, **settings: Any) -> None:
        begin = perf_counter()
        load(*arguments, **settings)
        loads.append(perf_counter() - begin)

    sentence_transformers.SentenceTransformer.__init__ = timed_load  # type: ignore[method-assign]
    start = perf_counter()
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = (
            pipeline
            | "Read" >> beam.io.ReadFromText(str(corpus))
            | "Parse" >> beam.Map(json.loads)
            | "Prompt" >> beam.Map(_with_prompt)
            | "Chunk and embed"
            >> MLTransform(write_artifact_location=str(folder / "artifacts"))
            .with_transform(chunker)
            .with_transform(embeddings)
            | "Write" >> VectorDatabaseWriteTransform(writer)
        )
    seconds = perf_counter() - start
    rows = client.counts()["_default"]
    client.close()
    release(str(folder / "milvus.db"))
    return {"seconds": seconds - sum(loads), "load": sum(loads), "chunks": rows}


def _create_rag_collection(target: Target, dimensions: int) -> Collection:
    from pymilvus import DataType, MilvusClient  # noqa: PLC0415

    schema = MilvusClient.create_schema(auto_id=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=dimensions)
    schema.add_field("content", DataType.VARCHAR, max_length=65_535)
    schema.add_field("metadata", DataType.JSON)
    client = MilvusClient(target.uri)
    index = client.prepare_index_params()
    index.add_index("embedding", index_type="AUTOINDEX", metric_type="COSINE")
    client.create_collection(target.collection, schema=schema, index_params=index)
    client.close()
    return Collection(target)


def _count_tokens(model: str, text: str) -> int:
    return len(open_tokenizer(model).ids(text))


def _rag_chunk_id(chunk: Any) -> str:
    return hashlib.sha256(f"{chunk.metadata['id']}\0{chunk.index}".encode()).hexdigest()


def _with_prompt(document: dict[str, Any]) -> dict[str, Any]:
    # Its embedder has no place for a prompt, so that each document, not each chunk, starts with it: a little less to encode.
    return {**document, "text": f"passage: {document['text']}"}


def run_bare_encoder(corpus: Path, model: str, folder: Path) -> Result:
    """The limit: nothing but the packed forward pass."""
    from transforms.adapters.encoders import Computation, open_encoder  # noqa: PLC0415

    del folder
    chunks, token_ids = chunk_texts(_texts(corpus), model)
    begin = perf_counter()
    encoder = open_encoder(describe_model(model), "passage: ", Computation("bfloat16", "cpu"))
    start = perf_counter()
    encoder.encode(chunks, token_ids)
    return {"seconds": perf_counter() - start, "load": start - begin, "chunks": len(chunks)}


def run_stock_encode(corpus: Path, model: str, folder: Path) -> Result:
    """What most pipelines call."""
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    del folder
    chunks, _ = chunk_texts(_texts(corpus), model)
    begin = perf_counter()
    encoder = SentenceTransformer(model, device="cpu")
    encoder.encode(chunks[:8], prompt="passage: ", show_progress_bar=False)
    start = perf_counter()
    encoder.encode(chunks, prompt="passage: ", batch_size=STOCK_BATCH_SIZE, show_progress_bar=False)
    return {"seconds": perf_counter() - start, "load": start - begin, "chunks": len(chunks)}


CONTENDERS: Mapping[str, Callable[[Path, str, Path], Result]] = {
    "corpus-embed": run_corpus_embed,
    "beam ml.rag": run_beam_rag,
    "bare encoder": run_bare_encoder,
    "stock encode": run_stock_encode,
}


def _texts(corpus: Path) -> list[str]:
    return [json.loads(line)["text"] for line in corpus.read_text(encoding="utf-8").splitlines()]


def measure(name: str, corpus: Path, model: str) -> Result:
    """One run of one contender in a process of its own, with its peak memory."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.pipeline",
        "--contender",
        name,
        "--corpus",
        str(corpus),
        "--model",
        model,
    ]
    with OtherLoad() as load:
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(f"{name} failed with {finished.returncode}:\n{finished.stderr[-2000:]}")
    result: Result = json.loads(finished.stdout.splitlines()[-1])
    return {**result, "other_load_cores": load.cores}


def contend(name: str, corpus: Path, model: str) -> Result:
    """What `measure` runs in the other process."""
    with tempfile.TemporaryDirectory() as folder:
        result = CONTENDERS[name](corpus, model, Path(folder))
    return {**result, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def render(results: Mapping[str, Result], documents: int, tokens: int) -> str:
    """The table: one line for each contender, ratios against the first and against the limit."""
    ours, limit = results["corpus-embed"]["seconds"], results["bare encoder"]["seconds"]
    rates_header = f"{'seconds':>9}{'load':>7}{'documents/s':>13}{'chunks/s':>10}{'tokens/s':>10}{'chunks':>9}"
    header = f"{'':<14}{rates_header}{'peak MiB':>10}{'of the limit':>14}{'other load':>12}"
    lines = [
        f"{documents:,} documents, {tokens:,} tokens",
        header,
    ]
    for name, result in results.items():
        seconds = result["seconds"]
        busy = f"{seconds:>9.1f}{result['load']:>7.1f}"
        rates = f"{documents / seconds:>13,.1f}{result['chunks'] / seconds:>10,.1f}{tokens / seconds:>10,.0f}"
        lines.append(
            f"{name:<14}{busy}{rates}{result['chunks']:>9,}{result['peak_mib']:>10,.0f}{limit / seconds:>14.2f}"
            f"{result['other_load_cores']:>12.2f}"
        )
    stages = results["corpus-embed"]["stages"]
    shares = ", ".join(f"{name} {seconds:.1f}" for name, seconds in stages.items() if seconds / ours >= 0.002)
    rest = ours - sum(stages.values())
    peer = results["beam ml.rag"]["seconds"] / ours
    lines += [
        "",
        f"corpus-embed takes {ours / limit:.2f} of the bare encoder's time and is {peer:.1f} times as fast as beam ml.rag",
        f"where its seconds go: {shares}, the rest (planning, Beam, Milvus Lite) {rest:.1f}",
    ]
    return "\n".join(lines) + "\n"


def median_of(runs: Sequence[Result]) -> Result:
    """The run with the median number of seconds (the lower of the two middle ones)."""
    middle = statistics.median_low([run["seconds"] for run in runs])
    return next(run for run in runs if run["seconds"] == middle)


def main(argv: Sequence[str]) -> int:
    """Prints the table of one run."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.pipeline", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "--input", nargs="+", default=[DEFAULT_INPUT], metavar="GLOB", help="JSONL or Parquet with id and text"
    )
    parser.add_argument("--documents", type=int, help="only so many, chosen by a digest of their id")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="directory of the model")
    parser.add_argument("--repeats", type=int, default=1, help="the median run of so many is shown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes every run there too")
    parser.add_argument("--contender", choices=sorted(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    values = parser.parse_args(list(argv))
    model = str(Path(values.model).resolve())
    if values.contender:
        sys.stdout.write(json.dumps(contend(values.contender, values.corpus, model)) + "\n")
        return 0
    documents = sample(read_documents(values.input), values.documents)
    tokens = sum(len(ids) // ID_BYTES for ids in open_tokenizer(model).tokenise([one["text"] for one in documents]))
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        lines = [json.dumps({"id": one["document_id"], "text": one["text"]}, ensure_ascii=False) for one in documents]
        corpus.write_text("\n".join(lines) + "\n", encoding="utf-8")
        runs = {name: [measure(name, corpus, model) for _ in range(values.repeats)] for name in CONTENDERS}
    if values.json:
        values.json.write_text(json.dumps({"documents": len(documents), "tokens": tokens, "runs": runs}, indent=2))
    sys.stdout.write(render({name: median_of(some) for name, some in runs.items()}, len(documents), tokens))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
