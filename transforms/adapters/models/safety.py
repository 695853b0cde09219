"""What a checkpoint may not hold, found before anything of it is loaded: code, ways to code, and ways out of its directory.

The libraries guard themselves too, and were got round: `trust_remote_code=False` by CVE-2026-4372 and CVE-2026-5241, `weights_only` by
CVE-2025-32434; and transformers 5.23 unpickles a shard that the index of safetensors names. So the files are judged here, by rules that do
not follow what the libraries read.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError, safe_open

from transforms.logic.errors import ConfigurationError

# Vocabularies: large, and read by code that knows nothing else. Every other JSON file may be a configuration.
_VOCABULARIES = frozenset({"tokenizer.json", "vocab.json"})
_MAX_JSON_BYTES = 64 << 20
_CODE = frozenset({"auto_map", "custom_pipelines", "custom_generate"})
"""Names under which a configuration says which code of its own it wants."""
_SWITCHES = frozenset({"trust_remote_code", "allow_all_kernels", "use_kernels"})
"""Arguments of the libraries that a checkpoint must not turn on."""
_STEERING = frozenset(
    {
        *("_configuration_file", "configuration_files", "subfolder", "tokenizer_name_or_path", "offload_folder"),
        *("adapter_kwargs", "code_revision", "gguf_file", "kernel_config", "state_dict"),
    }
)
"""Arguments of the libraries that lead to other files, or to other code; the first three past the judgement of configurations here."""
_GUARDS = frozenset({"use_safetensors", "weights_only"})
"""Arguments of the libraries that a checkpoint must not turn off."""
_ACTIVATIONS = "torch.nn."


def check_safe(directory: Path, name: str) -> None:
    """Refuses a checkpoint whose files name code, or lead out of its directory, and one whose weights are not what their names say.

    Pickles beside weights in safetensors are left alone: nothing reads them.

    Args:
        directory: of the checkpoint, resolved.
        name: as the user named it.

    Raises:
        ConfigurationError: naming the file, what it holds and what to do.
    """
    for path in _files(directory, name):
        shown = path.relative_to(directory).as_posix()
        if path.name == "adapter_config.json":
            raise ConfigurationError(
                f"model {name!r} is an adapter of another model ({shown}); merge both once "
                "with merge_and_unload of peft, and name the result"
            )
        if path.suffix == ".json" and path.name not in _VOCABULARIES:
            _check_configuration(path, f"{shown} of model {name!r}")
        if path.suffix == ".safetensors":
            _check_weights(path)


def _files(directory: Path, name: str) -> Iterator[Path]:
    """Every file, in order; links that lead elsewhere are refused, but for those of the hub's cache to the blobs of its repository."""
    allowed = [directory]
    if directory.parent.name == "snapshots":
        allowed.append(directory.parent.parent / "blobs")
    for folder, folders, files in os.walk(directory):
        folders.sort()
        for one in sorted([*folders, *files]):
            path = Path(folder, one)
            if path.is_symlink() and not any(path.resolve().is_relative_to(place) for place in allowed):
                raise ConfigurationError(
                    f"model {name!r} leads out of its directory: {path.relative_to(directory).as_posix()} is a link to "
                    f"{str(path.readlink())!r}; "
                    "put the file itself there"
                )
            if path.is_file():
                yield path


def _check_configuration(path: Path, what: str) -> None:
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise ConfigurationError(
            f"{what} has more than {_MAX_JSON_BYTES >> 20} MiB, which no configuration needs; remove it"
        )
    try:
        content = json.loads(path.read_bytes())
    except RecursionError as error:
        raise ConfigurationError(f"{what} is nested too deep; fetch the checkpoint again") from error
    except (OSError, ValueError):
        # Whoever needs it says so; the libraries read no more of it than this.
        return
    for key, value in _pairs(content):
        if key in _CODE and value:
            raise ConfigurationError(
                f"{what} wants to run code of its own ({key}); only built-in architectures are loaded: if this is one, remove {key}"
            )
        if (key in _SWITCHES and value) or (key in _GUARDS and value is False) or (key in _STEERING and value):
            raise ConfigurationError(f"{what} sets {key}, which is not a checkpoint's to decide; remove it")
        if key.endswith("attn_implementation") and _names_a_place(value):
            raise ConfigurationError(f"{what} wants a kernel from elsewhere ({key} {value!r}); remove it")
        if (
            key == "activation_function"
            and isinstance(value, str)
            and "." in value
            and not value.startswith(_ACTIVATIONS)
        ):
            raise ConfigurationError(
                f"{what} names {value!r} as its {key}; only modules of {_ACTIVATIONS[:-1]} are loaded"
            )
        if key in {"transformers_weights", "weight_map"}:
            _check_shards(path, what, value)


def _check_shards(path: Path, what: str, named: Any) -> None:
    names = set(named.values()) if isinstance(named, dict) else {named}
    for one in sorted(map(str, names)):
        if (
            PurePosixPath(one).name != one
            or "\\" in one
            or not one.endswith((".safetensors", ".safetensors.index.json"))
        ):
            # The index of a pickled checkpoint beside one in safetensors is never read.
            if path.name.endswith(".bin.index.json"):
                continue
            raise ConfigurationError(
                f"{what} names {one!r} as weights; only .safetensors files of the same directory are loaded"
            )


def _check_weights(path: Path) -> None:
    try:
        # Reads the header alone: its length, its offsets, and whether they cover the file.
        with safe_open(path, "numpy") as weights:
            weights.keys()
    except (OSError, SafetensorError) as error:
        raise ConfigurationError(
            f"cannot read {str(path)!r} of the model: {error}; fetch the checkpoint again"
        ) from error


def _pairs(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    waiting = [content]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from one.items()
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _names_a_place(value: Any) -> bool:
    values = value.values() if isinstance(value, dict) else [value]
    return any(isinstance(one, str) and ("/" in one or ":" in one) for one in values)
