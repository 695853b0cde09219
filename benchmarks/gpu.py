"""How fast is the forward pass on a GPU, beside sentence-transformers and beside the card's own matrix products?

Needs torch, transformers, tokenizers and sentence-transformers, and of this project only the engine's own files: run it where a card
is, from the root of the repository. Models have random weights, which cost what trained ones cost, in the shapes of
multilingual-e5-small, multilingual-e5-large and BGE-M3. Chunks have lognormal lengths around 120 tokens (20 to 500), as those of a
multilingual corpus have.

- `packed`: ours: packing, copies and pooling included, from token ids in host memory to unit vectors in host memory.
- `stock float16`: `SentenceTransformer.encode` in float16, in batches of 32 (its default) and 256; its words are single tokens, so that
  its tokenizer has little to do.

MFU is useful arithmetic (2 a weight and token, 4 x hidden size x length a token and layer for attention) against the measured rate of
a square product of 8,192 in the same number type.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

from transforms.adapters.engines.attention import choose_attention
from transforms.adapters.engines.layers import Layers
from transforms.adapters.engines.passes import Frame, Passes

_GEMM = {"cuda": 8192, "cpu": 1024}
_IN_FLIGHT = 3
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
_WORDS = 30_000

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Shape:
    """A model's size."""

    architecture: str
    layers: int
    hidden: int
    heads: int
    vocabulary: int = 250_002
    pooling: str = "mean"

    @property
    def weights(self) -> int:
        """Weights that every token is multiplied with."""
        return self.layers * 12 * self.hidden * self.hidden

    def flops(self, lengths: Sequence[int]) -> float:
        """Useful arithmetic over chunks of these lengths."""
        return float(sum(2 * self.weights * n + 4 * self.layers * self.hidden * n * n for n in lengths))


SHAPES: Mapping[str, Shape] = {
    "e5-small": Shape("bert", 12, 384, 12),
    "e5-large": Shape("xlm-roberta", 24, 1024, 16),
    "bge-m3": Shape("xlm-roberta", 24, 1024, 16, pooling="cls"),
    "tiny": Shape("xlm-roberta", 2, 64, 2, vocabulary=_WORDS + len(_SPECIAL)),
}
"""`tiny` only shows that the script runs."""


