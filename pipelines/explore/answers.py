"""What the page is told: what there is to ask, ranked chunks of each ranking, a chunk in its document."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pipelines.search import Method, Mode, Restriction, Retriever
from transforms.adapters.milvus import BRIEF, CollectionSpace, Target, release, served
from transforms.adapters.milvus.audit import AuditedCollection
from transforms.adapters.surroundings import surroundings
from transforms.logic.errors import ConfigurationError, CorpusEmbedError
from transforms.logic.filters import METADATA, Condition, Operator
from transforms.logic.languages import OTHER_PARTITION, language_of
from transforms.logic.passages import places_in
from transforms.logic.rows import STORED_FIELDS

MAX_QUERY_CHARACTERS = 2000
MAX_TOP = 50
MAX_NEIGHBOURS = 20
_MAX_CONDITIONS = 20
_MAX_VALUES = 200
_MAX_VALUE_CHARACTERS = 1000

_Text = Annotated[str, Field(max_length=_MAX_VALUE_CHARACTERS)]
_Value = _Text | int | float | bool


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Comparison(_Asked):
    """A condition: a field, or `metadata` and keys within it; an operator; a value, or for `in` several."""

    field: Annotated[tuple[_Text, ...], Field(min_length=1, max_length=10)]
    operator: Operator
    value: _Value | Annotated[tuple[_Value, ...], Field(min_length=1, max_length=_MAX_VALUES)]

    @property
    def condition(self) -> Condition:
        """The same, checked as `filters` does."""
        return Condition(self.field, self.operator, self.value)


class Question(_Asked):
    """What the page asks, with bounds that keep one question from being work for minutes."""

    query: Annotated[str, Field(max_length=MAX_QUERY_CHARACTERS)]
    top: Annotated[int, Field(ge=1, le=MAX_TOP)] = 10
    by_document: bool = False
    compare: bool = False
    languages: Annotated[tuple[_Text, ...], Field(max_length=_MAX_VALUES)] = ()
    labels: Annotated[tuple[_Text, ...], Field(max_length=_MAX_VALUES)] = ()
    date_from: _Text | None = None
    date_to: _Text | None = None
    where: Annotated[tuple[Comparison, ...], Field(max_length=_MAX_CONDITIONS)] = ()

    @property
    def restriction(self) -> Restriction:
        """Which chunks may answer."""
        conditions = [one.condition for one in self.where]
        return Restriction(self.languages, self.labels, self.date_from, self.date_to, conditions)


@dataclass(frozen=True)
class _Ranking:
    """One way in which chunks are found."""

    title: str
    name: str
    by_full_precision: bool
    collection: AuditedCollection
    retriever: Retriever

    def find(self, question: Question) -> list[dict[str, Any]]:
        return self.retriever.retrieve(
            question.query, question.top, question.restriction, by_document=question.by_document
        )


class Explorer:
    """A collection that is looked at, beside others perhaps. Threads may share one; `close` ends it."""

    def __init__(
        self,
        target: Target,
        *,
        mode: Mode | None = None,
        workspace: str | None = None,
        compare: Sequence[str] = (),
        model: str | None = None,
        device: str = "auto",
    ) -> None:
        """Connects, checks that models and collections belong together, and loads the models.

        Args:
            target: the collection, or an alias of it.
            mode: what finds chunks; default as in `Method`.
            workspace: its full-precision vectors make a second ranking.
            compare: collections of the same Milvus; each makes a ranking.
            model: directory of the model, if it is not where the collection says.
            device: where questions are encoded.

        Raises:
            ConfigurationError: see `Retriever`.
        """
        self._rankings: list[_Ranking] = []
        with ExitStack() as opened:
            opened.callback(release, target.uri)
            self._add(opened, target, target.collection, Method(mode), model, device)
            if workspace is not None:
                title = f"{target.collection}, ranked again by full precision"
                self._add(opened, target, title, Method("dense", workspace=workspace), model, device)
            for name in compare:
                self._add(opened, Target(target.uri, name, target.access), name, Method(mode), model, device)
            for ranking in self._rankings:
                ranking.retriever.load_model()
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Ends all connections; a Milvus Lite that this process serves is closed with them."""
        self._opened.close()

    def describe(self) -> dict[str, Any]:
        """What there is to ask: rankings, languages with their rows, labels, fields and bounds."""
        first = self._rankings[0].collection
        space = first.space()
        rows = first.counts()
        return {
            "rankings": [
                {
                    "title": one.title,
                    "collection": one.name,
                    "by_full_precision": one.by_full_precision,
                    **_described(one.collection.space()),
                }
                for one in self._rankings
            ],
            "rows": sum(rows.values()),
            "languages": [
                {"code": language, "rows": count}
                for name, count in rows.items()
                if (language := language_of(name)) is not None and name != OTHER_PARTITION
            ],
            "labels": list(space.labels),
            "fields": [METADATA, *(name for name in STORED_FIELDS if name != "text")],
            "bounds": {"query_characters": MAX_QUERY_CHARACTERS, "top": MAX_TOP, "neighbours": MAX_NEIGHBOURS},
        }

    def search(self, question: Question) -> dict[str, Any]:
        """Ranked chunks: of the first ranking, and if asked of the others too, with the rank that the first gives each.

        Another ranking that cannot answer says why in its place.

        Raises:
            ConfigurationError: what the first ranking cannot be asked.
            TransientError: the server does not answer.
        """
        first = self._rankings[0].find(question)
        answers: list[dict[str, Any]] = [{"title": self._rankings[0].title, "hits": _numbered(first)}]
        for ranking in self._rankings[1:] if question.compare else []:
            try:
                hits = ranking.find(question)
            except CorpusEmbedError as error:
                answers.append({"title": ranking.title, "error": str(error), "hits": []})
                continue
            before = places_in(_names(hits, question), _names(first, question))
            numbered = _numbered(hits)
            for hit, rank in zip(numbered, before, strict=True):
                hit["first_rank"] = rank
            answers.append(
                {"title": ranking.title, "shared": sum(rank is not None for rank in before), "hits": numbered}
            )
        return {"rankings": answers}

    def document(self, ranking: int, name: str, before: int, after: int) -> dict[str, Any]:
        """A chunk that a ranking found, with its neighbours.

        Raises:
            ConfigurationError: there is no such ranking or chunk, or more neighbours are wanted than `MAX_NEIGHBOURS` on a side.
            TransientError: the server does not answer.
        """
        if not 0 <= ranking < len(self._rankings):
            raise ConfigurationError(f"there is no ranking {ranking}; choose 0 to {len(self._rankings) - 1}")
        if not (0 <= before <= MAX_NEIGHBOURS and 0 <= after <= MAX_NEIGHBOURS):
            raise ConfigurationError(f"{before} chunks before and {after} after: choose 0 to {MAX_NEIGHBOURS} of each")
        found = surroundings(self._rankings[ranking].collection, name, before, after)
        row = {field: value for field, value in found.row.items() if field not in {"text", "start", "end"}}
        return {
            **row,
            "passages": [asdict(one) for one in found.passages],
            "starts": found.starts,
            "ends": found.ends,
        }

    def _add(
        self, opened: ExitStack, target: Target, title: str, method: Method, model: str | None, device: str
    ) -> None:
        collection = AuditedCollection(served(target), BRIEF)
        opened.callback(collection.close)
        queries = None
        if self._rankings:
            first = self._rankings[0]
            queries = first.retriever.queries
            spaces = [one.space().embedding_space for one in (first.collection, collection) if one.exists()]
            # A collection of another space has another model, which is where that collection says.
            model = model if len(set(spaces)) == 1 else None
        retriever = opened.enter_context(Retriever(target, method, model=model, device=device, queries=queries))
        by_full_precision = method.workspace is not None
        self._rankings.append(_Ranking(title, target.collection, by_full_precision, collection, retriever))


def _described(space: CollectionSpace) -> dict[str, Any]:
    names = ("model", "revision", "vector_type", "dimensions", "milvus_outputs", "embedding_space")
    return {name: getattr(space, name) for name in names}


def _numbered(hits: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"rank": rank, **hit} for rank, hit in enumerate(hits, 1)]


def _names(hits: Sequence[dict[str, Any]], question: Question) -> list[str]:
    # Collections that are cut in different ways share documents, and no chunks.
    return [hit["document_id" if question.by_document else "id"] for hit in hits]
