"""What a collection records about itself, so that spaces never mix (guarantee G5)."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from transforms.logic.errors import ConfigurationError
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.representations import Recorded, VectorType

PROPERTY = "corpus_embed.space"
_FORMAT = 4
# Of the time before outputs, representations and labels (2), and before the way of cutting (3): what they do not say has its default.
_OLDER_FORMATS = (2, 3)
# Its rows lack the languages of chunks, so this version could not write to it.
_FORMAT_WITHOUT_LANGUAGES = 1
_TUPLES = ("languages", "outputs", "milvus_outputs", "labels")
_DECISIVE = (
    "embedding_space",
    "outputs",
    "milvus_outputs",
    "dimensions",
    "multi_dimensions",
    "vector_type",
    "calibration",
    "projection",
    "partition_by",
    "languages",
    "labels",
    "labels_digest",
)
_OF_QUERIES = ("embedding_space", "query_prompt", "outputs", "multi_dimensions")
_EXPLAINING = ("model", "revision", "dtype", "document_prompt")
_CUTTING = ("max_tokens", "min_tokens", "overlap", "structure")


@dataclass(frozen=True)
class CollectionSpace:
    """A collection's space.

    Attributes:
        embedding_space: fingerprint of the model, prompt and computation.
        model: name or directory of the model, for queries.
        revision: the hub commit, if any.
        dtype: number type of the model's computation.
        query_prompt: what a query is prefixed with.
        dimensions: length of the stored dense vectors; None where the collection holds none.
        vector_type: number type of the stored dense vectors; None where the collection holds none.
        partition_by: `language` or `none`.
        document_prompt: what every chunk was prefixed with.
        languages: folded languages with a partition of their own; None if every language has one.
        outputs: what the model made of every chunk.
        milvus_outputs: which of them the collection holds.
        multi_dimensions: length of the stored vectors of tokens; None where the collection holds none.
        calibration: SHA-256 of the frozen statistics that the representation needs; None where it needs none.
        calibration_uri: where they lie.
        projection: SHA-256 of the linear map that vectors go through first, if any.
        projection_uri: where it lies.
        labels: names of the labels that chunks have, ordered.
        labels_digest: of the meaning of the labels; None without labels.
        max_tokens: how documents were cut, as the options of these names; None where the collection is older than this record.
        min_tokens: see `max_tokens`.
        overlap: see `max_tokens`.
        structure: see `max_tokens`.
        index: of the dense vectors, as `indexes.Index` is written; None where the collection holds none, or is older than this record.
    """

    embedding_space: str
    model: str
    revision: str | None
    dtype: str
    query_prompt: str
    dimensions: int | None
    vector_type: VectorType | None
    partition_by: str
    document_prompt: str = ""
    languages: tuple[str, ...] | None = None
    outputs: tuple[Output, ...] = OUTPUTS[:1]
    milvus_outputs: tuple[Output, ...] = OUTPUTS[:1]
    multi_dimensions: int | None = None
    calibration: str | None = None
    calibration_uri: str | None = None
    projection: str | None = None
    projection_uri: str | None = None
    labels: tuple[str, ...] = ()
    labels_digest: str | None = None
    max_tokens: int | None = None
    min_tokens: int | None = None
    overlap: int | None = None
    structure: str | None = None
    index: str | None = None

    def to_json(self) -> str:
        """One line of JSON with its format version."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "CollectionSpace":
        """Reads `to_json` of this version and the two before; anything else raises `ConfigurationError`."""
        try:
            values = json.loads(text)
            version = values.pop("format")
            if version in {_FORMAT, *_OLDER_FORMATS}:
                return cls(**{name: _as_declared(name, value) for name, value in values.items()})
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            message = f"the collection's property {PROPERTY} is not of this project: {text[:80]!r}"
            raise ConfigurationError(message) from error
        remedy = (
            "choose another --collection; vectors in the workspace are reused"
            if version == _FORMAT_WITHOUT_LANGUAGES
            else "use a newer corpus-embed"
        )
        message = f"the collection was written in format {version}, this version reads {_FORMAT}; {remedy}"
        raise ConfigurationError(message)

    @property
    def recorded(self) -> Recorded | None:
        """The representation of the dense vectors; None where the collection holds none."""
        if self.vector_type is None or self.dimensions is None:
            return None
        return Recorded(
            self.vector_type,
            self.dimensions,
            self.calibration,
            self.calibration_uri,
            self.projection,
            self.projection_uri,
        )

    @property
    def field_kinds(self) -> dict[str, str]:
        """The outputs that the collection holds, each with the kind of field that it needs, as `capabilities` names them."""
        return {output: str(self.vector_type) if output == "dense" else output for output in self.milvus_outputs}

    def check_same(self, wanted: "CollectionSpace", name: str, *, may_cut_anew: bool = False) -> None:
        """Refuses to write vectors of another space, or chunks cut in another way: `ConfigurationError` with every difference.

        Args:
            wanted: the space of the run.
            name: of the collection.
            may_cut_anew: whether chunks may be cut in another way than those that are held.
        """
        there, here = asdict(self), asdict(wanted)
        cut = [one for one in _CUTTING if there[one] not in {None, here[one]}]
        differing = [one for one in _DECISIVE if there[one] != here[one]]
        if differing:
            shown = [*differing, *(one for one in _EXPLAINING if there[one] != here[one]), *cut]
            what = "holds vectors of another space; use the same settings or another --collection"
        elif cut and not may_cut_anew:
            shown = cut
            what = (
                "holds documents that were cut in another way; use the same settings or another --collection, "
                "or cut those of the input anew by --new-space"
            )
        else:
            return
        message = f"collection {name!r} {what}:\n{self._lines(wanted, shown, 'in this run')}"
        raise ConfigurationError(message)

    def check_asked(self, asked: "CollectionSpace", name: str, by: str, remedy: str) -> None:
        """Refuses to compare vectors of queries with vectors of another space: `ConfigurationError` with every difference.

        How the collection represents vectors is no difference: queries take the same way.

        Args:
            asked: the space of the queries.
            name: of the collection.
            by: whose space that is, as in "model 'x'".
            remedy: what to do.
        """
        differing = [one for one in _OF_QUERIES if getattr(self, one) != getattr(asked, one)]
        if differing:
            shown = [*differing, *(one for one in _EXPLAINING if getattr(self, one) != getattr(asked, one))]
            message = (
                f"{by} is of another space than collection {name!r}; {remedy}:\n{self._lines(asked, shown, f'of {by}')}"
            )
            raise ConfigurationError(message)

    def _lines(self, other: "CollectionSpace", fields: Sequence[str], where: str) -> str:
        there, here = asdict(self), asdict(other)
        return "\n".join(
            f"  {one}: {_shown(there[one])} in the collection, {_shown(here[one])} {where}" for one in fields
        )

    def cut_as(self, wanted: "CollectionSpace") -> "CollectionSpace":
        """This space with the way of cutting of another."""
        return replace(self, **{one: getattr(wanted, one) for one in _CUTTING})


def _as_declared(name: str, value: Any) -> Any:
    return tuple(value) if name in _TUPLES and value is not None else value


def _shown(value: Any) -> str:
    # As the user writes it in a flag.
    return ",".join(value) or "none" if isinstance(value, tuple) else repr(value)
