"""The index over the dense vectors: which there are, which one is taken, and how it is searched.

Milvus Lite takes any type at creation and fails when there is enough to index, so types and parameters are checked here.
Parameters and their bounds are those of milvus.io/docs (index-explained.md and the page of each type, 2.6).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from transforms.adapters.milvus.capabilities import Capabilities
from transforms.logic.errors import ConfigurationError
from transforms.logic.suggestions import did_you_mean

_FLOATS = frozenset({"float32", "float16", "bfloat16"})
_MANY_ROWS = 50_000_000
"""From here on a graph with full vectors needs hundreds of gigabytes of memory (1,024 dimensions of float32: 220 GB)."""
_MANY_BITS_ROWS = 10_000_000
"""From here on reading all bits takes longer than an index is worth (384 dimensions: half a gigabyte)."""

Allowed = range | tuple[str, ...]


@dataclass(frozen=True)
class IndexType:
    """An index type: the kinds of vectors it is for, its parameters with what each may be, and what a search of `top` rows sets."""

    kinds: frozenset[str]
    parameters: Mapping[str, Allowed] = field(default_factory=dict)
    defaults: Mapping[str, int | str] = field(default_factory=dict)
    search: Callable[[int], dict[str, int]] = lambda _: {}


def _probing(top: int) -> dict[str, int]:
    # A list has some hundred rows or more: lists enough for the rows asked for, and never fewer than 32.
    return {"nprobe": min(65_536, max(32, top // 16))}


def _exploring(top: int) -> dict[str, int]:
    return {"ef": max(64, 2 * top)}


_LISTS = range(1, 65_537)
_GRAPH: Mapping[str, Allowed] = {"M": range(2, 2049), "efConstruction": range(1, 32_769)}
_GRAPH_DEFAULTS: Mapping[str, int | str] = {"M": 16, "efConstruction": 200}
_TRUTH = ("true", "false")

INDEX_TYPES: Mapping[str, IndexType] = MappingProxyType(
    {
        "AUTOINDEX": IndexType(_FLOATS),
        "FLAT": IndexType(_FLOATS),
        "IVF_FLAT": IndexType(_FLOATS, {"nlist": _LISTS}, {"nlist": 1024}, _probing),
        "IVF_SQ8": IndexType(_FLOATS, {"nlist": _LISTS}, {"nlist": 1024}, _probing),
        "IVF_RABITQ": IndexType(
            _FLOATS,
            {"nlist": _LISTS, "refine": _TRUTH, "refine_type": ("SQ6", "SQ8", "FP16", "BF16", "FP32")},
            # Lists of one segment, not of the collection. Bits alone lose too much, so candidates are ranked again by eight bits.
            {"nlist": 1024, "refine": "true", "refine_type": "SQ8"},
            lambda top: {**_probing(top), "refine_k": 4},
        ),
        "HNSW": IndexType(_FLOATS | {"int8"}, _GRAPH, _GRAPH_DEFAULTS, _exploring),
        "HNSW_SQ": IndexType(
            _FLOATS,
            {**_GRAPH, "sq_type": ("SQ6", "SQ8", "BF16", "FP16")},
            {**_GRAPH_DEFAULTS, "sq_type": "SQ8"},
            _exploring,
        ),
        "SCANN": IndexType(
            frozenset({"float32"}),
            {"nlist": _LISTS, "with_raw_data": _TRUTH},
            {"nlist": 1024, "with_raw_data": "true"},
            lambda top: {**_probing(top), "reorder_k": max(256, 4 * top)},
        ),
        "DISKANN": IndexType(_FLOATS, search=lambda top: {"search_list": max(100, 2 * top)}),
        "BIN_FLAT": IndexType(frozenset({"binary"})),
        "BIN_IVF_FLAT": IndexType(frozenset({"binary"}), {"nlist": _LISTS}, {"nlist": 1024}, _probing),
    }
)
GROUPING = frozenset({"AUTOINDEX", "FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "HNSW_SQ", "DISKANN"})
"""Index types under which a server gives the best chunk of each document itself (milvus.io/docs/grouping-search.md)."""


@dataclass(frozen=True)
class Index:
    """An index of the dense vectors, with every parameter that it is built with."""

    type: str
    parameters: Mapping[str, int | str] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([self.type, *(f"{name}={value}" for name, value in self.parameters.items())])

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of `add_index`; truth values stay `true` and `false`, as the client would write them with capitals."""
        return {"index_type": self.type, **({"params": dict(self.parameters)} if self.parameters else {})}

    def search_settings(self, top: int) -> dict[str, Any]:
        """Parameters of a search for `top` rows."""
        # One that this version does not know, of a collection that a later one made, is searched with the server's own.
        known = INDEX_TYPES.get(self.type)
        return {} if known is None else known.search(top)