def build(shape: Shape, folder: Path, dtype: torch.dtype) -> None:
    """Writes a sentence-transformers checkpoint with random weights, whose tokenizer knows single words."""
    vocabulary = {word: index for index, word in enumerate((*_SPECIAL, *(f"w{number}" for number in range(_WORDS))))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106  no password
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": 4 * shape.hidden,
        "pad_token_id": 1,
    }
    torch.set_default_dtype(dtype)
    model: Any
    if shape.architecture == "bert":
        model = BertModel(BertConfig(**sizes, max_position_embeddings=512), add_pooling_layer=False)
    else:
        config = XLMRobertaConfig(**sizes, max_position_embeddings=514, type_vocab_size=1)
        model = XLMRobertaModel(config, add_pooling_layer=False)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    files: dict[str, Any] = {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 512,
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "cls_token": "<s>",
            "sep_token": "</s>",
        },
        "sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": False},
        "1_Pooling/config.json": {
            "word_embedding_dimension": shape.hidden,
            "pooling_mode_mean_tokens": shape.pooling == "mean",
            "pooling_mode_cls_token": shape.pooling == "cls",
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def draw_chunks(count: int) -> list[Ids]:
    """Token ids of chunks; the same every time."""
    draws = np.random.default_rng(0)
    lengths = np.clip(draws.lognormal(np.log(120), 0.7, count), 20, 500).astype(int)
    return [draws.integers(len(_SPECIAL), _WORDS, length).astype(np.int32) for length in lengths]


def batches(chunks: Sequence[Ids], budget_tokens: int) -> list[Sequence[Ids]]:
    """Consecutive chunks of at most so many tokens."""
    found: list[list[Ids]] = [[]]
    total = 0
    for chunk in chunks:
        if total and total + len(chunk) + 2 > budget_tokens:
            found.append([])
            total = 0
        found[-1].append(chunk)
        total += len(chunk) + 2
    return list(found)


def encode_packed(passes: Passes, chunks: Sequence[Ids], budget_tokens: int) -> npt.NDArray[np.float32]:
    """Vectors of all chunks, with passes queued ahead."""
    waiting: deque[Any] = deque()
    vectors = []
    for batch in batches(chunks, budget_tokens):
        if len(waiting) == _IN_FLIGHT:
            vectors.append(passes.finish(waiting.popleft()).dense)
        waiting.append(passes.start(batch))
    vectors += [passes.finish(started).dense for started in waiting]
    return np.concatenate([part for part in vectors if part is not None])


def gemm_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of one large product, the median of thirty."""
    size = _GEMM[device.type]
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = [_seconds(lambda: left @ right, device) for _ in range(33)][3:]
    return 2.0 * size**3 / statistics.median(seconds)


def _seconds(action: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    start = perf_counter()
    action()
    _wait(device)
    return perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(name: str, device: torch.device, count: int, budgets: Sequence[int], *, with_stock: bool) -> Iterator[str]:
    """The lines of one shape, each as soon as it is known."""
    shape = SHAPES[name]
    dtype = torch.bfloat16
    chunks = draw_chunks(count)
    lengths = [len(chunk) + 2 for chunk in chunks]
    arithmetic, tokens = shape.flops(lengths), sum(lengths)
    ceiling = gemm_rate(device, dtype)
    yield f"{name}: {count:,} chunks, {tokens:,} tokens; the limit: {ceiling / 1e12:,.1f} TFLOP/s"

    def line(what: str, seconds: float, cosine: float | None = None) -> str:
        rate = arithmetic / seconds
        memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
        shown = "" if cosine is None else f"{cosine:>10.5f}"
        return f"  {what:<26}{tokens / seconds:>12,.0f}{rate / 1e12:>10.1f}{rate / ceiling:>8.2f}{memory:>10.1f}{shown}"

    with tempfile.TemporaryDirectory() as path:
        build(shape, Path(path), torch.float16)
        stock = SentenceTransformer(path, device=str(device), model_kwargs={"dtype": torch.float16})
        own = SentenceTransformer(path, device=str(device), model_kwargs={"dtype": dtype})
    attend = choose_attention(device, "bfloat16", shape.hidden // shape.heads)
    frame = Frame(np.array([0], np.int64), np.array([2], np.int64), 2 if shape.architecture == "xlm-roberta" else 0)
    loaded: Any = own[0]
    passes = Passes(Layers(loaded.auto_model.eval(), attend, budgets[0]), device, frame, shape.pooling)
    texts = [" ".join(f"w{number - len(_SPECIAL)}" for number in chunk) for chunk in chunks]
    reference = np.asarray(stock.encode(texts[:64], show_progress_bar=False), np.float32)
    reference /= np.linalg.norm(reference, axis=1, keepdims=True)
    for budget in budgets:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        cosine = float((encode_packed(passes, chunks[:64], budget) * reference).sum(axis=1).min())
        encode_packed(passes, chunks, budget)
        seconds = [_seconds(lambda used=budget: encode_packed(passes, chunks, used), device) for _ in range(3)]  # type: ignore[misc]
        yield line(f"packed, {budget:,} tokens", statistics.median(seconds), cosine)
    for batch_size in (32, 256) if with_stock else ():
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        stock.encode(texts[: 4 * batch_size], batch_size=batch_size, show_progress_bar=False)
        encode = _stock(stock, texts, batch_size)
        yield line(f"stock float16, {batch_size} a batch", _seconds(encode, device))


def _stock(model: SentenceTransformer, texts: list[str], batch_size: int) -> Callable[[], Any]:
    return lambda: model.encode(texts, batch_size=batch_size, show_progress_bar=False)


def main(argv: Sequence[str]) -> int:
    """Prints the table of one card."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=["e5-small", "e5-large", "bge-m3"])
    parser.add_argument("--chunks", type=int, default=10_000, help="how many are encoded")
    parser.add_argument("--budgets", nargs="+", type=int, default=[16_384, 65_536, 262_144], help="tokens of a pass")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to see that the script runs")
    parser.add_argument("--no-stock", action="store_true", help="leaves sentence-transformers out")
    values = parser.parse_args(list(argv))
    device = torch.device(values.device)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    sys.stdout.write(f"{card}, torch {torch.__version__}\n")
    sys.stdout.write(f"  {'':<26}{'tokens/s':>12}{'TFLOP/s':>10}{'MFU':>8}{'peak GiB':>10}{'cosine':>10}\n")
    for name in values.shapes:
        for line in measure(name, device, values.chunks, values.budgets, with_stock=not values.no_stock):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
