"""The backends of the contract suite, and rows for them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tests.fakes import outputs_of
from tests.transforms.verbs import chunks, record
from transforms.adapters.milvus import Collection, CollectionSpace, Target
from transforms.compress import compress_vectors
from transforms.logic.calibration import calibrate
from transforms.logic.outputs import Output
from transforms.logic.representations import Representation, VectorType
from transforms.logic.rows import STORED_FIELDS, stored_rows
from transforms.logic.vector_columns import to_columns

DIMENSIONS = 16
SPACE = CollectionSpace("e" * 32, "some/model", None, "float32", "", DIMENSIONS, "float32", "language")
NAMED = "CORPUS_EMBED_TEST_MILVUS"
"""The environment variable with the address of any other server, for `make test-milvus`."""


@dataclass(frozen=True)
class Backend:
    """A running Milvus; `name` is `lite`, `lite server`, `2.3.5` or `named`."""

    name: str
    uri: str

    @contextmanager
    def collection(self, name: str, space: CollectionSpace = SPACE) -> Iterator[Collection]:
        """A new, loaded collection, dropped at the end."""
        opened = Collection(Target(self.uri, name))
        try:
            if opened.exists():
                opened._client.drop_collection(name)
            opened.create(space)
            yield opened
        finally:
            opened._client.drop_collection(name)
            opened.close()


def batch_of_texts(
    texts: Mapping[str, str],
    outputs: tuple[Output, ...] = ("dense",),
    vector_type: VectorType = "float32",
    **changes: Any,
) -> pa.RecordBatch:
    """Compressed rows of texts by document id, as they reach the sink."""
    table = pa.Table.from_batches([chunks(*(record(name, text, **changes) for name, text in texts.items()))])
    made = outputs_of(table.column("text").to_pylist(), DIMENSIONS, outputs)
    for name, column in to_columns(made).items():
        table = table.append_column(name, column)
    calibration = (
        calibrate(made.dense, "e" * 32, "here") if vector_type == "binary" and made.dense is not None else None
    )
    stored = stored_rows(table, DIMENSIONS, outputs).combine_chunks().to_batches()[0]
    return compress_vectors(stored, Representation(vector_type, DIMENSIONS, calibration))


def held(collection: Collection, outputs: Sequence[Output] = ("dense",)) -> dict[str, dict[str, Any]]:
    """Every row of a collection by partition and id, with its vectors."""
    found = {}
    for partition in collection.partitions():
        rows = collection._client.query(
            collection._name,
            filter='id != ""',
            partition_names=[partition],
            output_fields=[*STORED_FIELDS, "metadata", *outputs],
            consistency_level="Strong",
            limit=16_384,
        )
        for row in rows:
            found[f"{partition}/{row['id']}"] = {name: _plain(value) for name, value in row.items()}
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], bytes):
        return value[0]
    if isinstance(value, (list, np.ndarray)):
        return [float(one) for one in value] if len(value) and not isinstance(value[0], (str, bytes)) else list(value)
    return value
