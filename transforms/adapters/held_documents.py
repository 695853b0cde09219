"""The documents of a collection as its ledger and dataset know them: counted, looked up, mined, and searched exactly.

Every function reads each held row once, of the columns that it needs; what is in memory grows with the documents by 20 bytes each.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.adapters.held_rows import HeldRows
from transforms.logic.best_documents import BestDocuments
from transforms.logic.evaluation import ALL_LANGUAGES, Pool, Ranking
from transforms.logic.identity import content_key
from transforms.logic.questions import Key, Mined, Numbers, Question, mine, mined_questions, number_of
from transforms.logic.schemas import KEY, VECTOR_COLUMNS
from transforms.logic.vector_columns import from_list_array
from transforms.logic.vectors import Float32, unit_rows


@dataclass(frozen=True)
class Survey:
    """What a collection holds.

    Attributes:
        documents: how many, by language.
        languages: language by document id, of those that were asked for and are held.
        holders: documents by text, of texts that were asked for and are a chunk of the collection.
    """

    documents: Mapping[str, int]
    languages: Mapping[str, str]
    holders: Mapping[str, Collection[str]]


@dataclass
class _Documents:
    """Distinct documents, each with a number of its language and of its key."""

    names: dict[str, int] = field(default_factory=dict)
    _parts: list[tuple[Numbers, Numbers, npt.NDArray[np.int32]]] = field(default_factory=list)

    def add(self, documents: Numbers, keys: Numbers, languages: Sequence[str]) -> None:
        """Takes rows of documents."""
        coded = np.array([self.names.setdefault(name, len(self.names)) for name in languages], np.int32)
        _, rows = np.unique(documents, return_index=True)
        self._parts.append((documents[rows], keys[rows], coded[rows]))

    def all(self) -> tuple[Numbers, Numbers, npt.NDArray[np.int32]]:
        """Each document once: its number, and those of its key and its language."""
        if not self._parts:
            return np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int32)
        documents, keys, languages = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        _, rows = np.unique(documents, return_index=True)
        return documents[rows], keys[rows], languages[rows]

    def counts(self) -> dict[str, int]:
        """Documents by language."""
        counted = np.bincount(self.all()[2], minlength=len(self.names))
        return {name: int(counted[code]) for name, code in sorted(self.names.items())}


def survey(held: HeldRows, space: str, ids: Collection[str], texts: Collection[str]) -> Survey:
    """Counts the documents, and looks up some by id and by the text of a chunk.

    Args:
        held: the rows of a collection.
        space: its embedding space.
        ids: documents that are asked for.
        texts: exact texts of chunks that are asked for.
    """
    wanted = pa.array(sorted(ids), pa.string())
    by_key = {content_key(space, text): text for text in texts}
    keys = pa.array(sorted(by_key), KEY)
    documents = _Documents()
    languages: dict[str, str] = {}
    holders: dict[str, set[str]] = {}
    for table in held.tables(["document_id", "language", "content_key"]):
        names = table.column("document_id").to_pylist()
        numbers = _numbers(names)
        documents.add(numbers, np.zeros_like(numbers), table.column("language").to_pylist())
        has_text = pc.is_in(table.column("content_key"), keys)
        for row in table.filter(has_text).to_pylist():
            holders.setdefault(by_key[row["content_key"]], set()).add(row["document_id"])
            languages[row["document_id"]] = row["language"]
        for row in table.filter(pc.is_in(table.column("document_id"), wanted)).to_pylist():
            languages[row["document_id"]] = row["language"]
    return Survey(documents.counts(), languages, {text: sorted(some) for text, some in holders.items()})


def mine_questions(held: HeldRows, key: Key, most: int) -> tuple[list[Question], Mined, Survey]:
    """Questions that documents ask by how their first chunk begins: those that share the key answer them.

    Args:
        held: the rows of a collection.
        key: by which documents are translations of each other.
        most: questions at most, chosen by digest of the document id.
    """
    documents = _Documents()
    columns = list(dict.fromkeys(["document_id", "language", _column(key)]))
    for table in held.tables(columns):
        numbers = _numbers(table.column("document_id").to_pylist())
        keys = np.array([0 if one is None else number_of(one) for one in _keys(table, key)], np.uint64)
        documents.add(numbers, keys, table.column("language").to_pylist())
    mined = mine(*documents.all(), most)
    found: dict[str, tuple[str, str]] = {}
    beginnings: dict[str, tuple[int, str]] = {}
    asking, wanted = set(mined.asking.tolist()), set(mined.keys.tolist())
    for table in held.tables([*columns, "ordinal", "text"]) if wanted else ():
        keys_of_rows = list(_keys(table, key))
        chosen = [place for place, one in enumerate(keys_of_rows) if one is not None and number_of(one) in wanted]
        for place, row in zip(chosen, table.take(pa.array(chosen, pa.int64())).to_pylist(), strict=True):
            name = row["document_id"]
            found[name] = row["language"], str(keys_of_rows[place])
            if number_of(name) in asking:
                opening = row["ordinal"], row["text"]
                beginnings[name] = min(beginnings.get(name, opening), opening)
    questions = mined_questions(found, {name: text for name, (_, text) in beginnings.items()})
    return questions, mined, Survey(documents.counts(), {name: language for name, (language, _) in found.items()}, {})


def exact_rankings(
    held: HeldRows, vectors: Float32, questions: Sequence[Question], pools: Sequence[Pool], k: int
) -> dict[Pool, Ranking]:
    """Exact search over full-precision vectors, by cosine: the best k documents of each pool, without the one that asks.

    Args:
        held: the rows of a collection whose dataset holds dense vectors.
        vectors: of the questions, shape (n, full), float32.
        questions: n of them.
        pools: question and language, or all languages.
        k: documents of each.
    """
    of_language: dict[str, list[int]] = {}
    for number, language in pools:
        of_language.setdefault(language, []).append(number)
    asked = unit_rows(vectors)
    searches = {language: BestDocuments(asked[numbers], k + 1) for language, numbers in of_language.items()}
    for documents, languages, stored in _vectors(held, vectors.shape[1]):
        for language, search in searches.items():
            if language == ALL_LANGUAGES:
                search.see(documents, languages, stored)
                continue
            chosen = [place for place, one in enumerate(languages) if one == language]
            search.see([documents[place] for place in chosen], [language] * len(chosen), stored[chosen])
    return {
        (number, language): Ranking.of(searches[language].found(place), questions[number].itself, k)
        for language, numbers in of_language.items()
        for place, number in enumerate(numbers)
    }


def _vectors(held: HeldRows, full: int) -> Iterator[tuple[list[str], list[str], Float32]]:
    column = VECTOR_COLUMNS["dense"]
    for table in held.tables(["document_id", "language", column]):
        stored = unit_rows(from_list_array(table.column(column), full))
        yield table.column("document_id").to_pylist(), table.column("language").to_pylist(), stored


def _column(key: Key) -> str:
    return key.column if key.name is None else "metadata"


def _keys(table: pa.Table, key: Key) -> Iterator[str | None]:
    """The key of each row's document."""
    coded = table.column(_column(key)).combine_chunks().dictionary_encode()
    values = coded.dictionary.to_pylist()
    found = [key.of(value if key.name is None else _metadata(value).get(key.name)) for value in values]
    return (found[place] for place in coded.indices.to_pylist())


def _metadata(text: str) -> dict[str, Any]:
    values = json.loads(text)
    return values if isinstance(values, dict) else {}


def _numbers(names: Sequence[str]) -> Numbers:
    return np.array([number_of(name) for name in names], np.uint64)
