"""Writes the lock files from pyproject.toml: `python -m deploy.local.lock`, or `make lock`.

All extras are resolved together, for every system and Python version that pyproject.toml admits, so that the locks fit
each other. They are complete, and meant for `pip install --no-deps --require-hashes`:

- requirements.lock: what the project needs, but for CUDA;
- requirements-cpu.lock: torch built for the CPU, to install first where pip can find it;
- requirements-cuda.lock: what PyPI's torch for Linux needs besides;
- requirements-EXTRA.lock: what an extra adds to requirements.lock;
- requirements-tools.lock: the programs of `make sbom` and `make audit`, for a virtual environment of their own.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
UV: Final = "uv==0.13.8"
EXTRAS: Final = ("gcp", "test", "benchmark")
TOOLS: Final = ("cyclonedx-bom>=7.5", "pip-audit>=2.10")
TOOLS_LOCK: Final = "requirements-tools.lock"
OLDEST_PYTHON: Final = "3.11"
CUDA: Final = re.compile("(cuda|nvidia)-|triton=")
# Wheels of torch for the CPU; they are not on the package index. Other indexes and find-links may have them.
TORCH: Final = "2.13.0"
CPU_WHEELS: Final = {
    "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl": (
        "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
    ),
}


def blocks(lock: str) -> list[str]:
    """Splits the text of a lock into one block for each requirement, with its hashes."""
    return [block.strip() for block in re.split(r"\n(?=\S)", lock) if block.strip() and not block.startswith("#")]


def requirement(block: str) -> str:
    """Returns a block's requirement without its hashes, as in `regex==2026.11.15 ; sys_platform == 'linux'`."""
    return block.split("\n", 1)[0].removesuffix("\\").strip()


def with_hashes(block: str, hashes: Iterable[str]) -> str:
    """Returns a block that admits some more files."""
    return block + "".join(f" \\\n    --hash=sha256:{sha256}" for sha256 in sorted(hashes))


def resolve(
    uv: Path, extras: Sequence[str], output: Path, options: Sequence[str], source: str = "pyproject.toml"
) -> list[str]:
    """Resolves the project with some of its extras; returns one block for each requirement.

    Args:
        uv: The program.
        extras: Names of extras.
        output: The file to write; versions pinned in it are kept where they fit.
        options: More options of `uv pip compile`.
        source: What is resolved, the project or a file of requirements.
    """
    command = [str(uv), "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate"]
    command += [f"--python-version={OLDEST_PYTHON}", f"--output-file={output}", *options]
    command += [f"--extra={extra}" for extra in extras]
    subprocess.run([*command, source], cwd=ROOT, check=True)
    return blocks(output.read_text(encoding="utf-8"))


def write(path: Path, title: str, lock: Sequence[str], target: str = "lock") -> None:
    """Writes a lock file, which names the target of the Makefile that made it."""
    text = f"# {title}\n# Made by `make {target}`; install with pip install --no-deps --require-hashes.\n"
    path.write_text(text + "".join(f"{block}\n" for block in lock), encoding="utf-8")


def asks_for_newest(argv: Sequence[str] | None, program: str, description: str) -> bool:
    """Reads the arguments of a command that writes locks."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions instead of keeping pins")
    return bool(parser.parse_args(argv).upgrade)


@contextmanager
def resolver() -> Iterator[tuple[Path, Path]]:
    """The program that resolves, at its pinned version, and a folder for what it writes; both go at the end."""
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(Path(scratch, "venv"), with_pip=True)
        programs = Path(scratch, "venv", "bin")
        subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", "--no-deps", UV], check=True)
        yield programs / "uv", Path(scratch)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    upgrade = asks_for_newest(argv, "python -m deploy.local.lock", "Writes the lock files.")
    with resolver() as (uv, scratch):
        everything = Path(scratch, "everything.txt")
        apart = {ROOT / "requirements-cpu.lock", ROOT / TOOLS_LOCK}
        pins = [] if upgrade else sorted(set(ROOT.glob("requirements*.lock")) - apart)
        kept = [requirement(block) for path in pins for block in blocks(path.read_text(encoding="utf-8"))]
        everything.write_text("\n".join(kept), encoding="utf-8")
        resolve(uv, EXTRAS, everything, ())

        fitting = (f"--constraints={everything}",)
        runtime = resolve(uv, (), Path(scratch, "runtime.txt"), fitting)
        plain = [block for block in runtime if not CUDA.match(block)]
        torch = f"torch=={TORCH} "
        locked = [with_hashes(block, CPU_WHEELS.values()) if block.startswith(torch) else block for block in plain]
        write(ROOT / "requirements.lock", "The project", locked)
        cpu = with_hashes(f"torch=={TORCH}+cpu", CPU_WHEELS.values())
        write(ROOT / "requirements-cpu.lock", "torch built for the CPU, to install first", [cpu])
        cuda = [block for block in runtime if CUDA.match(block)]
        write(ROOT / "requirements-cuda.lock", "CUDA for PyPI's torch, besides requirements.lock", cuda)
        for extra in EXTRAS:
            lock = resolve(uv, (extra,), Path(scratch, f"{extra}.txt"), fitting)
            added = [block for block in lock if block not in runtime]
            write(ROOT / f"requirements-{extra}.lock", f"The {extra} extra, besides requirements.lock", added)

        wanted, tools = Path(scratch, "tools.in"), Path(scratch, "tools.txt")
        wanted.write_text("\n".join(TOOLS), encoding="utf-8")
        if not upgrade and (ROOT / TOOLS_LOCK).is_file():
            tools.write_text((ROOT / TOOLS_LOCK).read_text(encoding="utf-8"), encoding="utf-8")
        found = resolve(uv, (), tools, (), str(wanted))
        write(ROOT / TOOLS_LOCK, "Programs of make sbom and make audit, for a virtual environment of their own", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
