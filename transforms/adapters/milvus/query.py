"""What a collection is asked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.logic.rows import on_the_wire
from transforms.logic.vectors import Float32


@dataclass(frozen=True)
class Query:
    """A question as vectors, and which rows may answer it.

    Attributes:
        dense: one vector as `representations.represent` gives it.
        sparse: weights by vocabulary id. With `dense` too, the ranks of both are fused.
        multi: shape (tokens, dimensions), float32: what the others find is ranked again by it; alone it finds rows itself.
        partitions: only these; all if None.
        languages: only rows of documents in these folded codes; all if empty.
        labels: only rows with one of these labels of the collection; all if empty.
    """

    dense: npt.NDArray[Any] | None = None
    sparse: Mapping[int, float] | None = None
    multi: Float32 | None = None
    partitions: Sequence[str] | None = None
    languages: Sequence[str] = ()
    labels: Sequence[str] = ()

    @property
    def is_binary(self) -> bool:
        """Whether the dense vector is one of bits."""
        return self.dense is not None and self.dense.dtype == np.uint8

    @property
    def searches(self) -> list[tuple[str, Any, str]]:
        """The field, the vector and the metric of each search that finds rows."""
        found: list[tuple[str, Any, str]] = []
        if self.dense is not None:
            found.append(("dense", on_the_wire(self.dense[None])[0], "HAMMING" if self.is_binary else "COSINE"))
        if self.sparse is not None:
            found.append(("sparse", dict(self.sparse), "IP"))
        return found

    @property
    def filter(self) -> str:
        """Milvus's expression of the languages and labels."""
        wanted = {"language": self.languages, "label": self.labels}
        return " and ".join(one_of(field, values) for field, values in wanted.items() if values)


def one_of(field: str, values: Sequence[str]) -> str:
    """The expression for rows whose field has one of these values, which must be free of quotes, backslashes and control characters."""
    # Milvus Lite does not read the \u escapes of JSON.
    return f"{field} in {json.dumps(list(values), ensure_ascii=False)}"
