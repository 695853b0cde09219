"""What each Milvus can do, by the version that it states: one table, from which everything else is read.

Sources: the release notes and user guides of milvus.io (2.3 to 3.0) and docs.zilliz.com, and what was run here: Milvus Lite 3.2.2 and
Milvus 2.3.5. Only kinds of vectors, index types and facts that decide something are listed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from transforms.logic.errors import ConfigurationError

Version = tuple[int, int, int]
BulkImport = Literal["none", "gRPC", "REST"]
_LITE = "milvus_lite-"
_ZILLIZ = re.compile(r"zilliz", re.IGNORECASE)
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")
_NEWEST: Version = (999, 0, 0)
_MIB = 1 << 20


@dataclass(frozen=True)
class Feature:
    """Something that a server has from a version on.

    Attributes:
        since: the first version of a server that has it.
        lite: whether Milvus Lite has it.
        zilliz: whether Zilliz Cloud has it, where it is compatible with such a version.
        not_in: versions from the first up to the second that lack it all the same.
    """

    since: Version
    lite: bool = False
    zilliz: bool = True
    not_in: tuple[Version, Version] | None = None


VECTORS: Mapping[str, Feature] = MappingProxyType(
    {
        "float32": Feature((2, 0, 0), lite=True),
        "binary": Feature((2, 0, 0)),
        "float16": Feature((2, 4, 0)),
        "bfloat16": Feature((2, 4, 0)),
        "sparse": Feature((2, 4, 0), lite=True),
        "int8": Feature((2, 6, 0)),
        "multi": Feature((2, 6, 4)),
    }
)
"""Kinds of vector fields: a number type of the dense vector, `sparse`, or `multi` (an array of structs with a vector)."""

INDEXES: Mapping[str, Feature] = MappingProxyType(
    {
        "AUTOINDEX": Feature((2, 2, 0), lite=True),
        "FLAT": Feature((2, 0, 0), lite=True, zilliz=False),
        "IVF_FLAT": Feature((2, 0, 0), lite=True, zilliz=False),
        "IVF_SQ8": Feature((2, 0, 0), lite=True, zilliz=False),
        "IVF_RABITQ": Feature((2, 6, 0), zilliz=False),
        "HNSW": Feature((2, 0, 0), lite=True, zilliz=False),
        "HNSW_SQ": Feature((2, 5, 0), lite=True, zilliz=False),
        "SCANN": Feature((2, 3, 0), zilliz=False),
        "DISKANN": Feature((2, 2, 0), zilliz=False),
        "BIN_FLAT": Feature((2, 0, 0), zilliz=False),
        "BIN_IVF_FLAT": Feature((2, 0, 0), zilliz=False),
        "SPARSE_INVERTED_INDEX": Feature((2, 4, 0), lite=True, zilliz=False),
    }
)
"""Index types of vector fields. Zilliz Cloud builds its own, whatever it is asked for."""

ABILITIES: Mapping[str, Feature] = MappingProxyType(
    {
        "aliases": Feature((2, 0, 0), lite=True),
        "filter templates": Feature((2, 5, 0)),
        "grouping": Feature((2, 4, 0)),
        "idempotency key": Feature((2, 6, 24), zilliz=False, not_in=((3, 0, 0), (3, 0, 2))),
    }
)
"""What else is asked: aliases; filter values beside the expression; a search that gives the best chunk of each document; a key with which
a repeated import request is the same job."""


@dataclass(frozen=True)
class Capabilities:
    """What one Milvus can do.

    A version that is no number, as that of a server built from a branch, is taken for the newest: such a server refuses by itself.

    Attributes:
        name: as a person calls it.
        kind: Milvus Lite, a server, or Zilliz Cloud.
        version: of the server, or that with which Zilliz Cloud is compatible.
    """

    name: str
    kind: Literal["lite", "server", "zilliz"]
    version: Version

    def has(self, feature: Feature) -> bool:
        """Whether it has a feature."""
        if self.kind == "lite":
            return feature.lite
        if self.kind == "zilliz" and not feature.zilliz:
            return False
        lacking = feature.not_in is not None and feature.not_in[0] <= self.version < feature.not_in[1]
        return feature.since <= self.version and not lacking

    @cached_property
    def vectors(self) -> frozenset[str]:
        """Kinds of vector fields that it holds."""
        return frozenset(kind for kind, feature in VECTORS.items() if self.has(feature))

    @cached_property
    def indexes(self) -> frozenset[str]:
        """Index types that it builds."""
        return frozenset(name for name, feature in INDEXES.items() if self.has(feature))

    def can(self, ability: str) -> bool:
        """Whether it has one of `ABILITIES`."""
        return self.has(ABILITIES[ability])

    @property
    def bulk_import(self) -> BulkImport:
        """How files are imported."""
        if self.kind == "lite":
            return "none"
        return "REST" if self.version >= (2, 4, 0) else "gRPC"

    @property
    def most_partitions(self) -> int | None:
        """Partitions that a collection has at most, by default; None where none is known."""
        if self.kind == "lite":
            return None
        return 1024 if self.version >= (2, 4, 0) else 4096

    @property
    def message_bytes(self) -> int:
        """The largest request that it takes."""
        return 256 * _MIB if self.kind == "lite" else 64 * _MIB

    def check_index(self, name: str) -> None:
        """Refuses an index type that it does not build, naming the version that does: `ConfigurationError`."""
        if name in self.indexes:
            return
        allowed = ", ".join(one for one in INDEXES if one in self.indexes)
        if self.kind == "zilliz":
            raise ConfigurationError(
                f"--index {name}: {self.name} builds an index of its own; leave --index out, or choose AUTOINDEX"
            )
        raise ConfigurationError(
            f"--index {name}: {self.name} does not build it, Milvus servers do from version {_text(INDEXES[name].since)} on; "
            f"choose of {allowed}, or use such a server"
        )


def capabilities_of(version: str) -> Capabilities:
    """What the Milvus can do that states this version."""
    found = _VERSION.search(version) if _ZILLIZ.search(version) else _VERSION.match(version)
    numbers = [int(part or 0) for part in found.groups()] if found else list(_NEWEST)
    stated: Version = (numbers[0], numbers[1], numbers[2])
    if version.startswith(_LITE):
        return Capabilities(f"Milvus Lite {version.removeprefix(_LITE)}", "lite", _NEWEST)
    if _ZILLIZ.search(version):
        return Capabilities("Zilliz Cloud", "zilliz", stated)
    return Capabilities(f"Milvus {version}", "server", stated)


def held_by(version: str) -> frozenset[str]:
    """Kinds of vector fields, keys of `VECTORS`, that a server of this version holds."""
    return capabilities_of(version).vectors


def check_held(version: str, kinds: Mapping[str, str]) -> None:
    """Refuses what this Milvus cannot hold.

    Args:
        version: what the server states.
        kinds: what the collection is to hold: the output, and the kind of field it needs.

    Raises:
        ConfigurationError: naming the output, the first version that holds it, and what to do.
    """
    there = capabilities_of(version)
    held = there.vectors
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
        field = f"vectors of type {kind}" if output == "dense" else f"the output {output!r}"
        raise ConfigurationError(
            f"{there.name} does not hold {field}, Milvus servers do from version {_text(VECTORS[kind].since)} on; use "
            f"{', or '.join([*remedies, 'such a server'])}"
        )


_SERIES: tuple[Version, ...] = ((2, 3, 0), (2, 4, 0), (2, 5, 0), (2, 6, 0), (3, 0, 0))
_LAST = 999
_NOTHING = "-"
_Series = tuple[str, Capabilities, Capabilities]


def capability_table(version: str | None = None) -> str:
    """The table as Markdown: of the Milvus that states this version, or without one of all that are known.

    A cell says `yes`, `-`, or the version within the series from which on it is so.
    """
    columns = list(_columns()) if version is None else [_alone(capabilities_of(version))]
    lines = [["Milvus", *(name for name, _, _ in columns)], ["---"] * (len(columns) + 1)]
    for features in (VECTORS, INDEXES, ABILITIES):
        lines += [[name, *(_cell(feature, *column[1:]) for column in columns)] for name, feature in features.items()]
    lines.append(["bulk import", *(one.bulk_import for _, one, _ in columns)])
    lines.append(
        [
            "partitions of a collection",
            *(_NOTHING if one.most_partitions is None else f"{one.most_partitions:,}" for _, one, _ in columns),
        ]
    )
    lines.append(["largest request", *(f"{one.message_bytes // _MIB} MiB" for _, one, _ in columns)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _columns() -> Iterator[_Series]:
    yield "Lite", *_alone(capabilities_of(f"{_LITE}3"))[1:]
    for first in _SERIES:
        name = f"{first[0]}.{first[1]}"
        last = (first[0], first[1], _LAST)
        yield name, Capabilities(name, "server", first), Capabilities(name, "server", last)
    cloud = Capabilities("Zilliz Cloud", "zilliz", (2, 6, _LAST))
    yield cloud.name, cloud, cloud


def _alone(one: Capabilities) -> _Series:
    return one.name, one, one


def _cell(feature: Feature, first: Capabilities, last: Capabilities) -> str:
    if first.has(feature):
        return "yes"
    if not last.has(feature):
        return _NOTHING
    since = feature.since if feature.not_in is None or last.version < feature.not_in[0] else feature.not_in[1]
    return f"from {_text(since)}"


def _text(version: Version) -> str:
    return ".".join(str(part) for part in version)
