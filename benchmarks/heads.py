"""What do sparse weights and multi-vectors cost beside dense vectors alone?

A checkpoint of BGE-M3's shape and file layout with random weights, in bfloat16 on the CPU; every choice of outputs goes over the same
chunks `--repeats` times in turn and its median counts. All of them take one forward pass; three separate models would take three.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import torch
from safetensors.torch import save_file

from benchmarks.gpu import SHAPES, Ids, batches, build, draw_chunks
from benchmarks.machine import OtherLoad
from transforms.adapters.encoders import Computation, Engine, open_engine
from transforms.adapters.models import describe_model
from transforms.logic.outputs import OUTPUTS, Output, Outputs

# The same for all, though each engine found its own.
_BUDGET_TOKENS = 2048

CHOICES: tuple[tuple[Output, ...], ...] = (("dense",), ("dense", "sparse"), ("dense", "multi"), OUTPUTS)


def build_m3(folder: Path, shape: str) -> None:
    """A checkpoint with both heads beside it."""
    build(SHAPES[shape], folder, torch.bfloat16)
    hidden = SHAPES[shape].hidden
    for name, wide in (("sparse_linear", 1), ("colbert_linear", hidden)):
        layer = torch.nn.Linear(hidden, wide)
        weights = {key: value.detach().contiguous() for key, value in layer.named_parameters()}
        save_file(weights, folder / f"{name}.safetensors")


def encode(engine: Engine, chunks: Sequence[Ids], budget_tokens: int) -> int:
    """All chunks, a budget at a time with passes queued ahead; gives how many."""
    under_way: list[Callable[[], Outputs]] = []
    done = 0
    for batch in batches(chunks, budget_tokens):
        if len(under_way) == engine.in_flight:
            done += len(under_way.pop(0)())
        under_way.append(engine.submit([""] * len(batch), batch))
    return done + sum(len(wait()) for wait in under_way)


def main(argv: Sequence[str]) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.heads", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", choices=sorted(SHAPES), default="bge-m3")
    parser.add_argument("--chunks", type=int, default=64, help="how many are encoded")
    parser.add_argument("--repeats", type=int, default=3, help="times that each choice runs")
    values = parser.parse_args(list(argv))
    chunks = draw_chunks(values.chunks)
    with tempfile.TemporaryDirectory() as path:
        build_m3(Path(path), values.shape)
        model = describe_model(path)
        engines = {choice: open_engine(model, "", Computation("bfloat16", "cpu", choice)) for choice in CHOICES}
    seconds: dict[tuple[Output, ...], list[float]] = {choice: [] for choice in CHOICES}
    others = dict.fromkeys(CHOICES, 0.0)
    for _ in range(values.repeats):
        for choice, engine in engines.items():
            with OtherLoad() as load:
                start = perf_counter()
                encode(engine, chunks, _BUDGET_TOKENS)
                seconds[choice].append(perf_counter() - start)
            others[choice] = max(others[choice], load.cores)
    tokens = sum(map(len, chunks))
    dense = statistics.median(seconds["dense",])
    lines = [
        f"{values.shape}: {len(chunks):,} chunks, {tokens:,} tokens",
        f"{'':<24}{'seconds':>9}{'tokens/s':>10}{'to dense':>10}{'other load':>12}",
    ]
    for choice, of_choice in seconds.items():
        median = statistics.median(of_choice)
        ratio = f"{median / dense:.2f} x"
        lines.append(
            f"{', '.join(choice):<24}{median:>9.2f}{tokens / median:>10,.0f}{ratio:>10}{others[choice]:>12.2f}"
        )
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
