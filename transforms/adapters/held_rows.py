"""What the ledger and the dataset say that a collection holds."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.adapters.calibrations import reopen
from transforms.adapters.milvus import CollectionSpace
from transforms.adapters.workspace import Ledger, Workspace
from transforms.logic.errors import CorruptDataError
from transforms.logic.outputs import OUTPUTS
from transforms.logic.representations import Representation, represent, restore
from transforms.logic.rows import milvus_rows, sparse_weights
from transforms.logic.schemas import VECTOR_COLUMNS, row_schema
from transforms.logic.vector_columns import from_columns, from_list_array
from transforms.logic.vectors import Float32
from transforms.logic.verification import IdRanges

_ROWS_AT_ONCE = 4 << 20


@dataclass
class Stored:
    """What the dataset holds of n rows, as Milvus should.

    Attributes:
        rows: all fields but vectors.
        dense: a row each, as `representations.represent` gives it; None where the collection holds none.
        sparse: weights by vocabulary id; None where the collection holds none.
        multi: vectors of tokens, each shape (tokens, dimensions), float32; None where the collection holds none.
    """

    rows: list[dict[str, Any]]
    dense: npt.NDArray[Any] | None
    sparse: list[dict[int, float]] | None
    multi: list[Float32] | None


class HeldRows:
    """The rows of a ledger, as a collection of some space should hold them."""

    def __init__(self, workspace: Workspace, ledger: Ledger, space: CollectionSpace) -> None:
        """Takes the workspace with the embedding space of the collection."""
        self._workspace = workspace
        self._ledger = ledger
        self._space = space
        self._representation: Representation | None = None

    @property
    def representation(self) -> Representation:
        """How dense vectors are held; known once one was read."""
        if self._representation is None:
            raise CorruptDataError("the collection holds dense vectors and does not say of which type")
        return self._representation

    def parts(self) -> Iterator[pa.Table]:
        """Rows of the `LEDGER` schema, part by part, each read against its digest."""
        return map(self._workspace.read_ledger_part, self._ledger.parts)

    def stored(self, rows: pa.Table) -> Stored:
        """What the dataset holds of rows of the `LEDGER` schema, in their order."""
        outputs = [one for one in OUTPUTS if one in self._space.milvus_outputs]
        columns = row_schema(1, outputs).names
        tables, order = [], []
        numbers, shards = rows.column("row").to_numpy(), np.array(rows.column("shard").to_pylist(), object)
        for shard in sorted(set(shards)):
            places = np.flatnonzero(shards == shard)
            places = places[np.argsort(numbers[places], kind="stable")]
            tables.append(self._workspace.read_shard(shard, columns, numbers[places]))
            order.append(places)
        table = pa.concat_tables(tables).take(pa.array(np.argsort(np.concatenate(order), kind="stable")))
        if table.column("row_key").to_pylist() != rows.column("row_key").to_pylist():
            raise CorruptDataError(
                f"the shards {', '.join(sorted(set(shards)))} do not hold the rows that the ledger names in them; restore them"
            )
        (batch,) = table.combine_chunks().to_batches()
        others = from_columns(batch.select([VECTOR_COLUMNS[one] for one in outputs if one != "dense"]))
        return Stored(
            milvus_rows(batch, ()),
            self._represented(table) if "dense" in outputs else None,
            None if others.sparse is None else sparse_weights(others.sparse),
            None if others.multi is None else np.split(others.multi.vectors, others.multi.offsets[1:-1]),
        )

    def ids(self, partition: str, number: int, wanted: IdRanges) -> list[str]:
        """Those of a range: of a partition, by number, in ranges cut so."""
        ids: list[str] = []
        for held in self.parts():
            of_partition = held.filter(pc.equal(held.column("partition"), partition)).column("id").to_pylist()
            ids += wanted.members(partition, number, of_partition) if of_partition else []
        return ids

    def vectors(self, shards: Mapping[str, int]) -> Iterator[tuple[str, pa.Array, Float32]]:
        """Every held row once: partition, ids, and vectors (n, dimensions) as `restore` gives them; shards are read against their digest.

        Args:
            shards: all that hold rows, with how many.
        """
        for group in _groups(shards):
            places = self._places(group)
            for shard in group:
                numbers, partitions = places[shard]
                order = np.argsort(numbers)
                table = self._workspace.read_shard(shard, ["id", "vector"], numbers[order], whole=True)
                vectors = self._represented(table)
                ids = table.column("id").combine_chunks()
                for partition in sorted(set(partitions)):
                    chosen = np.flatnonzero(partitions[order] == partition)
                    yield partition, ids.take(pa.array(chosen)), restore(vectors[chosen], self.representation)

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of the dataset of every held row once, shard by shard."""
        shards: Counter[str] = Counter()
        for held in self.parts():
            shards.update({one["values"]: one["counts"] for one in held.column("shard").value_counts().to_pylist()})
        for group in _groups(shards):
            places = self._places(group)
            for shard in group:
                yield self._workspace.read_shard(shard, columns, np.sort(places[shard][0]))

    def _represented(self, table: pa.Table) -> npt.NDArray[Any]:
        column = table.column(VECTOR_COLUMNS["dense"])
        full = column.type.list_size
        if self._representation is None:
            recorded = self._space.recorded
            self._representation = None if recorded is None else reopen(recorded, self._space.embedding_space, full)
        return represent(from_list_array(column, full), self.representation)

    def _places(self, shards: Sequence[str]) -> dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[Any]]]:
        """Row numbers and partitions of the held rows in some shards."""
        wanted = pa.array(shards)
        tables = [
            held.filter(pc.is_in(held.column("shard"), wanted)).select(["shard", "row", "partition"])
            for held in self.parts()
        ]
        rows = pa.concat_tables(tables)
        names = np.array(rows.column("shard").to_pylist(), object)
        numbers = rows.column("row").to_numpy().astype(np.int64)
        partitions = np.array(rows.column("partition").to_pylist(), object)
        return {shard: (numbers[names == shard], partitions[names == shard]) for shard in shards}


def _groups(shards: Mapping[str, int]) -> Iterator[list[str]]:
    """Names of shards, so many at once that the places of their rows fit in memory."""
    group: list[str] = []
    rows = 0
    for shard in sorted(shards):
        if group and rows + shards[shard] > _ROWS_AT_ONCE:
            yield group
            group, rows = [], 0
        group.append(shard)
        rows += shards[shard]
    if group:
        yield group
