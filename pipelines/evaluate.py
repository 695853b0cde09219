"""Evaluate: what a collection finds of what it should find, by pair of languages, and what compression cost of it."""

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.search import Method, Restriction, Retriever
from transforms.adapters.held_documents import Survey, exact_rankings, mine_questions, survey
from transforms.adapters.held_rows import HeldRows
from transforms.adapters.milvus import MAX_TOP, PATIENT, CollectionSpace, Target, is_lite_path, release, served
from transforms.adapters.milvus.aliases import Alias, no_such_collection
from transforms.adapters.question_files import read_questions
from transforms.adapters.relevance import check_installed, measure
from transforms.adapters.secrets import redact
from transforms.adapters.storage import join, write_bytes
from transforms.adapters.workspace import Ledger, Workspace, collection_key
from transforms.logic.errors import ConfigurationError
from transforms.logic.evaluation import (
    ALL_LANGUAGES,
    FULL_PRECISION,
    Evaluated,
    Pool,
    Ranking,
    grades_of,
    language_bias,
    pools,
)
from transforms.logic.outputs import Outputs, concatenate_outputs
from transforms.logic.questions import Key, Question, answered
from transforms.logic.redaction import redacted

FORMAT = 1
_ENCODED_AT_ONCE = 64
# A server lets each wait some tenths of a second for the latest rows.
_SEARCHED_AT_ONCE = 32
_SHOWN_UNKNOWN = 20
_SHOWN_CHARACTERS = 100
_FIELDS = ("document_id", "language")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Request:
    """What is evaluated.

    Attributes:
        workspace: URI of the workspace of the collection's runs.
        target: the collection as its runs named it, or an alias of it.
        source: URI of a file of questions (`question_files`), or the key by which documents are translations of each other.
        mode: what finds chunks, as in `search.Method`.
        rescore: whether the vectors of the dataset rank four times as many candidates again.
        k: how many documents of a ranking count.
        max_queries: a larger number is sampled, by digest.
        exact: whether full-precision vectors are searched too, exactly, which reads all vectors of the dataset.
        name: of the file that keeps the result; by default made of source and mode.
        model: directory of the model, if it is not where the collection says.
        device: where questions are encoded.
    """

    workspace: str
    target: Target
    source: str | Key
    mode: Any = None
    rescore: bool = False
    k: int = 10
    max_queries: int = 300
    exact: bool = True
    name: str | None = None
    model: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 1 <= self.k < MAX_TOP // 4:
            raise ConfigurationError(f"--k {self.k} is out of bounds; choose 1 to {MAX_TOP // 4 - 1:,}")
        if self.max_queries < 1:
            raise ConfigurationError(f"--max-queries {self.max_queries}: choose 1 or more")
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"--name {self.name!r}: choose at most 100 of letters, digits, _ - and ., not . first"
            )


@dataclass(frozen=True)
class _Asked:
    """Questions whose answers are held, what was left out, and what the collection holds."""

    questions: Sequence[Question]
    held: Survey
    left_out: dict[str, Any] = field(default_factory=dict)


