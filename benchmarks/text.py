"""How fast is the text stage, beside the tokenizer alone and beside well-known splitters?

One core, one process, one run; every contender goes over the same documents `--repeats` times in turn and its median counts:

- `text stage`: ours, from files to chunk batches: read, decode, scrub, tell documents' and chunks' language, split, tokenise, ids and keys.
- `tokenizers`: the model's own tokenizer alone, over the whole documents, already in memory: a pass that every pipeline pays at least.
- `fastest exact`: the limit: kitoken alone over the whole documents, already in memory. Its ids are checked against the model's own.
- `semantic-text-splitter`, `langchain`: these splitters, measured by the model's tokenizer at the same limit, then the model's
  tokenisation of their chunks, with the language of each document by the same detector; texts already in memory.

The proof that lets the faster tokenizer serve (`transforms.adapters.tokenizer_proof`) is made before, once for a model, and timed apart.
"""

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import kitoken
from tokenizers import Tokenizer

from benchmarks.machine import OtherLoad
from transforms.adapters.detectors.cld2 import Cld2Detector
from transforms.adapters.formats import plan_splits, read_split
from transforms.adapters.storage import list_matching
from transforms.adapters.tokenizer_proof import prove
from transforms.adapters.tokenizers import ModelTokenizer
from transforms.identify import Partitioning, identify_documents, identify_language
from transforms.logic.chunking import Limits
from transforms.logic.records import Reading
from transforms.logic.schemas import CHUNKS, RECORDS, batch_of
from transforms.split import Splitting, split_into_chunks

DEFAULT_INPUT = "deploy/local/corpus/*.jsonl*"
DEFAULT_MODEL = ".cache/models/multilingual-e5-small"
MAX_TOKENS = 256


def text_stage(patterns: Sequence[str], tokenizer: ModelTokenizer) -> int:
    """Files to chunk batches; gives the number of chunks."""
    detector, partitioning, splitting = Cld2Detector(), Partitioning(), Splitting(Limits(MAX_TOKENS), "space")
    chunks = 0
    for split in plan_splits(list_matching(patterns)):
        for page in read_split(split, Reading()):
            documents = identify_language(batch_of(page.documents, RECORDS), detector, partitioning)
            rows, _ = split_into_chunks(documents, tokenizer, detector, splitting)
            chunks += batch_of(rows, CHUNKS).num_rows
    return chunks


def own_pass(texts: Sequence[str], tokenizer: Tokenizer) -> int:
    """The model's tokenizer over whole documents; gives the number of tokens."""
    return sum(len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False))


def fast_pass(texts: Sequence[str], tokenizer: kitoken.Kitoken) -> int:
    """The fastest exact tokenizer known over whole documents; gives the number of tokens."""
    return sum(len(tokenizer.encode(text, encode_specials=False)) for text in texts)


def semantic_pass(texts: Sequence[str], tokenizer: Tokenizer) -> int:
    """semantic-text-splitter, then tokenisation and language; gives the number of chunks."""
    from semantic_text_splitter import TextSplitter  # noqa: PLC0415  a peer, of the benchmark extra only

    splitter = TextSplitter.from_huggingface_tokenizer(tokenizer, MAX_TOKENS)
    return _tokenise_and_identify([chunk for text in texts for chunk in splitter.chunks(text)], texts, tokenizer)


def langchain_pass(texts: Sequence[str], tokenizer: Tokenizer) -> int:
    """The recursive splitter of langchain with its defaults, then tokenisation and language; gives the number of chunks."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter  # noqa: PLC0415  a peer

    splitter = RecursiveCharacterTextSplitter(
        chunk_size=MAX_TOKENS,
        chunk_overlap=0,
        length_function=lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids),
    )
    return _tokenise_and_identify([chunk for text in texts for chunk in splitter.split_text(text)], texts, tokenizer)


def _tokenise_and_identify(chunks: Sequence[str], texts: Sequence[str], tokenizer: Tokenizer) -> int:
    own_pass(chunks, tokenizer)
    identify_documents(texts, [None] * len(texts), Cld2Detector())
    return len(chunks)


def render(seconds: Mapping[str, Sequence[float]], megabytes: float, others: Mapping[str, float]) -> str:
    """The table: medians, and each contender beside the text stage and beside the limit."""
    median = {name: statistics.median(of_name) for name, of_name in seconds.items()}
    ours, limit = median["text stage"], median["fastest exact"]
    lines = [
        f"{'':<24}{'seconds':>9}{'slowest':>9}{'MB/s':>8}{'text stage is':>15}{'of the limit':>14}{'other load':>12}",
        *(
            f"{name:<24}{median[name]:>9.2f}{max(of_name):>9.2f}{megabytes / median[name]:>8.2f}"
            f"{f'{median[name] / ours:.1f} x':>15}{limit / median[name]:>14.2f}{others[name]:>12.2f}"
            for name, of_name in seconds.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> int:
    """Prints the table of one run."""
    parser = argparse.ArgumentParser("python -m benchmarks.text", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--input", nargs="+", default=[DEFAULT_INPUT], metavar="GLOB", help="files with id and text")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="directory of the model")
    parser.add_argument("--repeats", type=int, default=3, help="times that each contender runs")
    values = parser.parse_args(list(argv))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    path = Path(values.model, "tokenizer.json")
    own, fast = Tokenizer.from_file(str(path)), kitoken.Kitoken.from_file(str(path))
    own.no_truncation()
    own.no_padding()
    splits = plan_splits(list_matching(values.input))
    texts = [row["text"] for split in splits for page in read_split(split, Reading()) for row in page.documents]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    start = time.perf_counter()
    proven = prove(values.model)
    sys.stdout.write(f"{len(texts):,} documents, {megabytes:.1f} MB; proof {time.perf_counter() - start:.1f} s, ")
    if proven is None:
        sys.exit("the fast tokenizer is not proven for this model; there is no limit to compare with")
    # Once before the clock, so that tables built on first use count for nobody.
    text_stage([DEFAULT_INPUT], ModelTokenizer(values.model, proven))
    same = sum(
        fast.encode(text, encode_specials=False) == encoding.ids
        for text, encoding in zip(texts, own.encode_batch(texts, add_special_tokens=False), strict=True)
    )
    sys.stdout.write(f"kitoken alone gives the model's own ids for {same:,} of them\n")
    fresh: list[ModelTokenizer] = []
    contenders: dict[str, Callable[[], int]] = {
        "text stage": lambda: text_stage(values.input, fresh[-1]),
        "fastest exact": lambda: fast_pass(texts, fast),
        "tokenizers": lambda: own_pass(texts, own),
        "semantic-text-splitter": lambda: semantic_pass(texts, own),
        "langchain": lambda: langchain_pass(texts, own),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    others: dict[str, float] = dict.fromkeys(contenders, 0.0)
    for _ in range(values.repeats):
        for name, contender in contenders.items():
            # Nobody's tokenizer file is read within the clock, and ours remembers no words from the repeat before.
            fresh[:] = [ModelTokenizer(values.model, proven)] if name == "text stage" else []
            gc.collect()
            with OtherLoad() as load:
                seconds[name].append(_seconds(contender))
            others[name] = max(others[name], load.cores)
    sys.stdout.write(render(seconds, megabytes, others))
    return 0


def _seconds(action: Callable[[], int]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
