"""Files of a checkpoint: where they lie, whether they may be read, and their digest."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from transforms.adapters.models.heads import HEAD_FILES
from transforms.logic.errors import ConfigurationError

_DIGESTED = ("*.safetensors", "*.json", "*.txt", "*.model")
_NOT_DIGESTED = frozenset({"offline_model.json", *(name for names in HEAD_FILES.values() for name in names)})
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
# Under no other name does a library find weights in safetensors; where it finds none it takes a pickle.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def locate_model(name: str, revision: str | None) -> str:
    """The directory of a checkpoint: itself, or the hub snapshot of a pinned revision.

    Raises:
        ConfigurationError: no such directory, a hub name without a 40-digit revision, or a hub that does not answer.
    """
    if Path(name).is_dir():
        return str(Path(name).resolve())
    if revision is None or not _COMMIT.fullmatch(revision):
        message = (
            f"model {name!r} is not a directory here; name a sentence-transformers directory, or a hub model together with "
            f"--revision and its 40-digit commit (got {revision!r})"
        )
        raise ConfigurationError(message)
    wanted = [*_DIGESTED, *(file for files in HEAD_FILES.values() for file in files)]
    try:
        return str(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        message = f"model {name!r} at revision {revision} cannot be fetched: {error}; check the name, the revision and the network"
        raise ConfigurationError(message) from error


def check_weights(directory: Path, name: str, module_paths: Iterable[Path]) -> None:
    """Refuses a checkpoint, or a module of one, whose weights are only to be had by unpickling."""
    if not list(directory.rglob("*.safetensors")):
        pickles = _pickles(directory.rglob)
        found = f"only {', '.join(pickles)}, which can run code" if pickles else "no weights at all"
        message = (
            f"model directory {str(directory)!r} holds {found}; weights in safetensors are needed: name a revision that has them, or "
            "convert the checkpoint once with save_pretrained of sentence-transformers, where you trust it"
        )
        raise ConfigurationError(message)
    for path in module_paths:
        pickles = _pickles(path.glob)
        if pickles and not any((path / weights).is_file() for weights in _WEIGHTS):
            message = f"{str(path)!r} of model {name!r} holds only {', '.join(pickles)}, which can run code; safetensors are needed"
            raise ConfigurationError(message)


def file_digests(directory: Path) -> dict[str, str]:
    """SHA-256 of every file that decides a dense vector, hexadecimal, by path below the directory, in order."""
    found: dict[str, str] = {}
    for path in sorted({path for pattern in _DIGESTED for path in directory.rglob(pattern)}):
        if path.name in _NOT_DIGESTED or not path.is_file():
            continue
        found[str(path.relative_to(directory))] = file_digest(path)
    return found


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_files(digests: Mapping[str, str]) -> str:
    """SHA-256 over names and contents of the files with these digests, which are in order."""
    total = hashlib.sha256()
    for name, digest in digests.items():
        total.update(name.encode() + b"\0" + bytes.fromhex(digest))
    return total.hexdigest()


def read_json(path: Path) -> Any:
    """The content of a file that must be there."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, RecursionError, ValueError) as error:
        message = f"cannot read {str(path)!r} of the model: {error}; fetch the checkpoint again"
        raise ConfigurationError(message) from error


def _pickles(glob: Callable[[str], Iterable[Path]]) -> list[str]:
    return sorted(path.name for pattern in _PICKLES for path in glob(pattern))
