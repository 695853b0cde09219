"""Rows as the columns of the Parquet files that Milvus imports, and what is kept of such a file.

Types and encodings are those of pymilvus's own bulk writer (pymilvus 3.0.2, `bulk_writer/constants.py` and `buffer.py`), which the importer
reads: float32 vectors as list<float>, float16 and bfloat16 as the little-endian bytes of their numbers in list<uint8>, int8 as list<int8>,
bits as list<uint8>, weights of tokens and JSON as text, vectors of tokens as list<struct>. Milvus 2.3 refuses lists of a fixed size, which
the dataset has. Numbers are never boxed: vectors keep their memory.
"""

import json
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.logic.errors import CorruptDataError
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.rows import LABEL_FIELDS, STORED_FIELDS, sparse_weights
from transforms.logic.schemas import VECTOR_COLUMNS
from transforms.logic.vector_columns import from_columns, whole_column

MAX_FILE_BYTES = 16 << 30
"""The largest file that Milvus imports (`dataCoord.import.maxImportFileSizeInGB`)."""
REPEATING_FIELDS = ("document_id", "language", "script", "chunk_language", "source", "date", "label")
"""Fields whose values repeat from row to row, so that a dictionary pays."""
_INTEGERS = frozenset({"ordinal", "start", "end", "tokens"})
_EXPONENT_OF_TWO = np.uint32(0x40000000)
"""Of float32: set from 2 on, in infinity and in NaN (IEEE 754)."""
_STRUCT = pa.struct([pa.field("vector", pa.list_(pa.float32()))])


@dataclass(frozen=True)
class ImportFile:
    """A file of one partition.

    Attributes:
        name: its path below the import's directory, which begins with the partition.
        partition: the partition that its rows belong to.
        rows: how many it has.
        size_bytes: its length.
        checksum: of its rows, as `checksum.checksum`.
    """

    name: str
    partition: str
    rows: int
    size_bytes: int
    checksum: int

    def to_json(self) -> str:
        """One line of JSON; `from_json` reads it."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ImportFile":
        """Reads `to_json`."""
        return cls(**json.loads(text))


def rows_by_partition(files: Iterable[ImportFile]) -> dict[str, int]:
    """How many rows some files have of each partition, ordered by partition."""
    found: dict[str, int] = {}
    for file in files:
        found[file.partition] = found.get(file.partition, 0) + file.rows
    return dict(sorted(found.items()))


def import_columns(rows: pa.Table, outputs: Collection[Output] = OUTPUTS[:1]) -> pa.Table:
    """Compressed rows (`compress.compress_vectors`) with the columns of an import file: a field of the collection each, in its order.

    A row without any weight gets one that no query has: Milvus takes no empty sparse vector, and counts must balance.
    """
    names = [*STORED_FIELDS, *(name for name in LABEL_FIELDS if name in rows.column_names)]
    columns = {name: rows.column(name) for name in names}
    for name in _INTEGERS:
        columns[name] = columns[name].cast(pa.int64())
    columns["metadata"] = rows.column("metadata")
    if "dense" in outputs:
        columns["dense"] = _vectors(rows.column("dense"))
    others = from_columns(rows.select([VECTOR_COLUMNS[name] for name in ("sparse", "multi") if name in outputs]))
    if others.sparse is not None:
        columns["sparse"] = pa.array([json.dumps(weights) for weights in sparse_weights(others.sparse)], pa.string())
    if others.multi is not None:
        vectors = _lists(others.multi.vectors)
        structs = pa.StructArray.from_arrays([vectors], fields=list(_STRUCT))
        columns["multi"] = pa.ListArray.from_arrays(pa.array(others.multi.offsets, pa.int32()), structs)
    return pa.table(columns)


def check_columns(columns: pa.Table, max_bytes: Mapping[str, int]) -> None:
    """Refuses rows that the import would refuse, or worse, take: the bulk import of some versions stores NaN (milvus #50459).

    Args:
        columns: of `import_columns`.
        max_bytes: how many bytes of UTF-8 a text field holds, by field.

    Raises:
        CorruptDataError: naming the chunk, the field, and the bytes allowed or the number that is not finite.
    """
    for name, most in max_bytes.items():
        lengths = pc.binary_length(columns.column(name))
        if (pc.max(lengths).as_py() or 0) > most:
            row = int(np.argmax(lengths.to_numpy()))
            message = (
                f"chunk {columns.column('id')[row].as_py()}: {name!r} has {lengths[row].as_py():,} bytes, "
                f"the collection holds {most:,}"
            )
            raise CorruptDataError(message)
    for name in ("dense", "multi"):
        if name not in columns.column_names or all(map(_is_finite, columns.column(name).chunks)):
            continue
        ids = columns.column("id").to_pylist()
        vectors = whole_column(columns.column(name))
        row = next(row for row in range(len(ids)) if not _is_finite(vectors.slice(row, 1)))
        raise CorruptDataError(f"chunk {ids[row]}: {name!r} has a number that is not finite")


def _vectors(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Represented vectors as lists; numbers of 16 bits as their bytes."""
    if column.type.value_type.bit_width == 16:  # noqa: PLR2004
        column = pa.chunked_array([_little_endian_bytes(chunk) for chunk in column.chunks])
    # Makes offsets alone: the numbers stay where they are.
    return column.cast(pa.list_(column.type.value_type))


def _little_endian_bytes(column: pa.FixedSizeListArray) -> pa.FixedSizeListArray:
    stored = column.flatten().to_numpy(zero_copy_only=False)
    little = stored if sys.byteorder == "little" else stored.byteswap()
    return pa.FixedSizeListArray.from_arrays(pa.array(little.view(np.uint8)), 2 * column.type.list_size)


def _lists(vectors: npt.NDArray[np.float32]) -> pa.ListArray:
    count, width = vectors.shape
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(vectors).reshape(-1)))


def _is_finite(column: pa.ListArray) -> bool:
    """Of numbers of 32 bits; the bytes of smaller ones are those of `represent`, which refuses what is not finite before it rounds."""
    numbers = column.flatten()
    while not pa.types.is_primitive(numbers.type):
        numbers = numbers.flatten()[0] if pa.types.is_struct(numbers.type) else numbers.flatten()
    if not pa.types.is_floating(numbers.type):
        return True
    flat = cast("npt.NDArray[Any]", numbers.to_numpy(zero_copy_only=False))
    # Numbers of vectors are below 2, where no exponent has its highest bit: one pass over integers tells, as fast as memory is read.
    # Only greater numbers ask for a second look.
    bits = np.bitwise_or.reduce(flat.view(np.uint32))
    return bool(bits & _EXPONENT_OF_TWO == 0 or np.isfinite(flat).all())
