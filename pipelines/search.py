"""Search: a question in any language against a collection. `Retriever` is for a service that asks many, `search` asks one."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal, Self, cast

from pipelines.queries import QueryEncoder
from pipelines.restriction import Restriction, restricted
from transforms.adapters.calibrations import reopen
from transforms.adapters.encoders import Computation
from transforms.adapters.full_vectors import FullVectors
from transforms.adapters.milvus import (
    BRIEF,
    MAX_TOP,
    Collection,
    CollectionSpace,
    Index,
    Patience,
    Query,
    Target,
    index_of,
    release,
    served,
)
from transforms.adapters.milvus.aliases import no_such_collection
from transforms.adapters.models import ModelDescription, describe_model
from transforms.logic.errors import ConfigurationError, CorpusEmbedError, TransientError
from transforms.logic.normalise import is_blank, normalise_text
from transforms.logic.outputs import OUTPUTS, Output, Outputs
from transforms.logic.representations import Representation, search_vector
from transforms.logic.vectors import Float32, unit_rows

__all__ = ["FIELDS", "Method", "Mode", "Restriction", "Retriever", "search"]

Mode = Literal["dense", "sparse", "multi", "hybrid"]
FIELDS = ("document_id", "ordinal", "start", "end", "language", "script", "source", "date", "metadata", "text")
_LABEL_FIELDS = ("label", "label_score")
_HYBRID: tuple[Output, ...] = ("dense", "sparse")
_RESCORED = 4
"""Candidates for each row wanted, of those that full precision ranks again; `benchmarks.compression` measures what that gives."""


@dataclass(frozen=True)
class Method:
    """How chunks are found and ranked.

    Attributes:
        mode: what finds chunks: `dense`, `sparse` or `multi` vectors, or `hybrid`, which fuses the rankings of dense and sparse; default
            the first of the three that the collection holds. Where it holds vectors of tokens, the best 100 or more are ranked again by
            them (late interaction: Khattab and Zaharia 2020, arXiv:2004.12832).
        weights: of dense and sparse in a hybrid, by which their scores are summed; default their ranks are fused.
        workspace: URI of the workspace whose full-precision vectors rank four times as many candidates again, for collections that hold
            less; with mode `dense`.
        consistency: `Strong` sees every row that was written, and waits for the server to have it, some tenths of a second for each
            question; `Bounded` may lack what was written in the last seconds, `Eventually` more. Milvus Lite is always strong.
        patience: for how long a question is asked again while Milvus is away or throttles.
    """

    mode: Mode | None = None
    weights: tuple[float, float] | None = None
    workspace: str | None = None
    consistency: Literal["Strong", "Bounded", "Eventually"] = "Bounded"
    patience: Patience = BRIEF

    def __post_init__(self) -> None:
        if self.weights is not None:
            if self.mode != "hybrid":
                raise ConfigurationError("--weights are of dense and sparse vectors; choose --mode hybrid")
            if not (min(self.weights) >= 0 and 0 < sum(self.weights) < float("inf")):
                raise ConfigurationError(f"--weights {self.weights}: choose two numbers of at least 0, one above 0")


class Retriever:
    """A collection with its model, opened once and asked many times.

    ```python
    from pipelines.search import Restriction, Retriever
    from transforms.adapters.milvus import Target
    from transforms.logic.filters import Condition

    manuals = Restriction(languages=["de", "th"], where=[Condition("metadata.year", ">=", 2020)])
    with Retriever(Target("http://localhost:19530", "manuals")) as retriever:
        for chunk in retriever.retrieve("How do I reset the device?", 5, manuals, by_document=True):
            print(chunk["score"], chunk["document_id"], chunk["text"])
    ```

    Threads may share one: the model encodes one question at a time, searches run side by side. Each call is answered from one collection,
    also while an alias moves, and from the one that it means by then; if that is one of another embedding space, the call raises
    `ConfigurationError`.
    """

    def __init__(
        self,
        target: Target,
        method: Method | None = None,
        *,
        model: str | None = None,
        device: str = "auto",
        queries: QueryEncoder | None = None,
    ) -> None:
        """Connects and checks that model and collection belong together.

        Args:
            target: the collection, or an alias of it.
            method: how chunks are found.
            model: directory of the model, if it is not where the collection says.
            device: where questions are encoded, as in `--device` of a run.
            queries: of another retriever; where this one's would do the same they are shared, and the model is in memory once.

        Raises:
            ConfigurationError: an unknown collection or mode, a model of another space, or a workspace without its vectors.
        """
        self._target, self._method = target, method or Method()
        with ExitStack() as opened:
            opened.callback(release, target.uri)
            self._collection = Collection(served(target), self._method.patience)
            opened.callback(self._collection.close)
            if not self._collection.exists():
                raise no_such_collection(target)
            # Who may only read must not ask for what is done already.
            if self._collection.load_state() != "Loaded":
                self._collection.load()
            name, space = self._collection.meaning()
            self._finding = _finding(self._method.mode, space)
            self._model = describe_model(model or space.model, space.revision)
            self._held = self._open(name, space)
            # Vectors of tokens, where the collection holds them, rank again what the others find.
            held = space.milvus_outputs
            outputs = tuple(one for one in OUTPUTS if one in self._finding or (one == "multi" and one in held))
            self._full = self._full_vectors(outputs, space.embedding_space)
            computation = Computation(
                cast("Any", space.dtype), device, outputs, budget_tokens=self._model.max_sequence_tokens
            )
            own = QueryEncoder(self._model, space.query_prompt, computation)
            self.queries = queries if queries is not None and queries.does_as(own) else own
            opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; a Milvus Lite that this process serves is closed with it."""
        self._collection.close()
        release(self._target.uri)

    def load_model(self) -> None:
        """Loads the model now, which takes seconds; otherwise the first question does."""
        self.queries.load()

    def retrieve(
        self, query: str, top: int = 10, restriction: Restriction | None = None, *, by_document: bool = False
    ) -> list[dict[str, Any]]:
        """The `top` best chunks for a question, best first, of equals by id.

        Each has `id`, `score` (see `milvus.Searcher.search`; of full precision the cosine), the names in `FIELDS`, and where chunks are
        labelled `label` and `label_score`.

        Args:
            query: the question; it gets the query prompt that the collection records.
            top: how many.
            restriction: which chunks may answer; all by default.
            by_document: only the best chunk of each document.

        Raises:
            ConfigurationError: an empty query, a `top` out of bounds, an unknown language or label, or a collection of another space.
            TransientError: the server does not answer.
        """
        text = normalise_text(query).strip()
        if is_blank(text):
            raise ConfigurationError(f"the query {query!r} holds nothing to search for")
        return self._found(lambda: self.queries.encode([text]), top, restriction, by_document=by_document)

    def encode(self, queries: Sequence[str]) -> Outputs:
        """Vectors of normalised questions that are not empty, encoded together, each as `retrieve` encodes it alone.

        Raises:
            ConfigurationError: the model makes no sound vector of one.
        """
        return self.queries.encode(queries)

    def retrieve_encoded(
        self,
        encoded: Outputs,
        top: int = 10,
        restriction: Restriction | None = None,
        *,
        by_document: bool = False,
        fields: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        """What `retrieve` finds for the one question that `encode` gave these vectors of.

        With `fields` each row has these of them only, besides `id` and `score`: most of the time of a search is that of fetching texts.
        """
        return self._found(lambda: encoded, top, restriction, by_document=by_document, fields=fields)

    def _found(
        self,
        encode: Callable[[], Outputs],
        top: int,
        restriction: Restriction | None,
        *,
        by_document: bool,
        fields: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        restriction = restriction or Restriction()
        if not 1 <= top <= MAX_TOP:
            raise ConfigurationError(f"--top {top} is out of bounds; choose 1 to {MAX_TOP:,}")
        while True:
            held = self._held
            refused: CorpusEmbedError | None = None
            rows: list[dict[str, Any]] = []
            try:
                rows = self._ranked(encode, top, restriction, held, by_document=by_document, fields=fields)
            except TransientError:
                raise
            except CorpusEmbedError as error:
                refused = error
            # An alias may have moved since the last question, or between the searches of this one. Asked afterwards, once is enough.
            name, space = self._collection.meaning()
            if (name, space) == (held.name, held.space) and (rows or not self._has_other_partitions(held)):
                if refused is not None:
                    raise refused
                return rows
            self._held = self._open_anew(name, space)

    def _ranked(
        self,
        encode: Callable[[], Outputs],
        top: int,
        restriction: Restriction,
        held: "_Held",
        *,
        by_document: bool,
        fields: Sequence[str] | None,
    ) -> list[dict[str, Any]]:
        asked = replace(
            restricted(restriction, held.space, lambda wanted: self._partitions(held, wanted)),
            by_document=by_document,
            weights=self._method.weights,
            consistency=self._method.consistency,
        )
        encoded = encode()
        asked = _with_vectors(asked, encoded, held)
        # A query whose words all weigh nothing finds nothing by them.
        if not asked.searches and self._finding != ("multi",):
            return []
        if fields is None:
            fields = (*FIELDS, *_LABEL_FIELDS) if held.space.labels else FIELDS
        if self._full is None or encoded.dense is None:
            rows = self._collection.search(asked, top, fields)
        else:
            # Their text names their vectors.
            candidates = self._collection.search(asked, min(MAX_TOP, _RESCORED * top), sorted({*fields, "text"}))
            rows = _rescored(candidates, encoded.dense[0], self._full)[:top]
        return [{name: row[name] for name in ("id", "score", *fields) if name in row} for row in rows]

    def _partitions(self, held: "_Held", wanted: Sequence[str]) -> Sequence[str]:
        """Names of the partitions; asked for if one is wanted that was not there: runs add some."""
        if not held.partitions.issuperset(wanted):
            held.partitions = frozenset(self._collection.partitions())
        return sorted(held.partitions)

    def _has_other_partitions(self, held: "_Held") -> bool:
        """Whether a search may have failed, or on Milvus Lite found nothing, because a partition is there no more."""
        return bool(held.partitions) and held.partitions != frozenset(self._collection.partitions())

    def _open_anew(self, name: str, space: CollectionSpace) -> "_Held":
        """What the name stands for now."""
        space.check_asked(
            self._held.space,
            self._target.collection,
            "the collection that was opened",
            "that is an alias which means another one by now, open it anew",
        )
        if _finding(self._method.mode, space) != self._finding:
            raise ConfigurationError(f"{self._target.collection!r} holds other vectors by now; open it anew")
        return self._open(name, space)

    def _open(self, name: str, space: CollectionSpace) -> "_Held":
        space.check_asked(
            _asked_with(self._model, space),
            self._target.collection,
            f"model {self._model.name!r}",
            "name the model that it was embedded with by --model",
        )
        recorded = space.recorded
        return _Held(
            name,
            space,
            None if recorded is None else reopen(recorded, space.embedding_space, self._model.dimensions),
            index_of(space),
        )

    def _full_vectors(self, outputs: tuple[Output, ...], embedding_space: str) -> FullVectors | None:
        if self._method.workspace is None:
            return None
        if outputs != ("dense",):
            raise ConfigurationError(
                "--workspace ranks again by dense vectors of full precision what dense vectors found; choose --mode dense, "
                "of a collection without vectors of tokens, or leave --workspace out"
            )
        return FullVectors(self._method.workspace, embedding_space)


@dataclass
class _Held:
    """A collection, what it holds, how its dense vectors are represented and indexed, and its partitions once they were asked for."""

    name: str
    space: CollectionSpace
    representation: Representation | None
    index: Index | None
    partitions: frozenset[str] = frozenset()


def search(
    query: str,
    target: Target,
    *,
    top: int = 10,
    mode: Mode | None = None,
    languages: Sequence[str] = (),
    labels: Sequence[str] = (),
    model: str | None = None,
    device: str = "auto",
) -> list[dict[str, Any]]:
    """The `top` best chunks for one question: opens a `Retriever`, which says what is given and raised, and closes it.

    It sees every row that was written: beside loading the model, waiting for them is nothing.
    """
    with Retriever(target, Method(mode, consistency="Strong"), model=model, device=device) as retriever:
        return retriever.retrieve(query, top, Restriction(languages, labels))


def _asked_with(model: ModelDescription, space: CollectionSpace) -> CollectionSpace:
    """The space of queries that a model encodes as a collection says."""
    outputs = tuple(one for one in space.outputs if one in model.outputs)
    return replace(
        space,
        embedding_space=model.embedding_space(space.document_prompt, space.dtype, space.outputs),
        model=model.directory if model.revision is None else model.name,
        revision=model.revision,
        outputs=outputs,
        multi_dimensions=model.multi_dimensions if "multi" in space.milvus_outputs else None,
    )


def _with_vectors(asked: Query, encoded: Outputs, held: _Held) -> Query:
    """The query as the collection holds its rows."""
    dense = sparse = None
    if encoded.dense is not None and held.representation is not None:
        dense = search_vector(encoded.dense[0], held.representation)
    if encoded.sparse is not None:
        sparse = dict(zip(encoded.sparse.indices.tolist(), encoded.sparse.values.tolist(), strict=True))
    return replace(
        asked,
        dense=dense,
        # Milvus refuses a vector without weights.
        sparse=sparse or None,
        multi=None if encoded.multi is None else encoded.multi.vectors,
        index=held.index,
    )


def _rescored(rows: Sequence[dict[str, Any]], query: Float32, full: FullVectors) -> list[dict[str, Any]]:
    """Rows ordered by the cosine of full-precision vectors, which becomes their score."""
    if not rows:
        return []
    scores = unit_rows(full.of([row["text"] for row in rows])) @ unit_rows(query[None])[0]
    found = [{**row, "score": float(score)} for row, score in zip(rows, scores, strict=True)]
    return sorted(found, key=lambda row: (-row["score"], row["id"]))


def _finding(mode: Mode | None, space: CollectionSpace) -> tuple[Output, ...]:
    """What finds chunks."""
    held = space.milvus_outputs
    wanted = _HYBRID if mode == "hybrid" else (mode or held[0],)
    missing = [output for output in wanted if output not in held]
    if missing:
        modes = [*held, *(["hybrid"] if set(_HYBRID) <= set(held) else [])]
        raise ConfigurationError(
            f"--mode {mode}: the collection holds no {' and no '.join(missing)} vectors; choose {' or '.join(modes)}"
        )
    return wanted
