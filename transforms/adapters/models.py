"""What a sentence-transformers checkpoint says about itself in its files, read without loading it.

Cheap enough to run before anything is paid for: dimensions, limits, pooling, prompts, and the digest that makes the embedding
space. Safetensors only: a pickle can run code when it is read.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import fingerprint

_DIGESTED = ("*.safetensors", "*.json", "*.txt", "*.model")
_NOT_DIGESTED = frozenset({"offline_model.json"})
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_POOLING_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class ModelDescription:
    """A checkpoint on disk.

    Attributes:
        directory: where it lies.
        name: as the user named it: a hub name or a directory.
        revision: the hub commit, 40 hexadecimal characters; None for a directory.
        model_type: architecture family of transformers, such as `bert` or `xlm-roberta`.
        dimensions: length of its vectors.
        max_sequence_tokens: the most tokens it reads at once, prompt and special tokens included.
        modules: names of its sentence-transformers modules in order.
        pooling: `mean`, `cls`, or another way that only the model's own forward pass knows.
        prompts: by name; e5 has `query` and `document`.
        files_digest: SHA-256 over the files that decide a vector.
    """

    directory: str
    name: str
    revision: str | None
    model_type: str
    dimensions: int
    max_sequence_tokens: int
    modules: tuple[str, ...]
    pooling: str
    prompts: Mapping[str, str] = field(hash=False)
    files_digest: str

    @property
    def normalises(self) -> bool:
        """Whether its vectors come out with unit length."""
        return "Normalize" in self.modules

    def embedding_space(self, prompt: str, dtype: str) -> str:
        """Fingerprint, 32 hexadecimal characters, of all that decides a vector; the path on disk does not."""
        return fingerprint(
            {
                "files": self.files_digest,
                "pooling": self.pooling,
                "prompt": prompt,
                "max_sequence_tokens": self.max_sequence_tokens,
                "normalised": True,
                "dtype": dtype,
            }
        )


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
    try:
        return str(snapshot_download(name, revision=revision, allow_patterns=[*_DIGESTED, "*/config.json"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        message = f"model {name!r} at revision {revision} cannot be fetched: {error}; check the name, the revision and the network"
        raise ConfigurationError(message) from error


def describe_model(name: str, revision: str | None = None) -> ModelDescription:
    """Reads a checkpoint's own description; what is missing or forbidden raises `ConfigurationError`."""
    directory = Path(locate_model(name, revision))
    _check_files(directory)
    try:
        config = _config(directory, name)
        kinds, paths = _modules(directory, name)
        pooling, pooled = _pooling(paths.get("Pooling"))
        dense = _json(paths["Dense"] / "config.json")["out_features"] if "Dense" in paths else None
        return ModelDescription(
            directory=str(directory),
            name=name,
            revision=revision,
            model_type=config["model_type"],
            dimensions=int(dense or pooled or config["hidden_size"]),
            max_sequence_tokens=_max_sequence_tokens(directory, config),
            modules=kinds,
            pooling=pooling,
            prompts=_prompts(directory),
            files_digest=_digest(directory),
        )
    except (AttributeError, KeyError, TypeError) as error:
        message = f"model {name!r} does not describe itself as sentence-transformers checkpoints do ({error!r}); fetch it again"
        raise ConfigurationError(message) from error


def _config(directory: Path, name: str) -> Mapping[str, Any]:
    config: Mapping[str, Any] = _json(directory / "config.json")
    if "auto_map" in config:
        message = f"model {name!r} wants to run code of its own (auto_map in config.json); only built-in architectures are loaded"
        raise ConfigurationError(message)
    return config


def _modules(directory: Path, name: str) -> tuple[tuple[str, ...], dict[str, Path]]:
    """Kinds of the modules in order, and where each lies; the last one of a kind that comes twice."""
    modules = _json(directory / "modules.json")
    if not modules:
        message = f"model {name!r} has no module in modules.json; fetch it again"
        raise ConfigurationError(message)
    foreign = [module["type"] for module in modules if not module["type"].startswith("sentence_transformers.")]
    if foreign:
        message = f"model {name!r} wants to run code of its own ({', '.join(foreign)} in modules.json); only built-in modules are loaded"
        raise ConfigurationError(message)
    kinds = tuple(module["type"].rsplit(".", 1)[-1] for module in modules)
    paths = [directory / module["path"] for module in modules]
    for path in paths:
        pickles = _pickles(path.glob)
        if pickles and not list(path.glob("*.safetensors")):
            message = f"{str(path)!r} of model {name!r} holds only {', '.join(pickles)}, which can run code; safetensors are needed"
            raise ConfigurationError(message)
    return kinds, dict(zip(kinds, paths, strict=True))


def _prompts(directory: Path) -> dict[str, str]:
    path = directory / "config_sentence_transformers.json"
    prompts = _json(path).get("prompts", {}) if path.exists() else {}
    return {name: prompt for name, prompt in prompts.items() if prompt}


def _check_files(directory: Path) -> None:
    for needed in ("config.json", "modules.json", "tokenizer.json"):
        if not (directory / needed).is_file():
            message = f"model directory {str(directory)!r} has no {needed}; name a sentence-transformers checkpoint with a fast tokenizer"
            raise ConfigurationError(message)
    if not list(directory.rglob("*.safetensors")):
        pickles = _pickles(directory.rglob)
        found = f"only {', '.join(pickles)}, which can run code" if pickles else "no weights at all"
        message = f"model directory {str(directory)!r} holds {found}; weights in safetensors are needed"
        raise ConfigurationError(message)


def _pickles(glob: Callable[[str], Iterable[Path]]) -> list[str]:
    return sorted(path.name for pattern in _PICKLES for path in glob(pattern))


def _max_sequence_tokens(directory: Path, config: Mapping[str, Any]) -> int:
    # sentence-transformers cuts a text at the first of these limits that is given.
    limits = (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length"))
    given = (_json(directory / file).get(key) for file, key in limits if (directory / file).exists())
    limit = next(filter(None, given), None)
    # XLM-R counts positions from padding_idx + 1, so two of its position embeddings can never be used.
    reserved = 2 if config["model_type"] in {"xlm-roberta", "roberta"} else 0
    positions = config.get("max_position_embeddings", 512) - reserved
    return int(min(limit or positions, positions))


def _pooling(path: Path | None) -> tuple[str, int | None]:
    """The way of pooling, several modes joined by `+`, and how many numbers it gives."""
    if path is None:
        return "none", None
    config = _json(path / "config.json")
    modes = config.get("pooling_mode") or sorted(
        key for key, value in config.items() if key.startswith("pooling_mode_") and value
    )
    modes = [modes] if isinstance(modes, str) else modes or ["mean"]
    width = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    way = "+".join(_POOLING_MODES.get(mode, mode) for mode in modes)
    return way if config.get("include_prompt", True) else f"{way} without prompt", width and width * len(modes)


def _digest(directory: Path) -> str:
    total = hashlib.sha256()
    for path in sorted({path for pattern in _DIGESTED for path in directory.rglob(pattern)}):
        if path.name in _NOT_DIGESTED:
            continue
        with path.open("rb") as stream:
            file_digest = hashlib.file_digest(stream, "sha256").digest()
        total.update(str(path.relative_to(directory)).encode() + b"\0" + file_digest)
    return total.hexdigest()


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        message = f"cannot read {str(path)!r} of the model: {error}; fetch the checkpoint again"
        raise ConfigurationError(message) from error