def read_index(text: str) -> Index:
    """Reads what `str` of an index gave, as a collection records it."""
    name, *pairs = text.split()
    return Index(name, {key: _number(value) for key, value in (pair.split("=", 1) for pair in pairs)})


def choose_index(
    asked: str, parameters: Sequence[str], kind: str, there: Capabilities, expected_rows: int | None = None
) -> Index:
    """The index of a new collection.

    Args:
        asked: an index type, or `auto`, which takes
            on Milvus Lite and Zilliz Cloud AUTOINDEX;
            for binary vectors BIN_FLAT, which is exact, and BIN_IVF_FLAT from 10 million rows on;
            for int8 HNSW;
            for others AUTOINDEX, which is HNSW on a server as it comes, and from 50 million rows on IVF_RABITQ where the server has it.
        parameters: `NAME=VALUE` each, in place of the defaults.
        kind: number type of the vectors.
        there: what the Milvus at hand can do.
        expected_rows: of the collection; None if nobody knows.

    Raises:
        ConfigurationError: a type that is not for such vectors or not of this Milvus, or a parameter that it has not.
    """
    name = _by_kind(kind, there, expected_rows or 0) if asked == "auto" else asked.upper()
    if name not in INDEX_TYPES:
        raise ConfigurationError(
            f"--index {asked} is unknown; choose auto, or one of {', '.join(_for_kind(kind))}{did_you_mean(asked, INDEX_TYPES)}"
        )
    if asked != "auto":
        there.check_index(name)
        is_own_choice = there.kind == "zilliz" and name == "AUTOINDEX"
        if kind not in INDEX_TYPES[name].kinds and not is_own_choice:
            raise ConfigurationError(
                f"--index {name} is not for vectors of type {kind}; choose auto, or one of {', '.join(_for_kind(kind))}"
            )
    return Index(name, {**INDEX_TYPES[name].defaults, **_given(name, parameters)})


def _by_kind(kind: str, there: Capabilities, rows: int) -> str:
    if there.kind != "server":
        return "AUTOINDEX"
    if kind == "binary":
        return "BIN_IVF_FLAT" if rows >= _MANY_BITS_ROWS else "BIN_FLAT"
    if kind == "int8":
        # The one type that is documented for it.
        return "HNSW"
    return "IVF_RABITQ" if rows >= _MANY_ROWS and "IVF_RABITQ" in there.indexes else "AUTOINDEX"


def _for_kind(kind: str) -> list[str]:
    return [name for name, one in INDEX_TYPES.items() if kind in one.kinds]


def _given(name: str, parameters: Sequence[str]) -> dict[str, int | str]:
    known = INDEX_TYPES[name].parameters
    found: dict[str, int | str] = {}
    for one in parameters:
        key, _, written = one.partition("=")
        value = _number(written.strip())
        allowed = known.get(key.strip())
        if allowed is None:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigurationError(f"--index-parameters {one}: {name} has no such parameter; {has}")
        if value not in allowed:
            bounds = f"{allowed.start} to {allowed[-1]}" if isinstance(allowed, range) else ", ".join(allowed)
            raise ConfigurationError(f"--index-parameters {one}: choose {bounds}")
        found[key.strip()] = value
    return found


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text
