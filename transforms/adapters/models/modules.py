"""Which modules of sentence-transformers a checkpoint is made of, in order."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from transforms.adapters.models.files import read_json
from transforms.logic.errors import ConfigurationError

_TRACES = ("config_sentence_transformers.json", "sentence_bert_config.json", "1_Pooling")
"""What a checkpoint of sentence-transformers has that one of transformers alone has not: without `modules.json` it is incomplete."""


_BUILT_IN = frozenset(
    {
        "Asym",
        "CNN",
        "Dense",
        "Dropout",
        "HierarchicalTokenPooling",
        "LSTM",
        "LayerNorm",
        "MLMTransformer",
        "MultiVectorMask",
        "Normalize",
        "Pooling",
        "Router",
        "SparseAutoEncoder",
        "SparseStaticEmbedding",
        "SpladePooling",
        "StaticEmbedding",
        "Transformer",
        "WeightedLayerPooling",
    }
)
"""Modules of the library that read nothing but safetensors and JSON; those of words, such as `WordEmbeddings`, name other classes."""


class Module(NamedTuple):
    """A module: the name of its class, and the directory of its files."""

    kind: str
    path: Path


def read_modules(directory: Path, name: str) -> tuple[list[Module], list[Path]]:
    """The modules that a document passes, and the directories of all modules.

    A router is followed by the modules of its route for documents. A checkpoint of transformers alone, without `modules.json`, gets what
    the library gives it: its transformer and the mean of its hidden states.

    Raises:
        ConfigurationError: no module, or one with code of its own.
    """
    if not (directory / "modules.json").is_file():
        return _of_transformers(directory), [directory]
    try:
        listed = [(module["type"], directory / module["path"]) for module in read_json(directory / "modules.json")]
        _check_built_in((kind for kind, _ in listed), name)
        _check_inside((path for _, path in listed), directory, name)
        modules: list[Module] = []
        paths: list[Path] = []
        for kind, path in listed:
            modules.append(Module(_class_name(kind), path))
            paths.append(path)
            if _class_name(kind) == "Router":
                router = read_json(path / "router_config.json")
                types: Mapping[str, str] = router["types"]
                _check_built_in(types.values(), name)
                modules += [Module(_class_name(types[part]), path / part) for part in _document_route(router)]
                parts = [path / part for part in types]
                _check_inside(parts, directory, name)
                paths += parts
    except (AttributeError, KeyError, TypeError) as error:
        message = f"model {name!r} does not describe itself as sentence-transformers checkpoints do ({error!r}); fetch it again"
        raise ConfigurationError(message) from error
    if not modules:
        message = f"model {name!r} has no module in modules.json; fetch it again"
        raise ConfigurationError(message)
    return modules, paths


def _of_transformers(directory: Path) -> list[Module]:
    if not (directory / "config.json").is_file():
        message = f"model directory {str(directory)!r} has no config.json; name a checkpoint of sentence-transformers or transformers"
        raise ConfigurationError(message)
    traces = [name for name in _TRACES if (directory / name).exists()]
    if traces:
        message = f"model directory {str(directory)!r} has no modules.json, but {' and '.join(traces)}; fetch the checkpoint again"
        raise ConfigurationError(message)
    return [Module("Transformer", directory), Module("Pooling", Path())]


def _document_route(router: Mapping[str, Any]) -> list[str]:
    structure: Mapping[str, list[str]] = router["structure"]
    default = router.get("parameters", {}).get("default_route")
    return structure["document"] if "document" in structure else structure[default or next(iter(structure))]


def _check_built_in(kinds: Iterable[str], name: str) -> None:
    # The name of the class too: a module of the library has others, such as `pickle`, as its names.
    foreign = [
        kind for kind in kinds if not (kind.startswith("sentence_transformers.") and _class_name(kind) in _BUILT_IN)
    ]
    if foreign:
        message = f"model {name!r} wants to run code of its own ({', '.join(foreign)} in modules.json); only built-in modules are loaded"
        raise ConfigurationError(message)


def _check_inside(paths: Iterable[Path], directory: Path, name: str) -> None:
    for path in paths:
        if not path.resolve().is_relative_to(directory):
            message = f"model {name!r} leads out of its directory: {str(path)!r} is the path of a module; fetch the checkpoint again"
            raise ConfigurationError(message)


def _class_name(kind: str) -> str:
    return kind.rsplit(".", 1)[-1]