def evaluate_collection(request: Request, say: Callable[[str], object] = lambda _: None) -> dict[str, Any]:
    """Asks a collection questions whose answers are known, writes down what it found, and gives that.

    It is kept as `evaluations/<collection>/<name>.json` in the workspace, in place of an earlier one of that name; the same state of
    collection and workspace gives the same bytes.

    Args:
        request: what is evaluated.
        say: hears what takes long before it is done.

    Raises:
        ConfigurationError: a value is wrong, there is no such collection, or it holds no answer to any question.
        TransientError: Milvus or the store does not answer.
        CorruptDataError: a file of the workspace is not what was written.
    """
    check_installed()
    try:
        name, space = _opened(request.target)
        workspace = Workspace(
            request.workspace.rstrip("/"), space.embedding_space, collection_key(request.target.uri, name)
        )
        ledger = workspace.latest_ledger()
        if not ledger.number:
            raise ConfigurationError(
                f"the workspace {request.workspace!r} has no ledger of collection {name!r} at {request.target.uri!r}; "
                "name both as the runs that filled it did"
            )
        rows = HeldRows(workspace, ledger, space)
        asked = (
            _mined(rows, request.source, request.max_queries)
            if isinstance(request.source, Key)
            else _read(rows, space, request.source, request.max_queries)
        )
        found = _evaluated(replace(request, target=replace(request.target, collection=name)), space, rows, asked, say)
    finally:
        release(request.target.uri)
    found = {**_described(request, name, space, ledger), **found}
    text = json.dumps(redacted(found, redact), indent=2, ensure_ascii=False) + "\n"
    write_bytes(join(workspace.uri, "evaluations", name, f"{found['name']}.json"), text.encode())
    return found


def _opened(target: Target) -> tuple[str, CollectionSpace]:
    opened = Alias(served(target))
    try:
        if not opened.exists():
            raise no_such_collection(target)
        return opened.meant(), opened.space()
    finally:
        opened.close()


def _mined(rows: HeldRows, key: Key, most: int) -> _Asked:
    questions, mined, held = mine_questions(rows, key, most)
    if not questions:
        raise ConfigurationError(
            f"--key-column {key.column}: no two documents of different languages in the collection share a key; "
            "name another column, or a --key-pattern whose groups are equal in translations"
        )
    left_out = {"documents_with_key": mined.documents, "sampled": mined.documents > len(questions)}
    return _Asked(questions, held, {"queries_without_answer": 0, "unknown_answers": 0, "unknown": [], **left_out})


def _read(rows: HeldRows, space: CollectionSpace, uri: str, most: int) -> _Asked:
    sample = read_questions(uri, most)
    questions = sample.questions()
    ids = {name for question in questions for name in question.answers}
    texts = {text for question in questions for text in question.answer_texts}
    held = survey(rows, space.embedding_space, ids, texts)
    kept, missing, without = answered(questions, held.languages, held.holders)
    # An answer may be the text of a whole chunk.
    unknown = [
        one if len(one) <= _SHOWN_CHARACTERS else f"{one[:_SHOWN_CHARACTERS]}…" for one in missing[:_SHOWN_UNKNOWN]
    ]
    if not kept:
        raise ConfigurationError(
            f"--pairs {uri}: the collection holds no answer to any of {len(questions):,} questions; "
            f"it knows none of {', '.join(map(repr, unknown)) or 'them with a grade above 0'}"
        )
    return _Asked(
        kept,
        held,
        {
            "queries_without_answer": without,
            "unknown_answers": len(missing),
            "unknown": unknown,
            "rows": sample.rows,
            "sampled": sample.is_cut,
        },
    )


