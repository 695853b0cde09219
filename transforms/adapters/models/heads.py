"""The linear layers that BGE-M3 keeps beside its checkpoint: one for weights of tokens, one for vectors of tokens.

They are published as torch's `.pt` files, which are pickles. They are read here without torch and without running anything: of all that a
pickle may name, only dictionaries, tensors and their storages are known. A `.safetensors` of the same name goes first.
"""

import hashlib
import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError, deserialize

from transforms.logic.errors import ConfigurationError
from transforms.logic.outputs import Output
from transforms.logic.vectors import Float32

HEAD_FILES: Mapping[Output, tuple[str, str]] = {
    "sparse": ("sparse_linear.safetensors", "sparse_linear.pt"),
    "multi": ("colbert_linear.safetensors", "colbert_linear.pt"),
}
"""Names of each head's file; the first that is there counts."""

_NUMBER_TYPES: Mapping[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype("<u2"),
}
_UNREADABLE = (
    *(AttributeError, EOFError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError),
    *(SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile),
)


@dataclass(frozen=True)
class Head:
    """A linear layer on the hidden state of every token.

    Attributes:
        path: its file.
        dimensions: how many numbers it makes of a token: 1 for weights.
        digest: SHA-256 of the file.
    """

    path: str
    dimensions: int
    digest: str


def find_heads(directory: Path, hidden_size: int) -> dict[Output, Head]:
    """The heads that lie beside a checkpoint, each read and checked.

    Raises:
        ConfigurationError: a file that holds no layer for hidden states of this size.
    """
    found: dict[Output, Head] = {}
    for output, names in HEAD_FILES.items():
        path = next((directory / name for name in names if (directory / name).is_file()), None)
        if path is None:
            continue
        dimensions = len(read_linear(path, hidden_size)[0])
        if output == "sparse" and dimensions != 1:
            message = f"{str(path)!r} of the model makes {dimensions} numbers of a token, and a weight is 1; fetch the checkpoint again"
            raise ConfigurationError(message)
        found[output] = Head(str(path), dimensions, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def read_linear(path: Path, hidden_size: int) -> tuple[Float32, Float32]:
    """Weight, shape (dimensions, hidden size), and bias, shape (dimensions,), of a linear layer, as float32.

    Raises:
        ConfigurationError: the file holds anything else.
    """
    try:
        tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
    except _UNREADABLE as error:
        message = f"cannot read {str(path)!r} of the model ({error}); fetch the checkpoint again"
        raise ConfigurationError(message) from error
    dimensions = (*shapes.get("weight", ()), 0)[0]
    if dimensions == 0 or shapes != {"weight": (dimensions, hidden_size), "bias": (dimensions,)}:
        message = (
            f"{str(path)!r} of the model holds {shapes}, not a weight of shape (dimensions, {hidden_size}) and a bias of shape "
            "(dimensions,); fetch the checkpoint again"
        )
        raise ConfigurationError(message)
    return tensors["weight"], tensors["bias"]


def _read_safetensors(path: Path) -> dict[str, Float32]:
    return {
        name: _numbers(content["data"], content["dtype"], content["shape"])
        for name, content in deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    }


def _read_torch(path: Path) -> dict[str, Float32]:
    """A state dictionary as `torch.save` writes it since 1.6: a zip of a pickle and of the storages that it names."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        root = name.removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("big-endian numbers")
        state = _StateReader(archive.read(name), lambda key: archive.read(f"{root}data/{key}")).load()
        return dict(cast("Mapping[str, Float32]", state))


class _StateReader(pickle.Unpickler):
    """Knows nothing that runs: every other name than those of `find_class` is refused."""

    def __init__(self, content: bytes, read_storage: Callable[[str], bytes]) -> None:
        super().__init__(io.BytesIO(content))
        self._read_storage = read_storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _NUMBER_TYPES:
            return name
        message = f"it names {module}.{name}, which no linear layer needs"
        raise pickle.UnpicklingError(message)

    def persistent_load(self, pid: Any) -> tuple[str, bytes]:
        _, number_type, key, *_ = pid
        return str(number_type), self._read_storage(str(key))


def _rebuild_tensor(
    storage: tuple[str, bytes], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> Float32:
    number_type, content = storage
    row_major = (math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    if any(stride != usual for stride, usual, length in zip(strides, row_major, shape, strict=True) if length > 1):
        raise ValueError("a tensor that is not contiguous")
    size = _NUMBER_TYPES[number_type].itemsize
    return _numbers(content[offset * size : (offset + math.prod(shape)) * size], number_type, shape)


def _numbers(content: bytes, number_type: str, shape: tuple[int, ...] | list[int]) -> Float32:
    stored = np.frombuffer(content, _NUMBER_TYPES[number_type])
    # The bits of a bfloat16 are the upper half of a float32's.
    wide = (stored.astype("<u4") << 16).view("<f4") if stored.dtype == np.dtype("<u2") else stored.astype(np.float32)
    return cast("Float32", wide.reshape(shape))
