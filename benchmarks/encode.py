"""How fast is the forward pass, engine by engine, and what does each cost in exactness?

One run over the same chunks, each contender in a process of its own that is bound to as many cores as it has threads, since what one
library sets for its threads the next one finds; each goes over the chunks `--repeats` times, a slow one as often as it begins within
`--seconds`, and its median counts. With its defaults it takes some five minutes on two cores. Chunks are
consecutive pieces of the input's text in each language, of lognormal length around 120 tokens (20 to 500), as documents cut at headings
and paragraphs have them.

- `packed`: ours; ids in, unit vectors out. `list`: our fallback for models that it does not know, the model's own forward pass.
- `stock`: `SentenceTransformer.encode` with its defaults (float32, 32 a batch, in order of characters), and kinder settings of it.
- `openvino`: the same model compiled by OpenVINO, padded lists in order of length, if the package is installed.

`of the limit` is useful arithmetic (2 a weight and token, 4 x hidden size x length a token and layer for attention) against the rate of
one large bfloat16 product, the median over all those processes. `cosine` is the least over all chunks to stock float32.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.machine import OtherLoad
from benchmarks.pipeline import DEFAULT_INPUT, DEFAULT_MODEL, read_documents
from transforms.adapters.models import describe_model
from transforms.adapters.tokenizers import open_tokenizer
from transforms.logic.chunking import ID_BYTES
from transforms.logic.vectors import Float32, unit_rows

PROMPT = "passage: "
STOCK = "stock float32, 32 a batch"
_LENGTHS = (120, 0.7, 20, 500)
_GEMM_ROWS = 4096
_WARM_UP_SHARE = 4

Encode = Callable[[Sequence[str], Sequence[Any]], Float32]


def cut_chunks(texts: Sequence[str], model: str, tokens: int) -> tuple[list[str], list[Any]]:
    """About `tokens` tokens of consecutive pieces at word borders, and their ids; the same for the same texts."""
    tokenizer = open_tokenizer(model)
    draws = np.random.default_rng(0)
    median, spread, least, most = _LENGTHS
    chunks: list[str] = []
    total = 0
    for text in texts:
        words = text.split()
        counts = [len(ids) // ID_BYTES for ids in tokenizer.tokenise(words)]
        first = 0
        while first < len(words) and total < tokens:
            wanted = int(np.clip(draws.lognormal(np.log(median), spread), least, most))
            size, after = 0, first
            while after < len(words) and (after == first or size + counts[after] <= wanted):
                size += counts[after]
                after += 1
            if size <= most:
                chunks.append(" ".join(words[first:after]))
                total += size
            first = after
    return chunks, [np.frombuffer(ids, np.int32) for ids in tokenizer.tokenise(chunks)]


def texts_by_language(patterns: Sequence[str]) -> list[str]:
    """One text of each language of the input, in turn, by the end of the ids (`bread-de`) or the whole input if they have none."""
    found: dict[str, list[str]] = {}
    for document in read_documents(patterns):
        found.setdefault(str(document["document_id"]).rpartition("-")[2], []).append(document["text"])
    pieces = [
        text for texts in zip(*(texts for texts in found.values() if len(texts) > 1), strict=False) for text in texts
    ]
    return pieces or [text for texts in found.values() for text in texts]


def _ours(model: str, dtype: str, threads: int) -> Encode:
    from transforms.adapters.encoders import Computation, open_encoder  # noqa: PLC0415  torch

    encoder = open_encoder(describe_model(model), PROMPT, Computation(dtype, "cpu", threads=threads))  # type: ignore[arg-type]
    return lambda texts, ids: _dense(encoder.encode(texts, ids).outputs.dense)


def _lists(model: str, threads: int) -> Encode:
    from transforms.adapters.batching import BatchingEncoder  # noqa: PLC0415
    from transforms.adapters.encoders import Computation  # noqa: PLC0415
    from transforms.adapters.engines.lists import ListEngine  # noqa: PLC0415

    described, tokenizer = describe_model(model), open_tokenizer(model)
    computation = Computation("bfloat16", "cpu", threads=threads)
    encoder = BatchingEncoder(lambda wanted: ListEngine(described, tokenizer, PROMPT, wanted), computation)
    return lambda texts, ids: _dense(encoder.encode(texts, ids).outputs.dense)


def _dense(vectors: Float32 | None) -> Float32:
    if vectors is None:
        sys.exit("the encoder made no dense vectors")
    return vectors


def _stock(model: str, batch_size: int, dtype: str) -> Encode:
    import torch  # noqa: PLC0415
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    loaded = SentenceTransformer(model, device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})

    def encode(texts: Sequence[str], _: Sequence[Any]) -> Float32:
        tensor = loaded.encode(
            list(texts), prompt=PROMPT, batch_size=batch_size, show_progress_bar=False, convert_to_tensor=True
        )
        return np.asarray(tensor.float().numpy(), np.float32)

    return encode


def _openvino(model: str, threads: int) -> Encode:
    # Not a dependency: a contender only where it is installed.
    import openvino  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    bert: Any = SentenceTransformer(model, device="cpu")[0]

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert.auto_model.eval()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            kept = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return (hidden * kept).sum(1) / kept.sum(1)

    example = {name: torch.ones(2, 16, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(openvino.convert_model(Pooled(), example_input=example), "CPU", settings)
    tokenizer = open_tokenizer(model)
    before, after = tokenizer.frame()
    frame = [*before, *tokenizer.ids(PROMPT)], after

    def encode(_: Sequence[str], token_ids: Sequence[Any]) -> Float32:
        rows = [[*frame[0], *ids.tolist(), *frame[1]] for ids in token_ids]
        vectors: list[Any] = [None] * len(rows)
        batch: list[int] = []

        def flush() -> None:
            longest = max(len(rows[index]) for index in batch)
            ids, mask = np.ones((len(batch), longest), np.int64), np.zeros((len(batch), longest), np.int64)
            for place, index in enumerate(batch):
                ids[place, : len(rows[index])] = rows[index]
                mask[place, : len(rows[index])] = 1
            for index, vector in zip(batch, compiled([ids, mask])[0], strict=True):
                vectors[index] = vector

        for index in sorted(range(len(rows)), key=lambda index: len(rows[index])):
            # OpenVINO was fastest with lists of about a thousand tokens.
            if batch and (len(batch) + 1) * len(rows[index]) > 1024:
                flush()
                batch = []
            batch.append(index)
        flush()
        return unit_rows(np.stack(vectors))

    return encode


def contenders(model: str, threads: int) -> dict[str, Callable[[], Encode]]:
    """Every way to encode, by name; each is loaded when called."""
    found: dict[str, Callable[[], Encode]] = {
        STOCK: lambda: _stock(model, 32, "float32"),
        "stock float32, 8 a batch": lambda: _stock(model, 8, "float32"),
        "stock bfloat16, 32 a batch": lambda: _stock(model, 32, "bfloat16"),
        "stock bfloat16, 8 a batch": lambda: _stock(model, 8, "bfloat16"),
        "list bfloat16": lambda: _lists(model, threads),
        "packed float32": lambda: _ours(model, "float32", threads),
        "packed bfloat16": lambda: _ours(model, "bfloat16", threads),
    }
    if importlib.util.find_spec("openvino"):
        found["openvino bfloat16"] = lambda: _openvino(model, threads)
    return found


def flops(model: str, lengths: Sequence[int]) -> float:
    """Useful arithmetic of a forward pass over chunks of these lengths, in floating-point operations."""
    config = json.loads(Path(model, "config.json").read_bytes())
    hidden, wide, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    weights = layers * (4 * hidden * hidden + 2 * hidden * wide)
    return float(sum(2 * weights * length + 4 * layers * hidden * length * length for length in lengths))


def gemm_rate(model: str) -> float:
    """Rate of one large bfloat16 product with the threads of this process, in floating-point operations a second."""
    import torch  # noqa: PLC0415

    config = json.loads(Path(model, "config.json").read_bytes())
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    left = torch.randn(_GEMM_ROWS, hidden, dtype=torch.bfloat16)
    right = torch.randn(wide, hidden, dtype=torch.bfloat16)
    seconds = []
    for _ in range(100):
        start = perf_counter()
        torch.nn.functional.linear(left, right)
        seconds.append(perf_counter() - start)
    return 2.0 * _GEMM_ROWS * hidden * wide / statistics.median(seconds)


def timed(action: Callable[[], Float32], repeats: int, most_seconds: float) -> tuple[list[float], Float32]:
    """Seconds of each time, at least one, and what the last gave; none begins after `most_seconds`."""
    seconds: list[float] = []
    while True:
        start = perf_counter()
        result = action()
        seconds.append(perf_counter() - start)
        if len(seconds) >= repeats or sum(seconds) >= most_seconds:
            return seconds, result


def measure(
    contender: str,
    threads: int,
    chunks: Sequence[str],
    token_ids: Sequence[Any],
    model: str,
    repeats: int,
    most_seconds: float,
) -> tuple[dict[str, Any], Float32]:
    """One contender with so many threads, in this process: seconds of each pass over the chunks, and its vectors."""
    import torch  # noqa: PLC0415

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(threads)
    # Before the contender is loaded, which may leave the threads with other settings.
    gemm = gemm_rate(model)
    encode = contenders(model, threads)[contender]()
    few = max(1, len(chunks) // _WARM_UP_SHARE)
    encode(chunks[:few], token_ids[:few])
    with OtherLoad() as load:
        seconds, vectors = timed(lambda: encode(chunks, token_ids), repeats, most_seconds)
    return {"gemm": gemm, "seconds": statistics.median(seconds), "other_load": load.cores}, vectors


def compare(threads: int, child: Sequence[str], model: str, token_ids: Sequence[Any]) -> dict[str, Any]:
    """Every contender with so many threads; `child` is the command for one, but for its name and the file for its vectors."""
    before, after = open_tokenizer(model).frame()
    frame = len(before) + len(after) + len(open_tokenizer(model).ids(PROMPT))
    lengths = [len(ids) + frame for ids in token_ids]
    measured: dict[str, dict[str, Any]] = {}
    cosine: dict[str, float] = {}
    reference: Float32 | None = None
    with tempfile.TemporaryDirectory() as folder:
        for name in contenders(model, threads):
            path = Path(folder, "vectors.npy")
            command = [*child, "--threads", str(threads), "--contender", name, "--vectors", str(path)]
            finished = subprocess.run(command, capture_output=True, text=True, check=False)
            if finished.returncode:
                sys.exit(f"{name} with {threads} threads failed with {finished.returncode}:\n{finished.stderr[-2000:]}")
            measured[name] = json.loads(finished.stdout.splitlines()[-1])
            vectors = np.load(path)
            reference = vectors if reference is None else reference
            cosine[name] = float((vectors * reference).sum(axis=1).min())
    return {
        "threads": threads,
        "gemm": statistics.median(one["gemm"] for one in measured.values()),
        "flops": flops(model, lengths),
        "tokens": sum(lengths),
        "chunks": len(lengths),
        "seconds": {name: one["seconds"] for name, one in measured.items()},
        "cosine": cosine,
        "other_load": {name: one["other_load"] for name, one in measured.items()},
    }


def render(result: Mapping[str, Any]) -> str:
    """The table of one number of threads."""
    stock = result["seconds"][STOCK]
    many = "s" if result["threads"] > 1 else ""
    measured = f"{result['chunks']:,} chunks, {result['tokens']:,} tokens"
    limit = f"the limit, one bfloat16 product: {result['gemm'] / 1e9:,.0f} GFLOP/s"
    lines = [
        f"{result['threads']} thread{many}: {measured}; {limit}",
        f"{'':<28}{'tokens/s':>10}{'to stock':>10}{'GFLOP/s':>9}{'of the limit':>14}{'cosine':>10}{'other load':>12}",
    ]
    for name, seconds in result["seconds"].items():
        rate = result["flops"] / seconds
        lines.append(
            f"{name:<28}{result['tokens'] / seconds:>10,.0f}{f'{stock / seconds:.1f} x':>10}{rate / 1e9:>9,.0f}"
            f"{rate / result['gemm']:>14.2f}{result['cosine'][name]:>10.5f}{result['other_load'][name]:>12.2f}"
        )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> int:
    """Prints a table for each number of threads."""
    parser = argparse.ArgumentParser("python -m benchmarks.encode", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--input", nargs="+", default=[DEFAULT_INPUT], metavar="GLOB", help="files with id and text")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="directory of the model")
    parser.add_argument("--tokens", type=int, default=10_000, help="about so many are encoded by each")
    parser.add_argument("--repeats", type=int, default=3, help="times that each contender runs, at most")
    parser.add_argument("--seconds", type=float, default=8.0, help="none begins again after so many")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="a table for each number")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--vectors", type=Path, help=argparse.SUPPRESS)
    values = parser.parse_args(list(argv))
    chunks, token_ids = cut_chunks(texts_by_language(values.input), values.model, values.tokens)
    if values.contender:
        result, vectors = measure(
            values.contender, values.threads[0], chunks, token_ids, values.model, values.repeats, values.seconds
        )
        np.save(values.vectors, vectors)
        sys.stdout.write(json.dumps(result) + "\n")
        return 0
    settings = ["--model", values.model, "--tokens", str(values.tokens), "--repeats", str(values.repeats)]
    settings += ["--seconds", str(values.seconds)]
    child = [sys.executable, "-m", "benchmarks.encode", *settings, "--input", *values.input]
    for threads in values.threads:
        sys.stdout.write(render(compare(threads, child, values.model, token_ids)) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