def _evaluated(
    request: Request, space: CollectionSpace, rows: HeldRows, asked: _Asked, say: Callable[[str], object]
) -> dict[str, Any]:
    questions, languages = asked.questions, asked.held.languages
    asked_pools = pools(questions, languages)
    rankings: dict[str, dict[Pool, Ranking]] = {}
    if request.rescore and not _is_dense(request, space):
        raise ConfigurationError(
            "--rescore ranks again by dense vectors of full precision what dense vectors found; choose --mode dense, of a collection "
            "without vectors of tokens, or leave it out"
        )
    method = Method(
        request.mode,
        workspace=request.workspace if request.rescore else None,
        consistency="Strong",
        patience=PATIENT,
    )
    with Retriever(request.target, method, model=request.model, device=request.device) as retriever:
        say(f"encoding {len(questions):,} queries\n")
        encoded = [
            retriever.encode([question.text for question in questions[start : start + _ENCODED_AT_ONCE]])
            for start in range(0, len(questions), _ENCODED_AT_ONCE)
        ]
        vectors = concatenate_outputs(encoded)
        if request.exact and vectors.dense is not None and _is_dense(request, space):
            say(f"searching {sum(asked.held.documents.values()):,} documents in full precision\n")
            rankings[FULL_PRECISION] = exact_rankings(rows, vectors.dense, questions, asked_pools, request.k)
        say(f"searching the collection {len(asked_pools):,} times\n")
        rankings[_representation(request, space)] = _searched(retriever, vectors, questions, asked_pools, request)
    grades = {pool: grades_of(pool, questions, languages) for pool in asked_pools}
    evaluated = Evaluated(
        questions,
        request.k,
        {
            name: measure(grades, {pool: one.documents for pool, one in of_pool.items()}, request.k)
            for name, of_pool in rankings.items()
        },
    )
    return {
        "pairs": {
            "source": _source(request),
            "queries": len(questions),
            "answers": sum(len(question.relevant) for question in questions),
            **asked.left_out,
        },
        "documents": dict(asked.held.documents),
        "overall": evaluated.overall(),
        "results": evaluated.results(),
        "all_languages": evaluated.of_all_languages(),
        "differences": evaluated.differences(),
        "language_bias": [
            {"representation": name, **row}
            for name, of_pool in rankings.items()
            for row in language_bias(questions, _among_all(of_pool), languages, asked.held.documents)
        ],
    }


def _searched(
    retriever: Retriever,
    vectors: Outputs,
    questions: Sequence[Question],
    asked_pools: Sequence[Pool],
    request: Request,
) -> dict[Pool, Ranking]:
    def search(pool: Pool) -> Ranking:
        number, language = pool
        restriction = Restriction(() if language == ALL_LANGUAGES else (language,))
        # The document that asks is found too.
        hits = retriever.retrieve_encoded(
            vectors.take([number]), request.k + 1, restriction, by_document=True, fields=_FIELDS
        )
        found = [(str(hit["document_id"]), str(hit["language"])) for hit in hits]
        return Ranking.of(found, questions[number].itself, request.k)

    with ThreadPoolExecutor(1 if is_lite_path(request.target.uri) else _SEARCHED_AT_ONCE) as threads:
        return dict(zip(asked_pools, threads.map(search, asked_pools), strict=True))


def _among_all(rankings: dict[Pool, Ranking]) -> dict[int, Ranking]:
    return {number: ranking for (number, language), ranking in rankings.items() if language == ALL_LANGUAGES}


def _is_dense(request: Request, space: CollectionSpace) -> bool:
    """Whether nothing but dense vectors decides, so that full precision is what was compressed."""
    return _mode(request, space) == "dense" and "multi" not in space.milvus_outputs


def _mode(request: Request, space: CollectionSpace) -> str:
    return str(request.mode or space.milvus_outputs[0])


def _representation(request: Request, space: CollectionSpace) -> str:
    mode = _mode(request, space)
    held = str(space.vector_type) if mode == "dense" else mode
    return f"{held}, rescored" if request.rescore else held


def _source(request: Request) -> str:
    if isinstance(request.source, str):
        return request.source
    return (
        request.source.column
        if request.source.pattern is None
        else f"{request.source.column} ~ {request.source.pattern}"
    )


def _described(request: Request, name: str, space: CollectionSpace, ledger: Ledger) -> dict[str, Any]:
    source = (
        request.source.column
        if isinstance(request.source, Key)
        else request.source.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    )
    mode = _mode(request, space)
    made = re.sub(r"[^A-Za-z0-9_]+", "-", f"{source}-{mode}{'-rescored' if request.rescore else ''}").strip("-")
    return {
        "format": FORMAT,
        "name": request.name or made[:100],
        "created_by": "corpus-embed evaluate",
        "collection": name,
        "ledger": ledger.number,
        "embedding_space": space.embedding_space,
        "model": space.model,
        "mode": mode,
        "dimensions": space.dimensions,
        "k": request.k,
    }
