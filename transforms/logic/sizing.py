"""Memory that Milvus needs for vectors and their index.

Knowhere, Milvus's index engine, builds on FAISS, so that these are sizes of FAISS's structures; a test holds them against indexes that
FAISS really builds. Centroids of the IVF types are left out: 1,024 for a segment of a million rows are 0.1 % of its vectors.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from transforms.logic.errors import ConfigurationError
from transforms.logic.representations import BITS, VectorType

LINKS = 16
"""`M` of HNSW as this project builds it: links of a row in each layer, twice as many in the lowest."""
_ID_BYTES = 8
_LINK_BYTES = 4
# Where the links of a row begin, and how many layers it is in.
_OFFSET_BYTES = 12
# Two numbers that correct an estimated distance (Gao and Long, "RaBitQ", SIGMOD 2024).
_RABITQ_BYTES = 8
# DISKANN keeps product-quantised vectors and a cache of the graph in memory: milvus.yaml, common.DiskIndex.PQCodeBudgetGBRatio and
# SearchCacheBudgetGBRatio.
_DISKANN_RATIO = 0.125 + 0.1


def vector_bytes(vector_type: VectorType, dimensions: int) -> float:
    """Bytes of one vector."""
    return dimensions * BITS[vector_type] / 8


def _graph_bytes() -> float:
    """Links of one row: a row of the lowest layer is in the next with a chance of 1 to `LINKS` (Malkov and Yashunin, arXiv 1603.09320)."""
    return 2 * LINKS * _LINK_BYTES + LINKS * _LINK_BYTES / (LINKS - 1) + _OFFSET_BYTES


_BYTES: Mapping[str, Callable[[VectorType, int], float]] = MappingProxyType(
    {
        "FLAT": vector_bytes,
        "IVF_FLAT": lambda kind, dimensions: vector_bytes(kind, dimensions) + _ID_BYTES,
        "IVF_SQ8": lambda _, dimensions: dimensions + _ID_BYTES,
        # With the eight-bit refinement that this project asks for.
        "IVF_RABITQ": lambda _, dimensions: dimensions / 8 + _RABITQ_BYTES + _ID_BYTES + dimensions,
        "HNSW": lambda kind, dimensions: vector_bytes(kind, dimensions) + _graph_bytes(),
        "HNSW_SQ": lambda _, dimensions: dimensions + _graph_bytes(),
        "SCANN": lambda kind, dimensions: vector_bytes(kind, dimensions) + dimensions / 4 + _ID_BYTES,
        "DISKANN": lambda kind, dimensions: vector_bytes(kind, dimensions) * _DISKANN_RATIO,
        "BIN_FLAT": vector_bytes,
        "BIN_IVF_FLAT": lambda kind, dimensions: vector_bytes(kind, dimensions) + _ID_BYTES,
    }
)
SIZED_INDEXES = tuple(_BYTES)
"""Index types whose size is known."""


def index_bytes(index: str, vector_type: VectorType, dimensions: int, rows: int) -> int:
    """Bytes in memory of an index with its vectors, for one replica.

    Args:
        index: one of `SIZED_INDEXES`; AUTOINDEX of a server is HNSW.
        vector_type: of the stored vectors.
        dimensions: of a vector.
        rows: in the index.

    Raises:
        ConfigurationError: the size of the index is not known.
    """
    if index not in _BYTES:
        raise ConfigurationError(f"the size of index {index!r} is not known; known are {', '.join(SIZED_INDEXES)}")
    return round(_BYTES[index](vector_type, dimensions) * rows)


_ROWS = 1_000_000
TABLED: tuple[tuple[VectorType, str], ...] = (
    ("float32", "FLAT"),
    ("float32", "IVF_FLAT"),
    ("float32", "HNSW"),
    ("float32", "HNSW_SQ"),
    ("float32", "IVF_SQ8"),
    ("float32", "IVF_RABITQ"),
    ("float32", "DISKANN"),
    ("float16", "HNSW"),
    ("float16", "IVF_FLAT"),
    ("int8", "HNSW"),
    ("binary", "BIN_FLAT"),
    ("binary", "BIN_IVF_FLAT"),
)
"""Vector types and indexes that tables of sizes show."""


def sizing_table(dimensions: tuple[int, ...] = (384, 1024)) -> str:
    """Megabytes (10^6 bytes) of memory per million rows, as a Markdown table."""
    lines = [
        f"| vectors | index | {' | '.join(f'{one:,} dimensions' for one in dimensions)} |",
        f"| --- | --- |{' ---: |' * len(dimensions)}",
    ]
    for vector_type, index in TABLED:
        sizes = [f"{index_bytes(index, vector_type, one, _ROWS) / 1e6:,.0f}" for one in dimensions]
        lines.append(f"| {vector_type} | {index} | {' | '.join(sizes)} |")
    return "\n".join(lines) + "\n"
