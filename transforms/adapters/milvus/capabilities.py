"""Which vector fields a Milvus can hold, by the version that it states."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from transforms.logic.errors import ConfigurationError

_LITE = "milvus_lite-"
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")
_HELD_BY_LITE = frozenset({"float32", "sparse"})
_SINCE: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "float32": (2, 0, 0),
        "binary": (2, 0, 0),
        "float16": (2, 4, 0),
        "bfloat16": (2, 4, 0),
        "sparse": (2, 4, 0),
        "int8": (2, 6, 0),
        "multi": (2, 6, 4),
    }
)
"""The first version that holds a kind of field: a number type of the dense vector, `sparse`, or `multi` (array of struct with a vector)."""


def is_lite(version: str) -> bool:
    """Whether the version is that of Milvus Lite, which is no server."""
    return version.startswith(_LITE)


def held_by(version: str) -> frozenset[str]:
    """Kinds of fields, keys of the table above, that a server of this version holds.

    A version that is no number, as that of a server built from a branch, is taken for the newest: such a server refuses by itself.
    """
    if is_lite(version):
        return _HELD_BY_LITE
    found = _VERSION.match(version)
    if found is None:
        return frozenset(_SINCE)
    stated = tuple(int(part or 0) for part in found.groups())
    return frozenset(kind for kind, since in _SINCE.items() if since <= stated)


def check_held(version: str, kinds: Mapping[str, str]) -> None:
    """Refuses what this Milvus cannot hold.

    Args:
        version: what the server states.
        kinds: what the collection is to hold: the output, and the kind of field it needs.

    Raises:
        ConfigurationError: naming the output, the first version that holds it, and what to do.
    """
    held = held_by(version)
    for output, kind in kinds.items():
        if kind in held:
            continue
        others = [other for other, one in kinds.items() if one in held]
        remedies = (
            [f"--milvus-outputs {','.join(others)}, which keeps {output!r} in the dataset alone"] if others else []
        )
        if output == "dense":
            types = ", ".join(sorted(held - {"sparse", "multi"}))
            remedies.insert(0, f"a --vector-type that it holds ({types})")
        since = ".".join(str(part) for part in _SINCE[kind])
        field = f"vectors of type {kind}" if output == "dense" else f"the output {output!r}"
        raise ConfigurationError(
            f"{_name(version)} does not hold {field}, Milvus servers do from version {since} on; use "
            f"{', or '.join([*remedies, 'such a server'])}"
        )


def _name(version: str) -> str:
    return f"Milvus Lite {version.removeprefix(_LITE)}" if is_lite(version) else f"Milvus {version}"
