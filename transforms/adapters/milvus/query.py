"""What a collection is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.adapters.milvus.indexes import Index
from transforms.logic.filters import Condition
from transforms.logic.rows import on_the_wire
from transforms.logic.vectors import Float32


@dataclass(frozen=True)
class Search:
    """One nearest-neighbour search: a field, a vector, a metric, and the least score that there can be."""

    field: str
    vector: Any
    metric: str
    least_score: float


@dataclass(frozen=True)
class Query:
    """A question as vectors, and which rows may answer it.

    Attributes:
        dense: one vector as `representations.represent` gives it.
        sparse: weights by vocabulary id. With `dense` too, both rankings are fused.
        multi: shape (tokens, dimensions), float32: what the others find is ranked again by it; alone it finds rows itself.
        partitions: only these; all if None.
        languages: only rows of documents in these folded codes; all if empty.
        labels: only rows with one of these labels of the collection; all if empty.
        where: conditions that hold for every row.
        weights: of the dense and the sparse ranking, by which scores are fused; None fuses ranks.
        by_document: only the best row of each document.
        index: of the dense vectors; None searches with the server's own settings.
        consistency: Milvus's level: `Strong` sees every row that was written, `Bounded` and `Eventually` do not wait for the latest.
    """

    dense: npt.NDArray[Any] | None = None
    sparse: Mapping[int, float] | None = None
    multi: Float32 | None = None
    partitions: Sequence[str] | None = None
    languages: Sequence[str] = ()
    labels: Sequence[str] = ()
    where: Sequence[Condition] = ()
    weights: tuple[float, float] | None = None
    by_document: bool = False
    index: Index | None = None
    consistency: str = "Strong"

    @property
    def is_binary(self) -> bool:
        """Whether the dense vector is one of bits."""
        return self.dense is not None and self.dense.dtype == np.uint8

    @property
    def searches(self) -> list[Search]:
        """The searches that find rows."""
        found = []
        if self.dense is not None:
            metric = "HAMMING" if self.is_binary else "COSINE"
            found.append(Search("dense", on_the_wire(self.dense[None])[0], metric, -1))
        if self.sparse is not None:
            found.append(Search("sparse", dict(self.sparse), "IP", 0))
        return found

    @property
    def conditions(self) -> list[Condition]:
        """All that holds for every row."""
        wanted = {"language": self.languages, "label": self.labels}
        return [*(Condition(name, "in", tuple(values)) for name, values in wanted.items() if values), *self.where]
