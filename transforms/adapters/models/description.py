"""What a checkpoint says about itself in its files, read without loading it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from transforms.adapters.models.files import (
    check_weights,
    digest_files,
    file_digest,
    file_digests,
    locate_model,
    read_json,
)
from transforms.adapters.models.heads import Head, find_heads
from transforms.adapters.models.modules import Module, read_modules
from transforms.adapters.models.safety import check_safe
from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import fingerprint
from transforms.logic.outputs import OUTPUTS, Output

Kind = Literal["SentenceTransformer", "SparseEncoder", "MultiVectorEncoder"]

_OUTPUTS: Mapping[Kind, Output] = {
    "SentenceTransformer": "dense",
    "SparseEncoder": "sparse",
    "MultiVectorEncoder": "multi",
}
_DESCRIBED: set[tuple[str, str]] = set()
"""Directories whose files this process has read, with the fingerprint of their digests."""
_POOLING_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
_UNLIMITED_TOKENS = 2**31 - 1
# They count positions from padding_idx + 1, so two of their position embeddings can never be used.
_RESERVES_POSITIONS = frozenset({"xlm-roberta", "xlm-roberta-xl", "roberta", "camembert", "mpnet", "longformer"})


@dataclass(frozen=True)
class ModelDescription:
    """A checkpoint on disk.

    Attributes:
        directory: where it lies.
        name: as the user named it: a hub name or a directory.
        revision: the hub commit, 40 hexadecimal characters; None for a directory.
        kind: the class of sentence-transformers that loads it.
        model_type: architecture family of transformers, such as `bert` or `xlm-roberta`; `static` for a table of embeddings.
        outputs: what it can make of a chunk, in the order of `OUTPUTS`.
        dimensions: length of its dense vectors; 0 where it has none.
        multi_dimensions: length of its vectors of tokens; 0 where it has none.
        hidden_size: length of the hidden states that the heads read; 0 for a table of embeddings.
        max_sequence_tokens: the most tokens it reads at once, prompt and special tokens included; 2^31 - 1 where nothing limits it.
        modules: names of its sentence-transformers modules in order; those for documents, after `Router`, where queries have others.
        pooling: `mean`, `cls`, or another way that only the model's own forward pass knows.
        prompts: by name; e5 has `query` and `document`.
        files_digest: SHA-256 over the files that decide a dense vector, or the only output of a model without dense vectors.
        tokenizer_directory: where its `tokenizer.json` lies: `directory`, or a folder of it.
        heads: BGE-M3's layers for the other outputs of a model with dense vectors.
        files: SHA-256 of every file that decides an output, hexadecimal, by path below the directory.
    """

    directory: str
    name: str
    revision: str | None
    kind: Kind
    model_type: str
    outputs: tuple[Output, ...]
    dimensions: int
    multi_dimensions: int
    hidden_size: int
    max_sequence_tokens: int
    modules: tuple[str, ...]
    pooling: str
    prompts: Mapping[str, str] = field(hash=False)
    files_digest: str
    tokenizer_directory: str
    heads: Mapping[Output, Head] = field(hash=False)
    files: Mapping[str, str] = field(hash=False)

    @property
    def normalises(self) -> bool:
        """Whether its dense vectors come out with unit length."""
        return "Normalize" in self.modules

    def embedding_space(self, prompt: str, dtype: str, outputs: tuple[Output, ...] = ("dense",)) -> str:
        """Fingerprint, 32 hexadecimal characters, of all that decides the outputs; path on disk and device do not.

        A space of dense vectors alone does not know of heads, so that they may be fetched later, or never.
        """
        description: dict[str, Any] = {
            "files": self.files_digest,
            "pooling": self.pooling,
            "prompt": prompt,
            "max_sequence_tokens": self.max_sequence_tokens,
            "normalised": True,
            "dtype": dtype,
        }
        if outputs != ("dense",):
            description["outputs"] = list(outputs)
            description["heads"] = {output: head.digest for output, head in self.heads.items() if output in outputs}
        return fingerprint(description)


def describe_model(name: str, revision: str | None = None) -> ModelDescription:
    """Reads a checkpoint's own description.

    Raises:
        ConfigurationError: something is missing, is forbidden (pickled weights, code of its own), or describes nothing.
    """
    directory = Path(locate_model(name, revision)).resolve()
    check_safe(directory, name)
    modules, all_paths = read_modules(directory, name)
    home = _home(directory, modules)
    check_weights(directory, name, all_paths)
    try:
        kind = _kind(directory, name)
        config = _config(modules)
        hidden_size = int(config.get("hidden_size") or config.get("dim") or config.get("d_model") or 0)
        dimensions, multi_dimensions, pooling = _shape(kind, modules, hidden_size)
        heads = find_heads(directory, hidden_size) if kind == "SentenceTransformer" and hidden_size else {}
        if "multi" in heads:
            multi_dimensions = heads["multi"].dimensions
        digests = file_digests(directory)
        described = ModelDescription(
            directory=str(directory),
            name=name,
            revision=revision,
            kind=kind,
            model_type=config["model_type"],
            outputs=tuple(output for output in OUTPUTS if output == _OUTPUTS[kind] or output in heads),
            dimensions=dimensions,
            multi_dimensions=multi_dimensions,
            hidden_size=hidden_size,
            max_sequence_tokens=_max_sequence_tokens(home, config),
            modules=tuple(module.kind for module in modules),
            pooling=pooling,
            prompts=_prompts(directory),
            files_digest=digest_files(digests),
            tokenizer_directory=str(home),
            heads=heads,
            files={**digests, **{Path(head.path).name: head.digest for head in heads.values()}},
        )
        _DESCRIBED.add((described.directory, fingerprint(dict(described.files))))
    except (AttributeError, KeyError, TypeError) as error:
        message = f"model {name!r} does not describe itself as sentence-transformers checkpoints do ({error!r}); fetch it again"
        raise ConfigurationError(message) from error
    return described


def check_unchanged(model: ModelDescription) -> None:
    """Whether the files are those that were described, perhaps on another machine: a worker may have its own copy of the directory.

    A process that described them itself does not read them again.

    Raises:
        ConfigurationError: a file differs, is missing or is new, or is one that no checkpoint may hold.
    """
    if (model.directory, fingerprint(dict(model.files))) in _DESCRIBED:
        return
    directory = Path(model.directory)
    check_safe(directory, model.name)
    heads = [Path(head.path) for head in model.heads.values()]
    found = {**file_digests(directory), **{path.name: file_digest(path) for path in heads if path.is_file()}}
    differing = sorted(name for name in {*found, *model.files} if found.get(name) != model.files.get(name))
    if differing:
        raise ConfigurationError(
            f"model directory {model.directory!r} is not as it was when the run was planned: {', '.join(differing)} differ; "
            "let workers have the same files as the machine that launches the run"
        )


def check_outputs(model: ModelDescription, outputs: Sequence[Output]) -> None:
    """Raises `ConfigurationError` where a model cannot make one of the outputs."""
    missing = [output for output in outputs if output not in model.outputs]
    if missing:
        message = (
            f"--outputs {' '.join(outputs)}: model {model.name!r} makes no {' and no '.join(missing)} output; choose among "
            f"{', '.join(model.outputs)}, or name a model that makes it, such as BGE-M3 with sparse_linear.pt and colbert_linear.pt"
        )
        raise ConfigurationError(message)


def unweighted_ids(model: ModelDescription) -> npt.NDArray[np.int64]:
    """Ids that are no words: those of the CLS, end, padding and unknown token, shape (ids,), ascending.

    The tokens are those that the tokenizer's files name, or XLM-R's, which its files need not name.
    """
    home = Path(model.tokenizer_directory)
    named: dict[str, Any] = {"cls_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        given = read_json(home / file) if (home / file).exists() else {}
        named |= {role: given[role] for role in named if given.get(role)}
    wanted = {token["content"] if isinstance(token, dict) else token for token in named.values()}
    added = read_json(home / "tokenizer.json").get("added_tokens", [])
    return np.array(sorted(token["id"] for token in added if token["content"] in wanted), np.int64)


def _kind(directory: Path, name: str) -> Kind:
    path = directory / "config_sentence_transformers.json"
    given = read_json(path).get("model_type") if path.exists() else None
    kind = given or "SentenceTransformer"
    if kind not in _OUTPUTS:
        message = f"model {name!r} is a {kind}, which makes no vectors of a kind known here ({', '.join(_OUTPUTS)})"
        raise ConfigurationError(message)
    return cast("Kind", kind)


def _home(directory: Path, modules: Sequence[Module]) -> Path:
    """The directory of the module that reads text: where its tokenizer and its configuration lie."""
    home = next((module.path for module in modules if (module.path / "tokenizer.json").is_file()), None)
    if home is None:
        message = f"model directory {str(directory)!r} has no tokenizer.json; name a sentence-transformers checkpoint with a fast tokenizer"
        raise ConfigurationError(message)
    return home


def _config(modules: Sequence[Module]) -> Mapping[str, Any]:
    path = next((module.path for module in modules if module.kind in {"Transformer", "MLMTransformer"}), None)
    if path is None:
        return {"model_type": "static"}
    if not (path / "config.json").is_file():
        message = f"model directory {str(path)!r} has no config.json; fetch the checkpoint again"
        raise ConfigurationError(message)
    config: Mapping[str, Any] = read_json(path / "config.json")
    return config


def _shape(kind: Kind, modules: Sequence[Module], hidden_size: int) -> tuple[int, int, str]:
    """Length of dense vectors, length of vectors of tokens, and the way of pooling."""
    layers = [read_json(module.path / "config.json") for module in modules if module.kind == "Dense"]
    if kind == "SparseEncoder":
        return 0, 0, "none"
    if kind == "MultiVectorEncoder":
        of_tokens = [layer for layer in layers if layer.get("module_input_name") == "token_embeddings"]
        return 0, int(of_tokens[-1]["out_features"] if of_tokens else hidden_size), "none"
    pooling, pooled = _pooling(modules)
    table = [module.path for module in modules if module.kind == "StaticEmbedding"]
    width = layers[-1]["out_features"] if layers else pooled or (table and _table_width(table[-1])) or hidden_size
    return int(width), 0, pooling


def _pooling(modules: Sequence[Module]) -> tuple[str, int | None]:
    """The way of pooling, several modes joined by `+`, and how many numbers it gives."""
    path = next((module.path for module in reversed(modules) if module.kind == "Pooling"), None)
    if path is None:
        return "none", None
    # A checkpoint of transformers alone says nothing about pooling: the library then takes the mean.
    config = read_json(path / "config.json") if path.name else {}
    modes = config.get("pooling_mode") or sorted(
        key for key, value in config.items() if key.startswith("pooling_mode_") and value
    )
    modes = [modes] if isinstance(modes, str) else modes or ["mean"]
    width = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    way = "+".join(_POOLING_MODES.get(mode, mode) for mode in modes)
    return way if config.get("include_prompt", True) else f"{way} without prompt", width and width * len(modes)


def _table_width(path: Path) -> int:
    try:
        with safe_open(path / "model.safetensors", "numpy") as weights:
            return int(weights.get_slice(next(iter(weights.keys()))).get_shape()[-1])
    except (OSError, SafetensorError, StopIteration) as error:
        message = f"cannot read {str(path / 'model.safetensors')!r} of the model: {error}; fetch the checkpoint again"
        raise ConfigurationError(message) from error


def _prompts(directory: Path) -> dict[str, str]:
    path = directory / "config_sentence_transformers.json"
    prompts = read_json(path).get("prompts", {}) if path.exists() else {}
    return {name: prompt for name, prompt in prompts.items() if prompt}


def _max_sequence_tokens(home: Path, config: Mapping[str, Any]) -> int:
    if config["model_type"] == "static":
        return _UNLIMITED_TOKENS
    # sentence-transformers cuts a text at the first of these limits that is given.
    limits = (
        ("sentence_bert_config.json", "document_length"),
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    )
    given = (read_json(home / file).get(key) for file, key in limits if (home / file).exists())
    limit = next(filter(None, given), None)
    reserved = 2 if config["model_type"] in _RESERVES_POSITIONS else 0
    # T5 and others with relative positions name no number of them.
    positions = config.get("max_position_embeddings", limit or 512) - reserved
    return int(min(limit or positions, positions))
