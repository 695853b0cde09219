"""Questions with known answers: read from rows of a user's file, or mined from documents that share a key.

A sample of them is chosen by digest, so that the same file or collection gives the same sample however its rows are ordered.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import digest
from transforms.logic.labels import check_code
from transforms.logic.normalise import is_blank, normalise_text

MAX_GRADE = 1000
_GRADE = 1
_METADATA = "metadata."
_KEY_COLUMNS = ("document_id", "source")

Numbers = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Question:
    """A question, and which documents answer it.

    Attributes:
        text: as it is asked, normalised.
        language: of the question, a folded code.
        answers: grade by document id; 0 is no answer, more is better.
        answer_texts: grade by text, of documents that are named by what one of their chunks says.
        group: questions that belong together, as translations of one: resampled together.
        itself: the document that the question was made of, which does not count as found.
    """

    text: str
    language: str
    answers: Mapping[str, int] = field(default_factory=dict)
    answer_texts: Mapping[str, int] = field(default_factory=dict)
    group: str = ""
    itself: str | None = None

    @property
    def relevant(self) -> frozenset[str]:
        """Documents that answer it."""
        return frozenset(name for name, grade in self.answers.items() if grade > 0)


class QuestionSample:
    """The questions of a file, at most so many: those with the smallest digests. Rows of one question are put together."""

    def __init__(self, most: int) -> None:
        """Keeps at most `most` questions, at least one."""
        self._most = most
        self._kept: dict[bytes, Question] = {}
        self._limit: bytes | None = None
        self.rows = 0

    def add(self, row: Mapping[str, Any], place: str) -> None:
        """Takes a row with `query`, `query_language`, and one of `answers`, `answer` and `answer_text`.

        The latter two may have a `grade` beside them.

        Args:
            row: values by column; `answers` is a list of document ids, or of objects with `id` and `grade`.
            place: of the row, for messages.

        Raises:
            ConfigurationError: naming the place, the column and what is allowed.
        """
        self.rows += 1
        question = read_question(row, place)
        name = digest("question", question.language, question.text)
        if self._limit is not None and name > self._limit:
            return
        before = self._kept.get(name)
        self._kept[name] = question if before is None else _joined(before, question)
        if len(self._kept) > 2 * self._most:
            self._prune()

    @property
    def is_cut(self) -> bool:
        """Whether there were more questions than are kept."""
        self._prune()
        return self._limit is not None

    def questions(self) -> list[Question]:
        """What is kept, ordered by digest."""
        self._prune()
        return [self._kept[name] for name in sorted(self._kept)]

    def _prune(self) -> None:
        if len(self._kept) > self._most:
            names = sorted(self._kept)[: self._most]
            self._kept = {name: self._kept[name] for name in names}
            self._limit = names[-1]


def read_question(row: Mapping[str, Any], place: str) -> Question:
    """One row as a question: see `QuestionSample.add`."""
    text = _text(row, "query", place)
    language = check_code(f"{place}, column query_language", _text(row, "query_language", place))
    given = [name for name in ("answers", "answer", "answer_text") if row.get(name) not in (None, "")]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise ConfigurationError(
            f"{place}: one of the columns answers, answer and answer_text must say what answers the query; there is {found}"
        )
    (column,) = given
    if column == "answers":
        return Question(text, language, _answers(row[column], place))
    graded = row.get("grade") not in (None, "")
    grade = _grade(row["grade"], f"{place}, column grade") if graded else _GRADE
    if column == "answer_text":
        return Question(text, language, answer_texts={_text(row, column, place): grade})
    return Question(text, language, {_id(row[column], f"{place}, column answer"): grade})


def _answers(values: Any, place: str) -> dict[str, int]:
    where = f"{place}, column answers"
    if not isinstance(values, list) or not values:
        raise ConfigurationError(
            f"{where}: a list of at least one document id, or of objects with id and grade, is needed, not {_shown(values)}"
        )
    found: dict[str, int] = {}
    for value in values:
        if isinstance(value, dict):
            name, grade = _id(value.get("id"), f"{where}, id"), value.get("grade")
            found[name] = max(found.get(name, 0), _GRADE if grade is None else _grade(grade, f"{where}, grade"))
        else:
            name = _id(value, where)
            found[name] = max(found.get(name, 0), _GRADE)
    return found


def _text(row: Mapping[str, Any], column: str, place: str) -> str:
    value = row.get(column)
    text = normalise_text(value).strip() if isinstance(value, str) else ""
    if is_blank(text):
        raise ConfigurationError(f"{place}, column {column}: a text that is not empty is needed, not {_shown(value)}")
    return text


def _id(value: Any, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{where}: a document id is needed, not {_shown(value)}")
    return normalise_text(value)


def _grade(value: Any, where: str) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_GRADE:
        raise ConfigurationError(
            f"{where}: a whole number from 0 (no answer) to {MAX_GRADE} is needed, not {_shown(value)}"
        )
    return value


def _joined(first: Question, second: Question) -> Question:
    return Question(
        first.text,
        first.language,
        _better(first.answers, second.answers),
        _better(first.answer_texts, second.answer_texts),
    )


def _better(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {name: max(first.get(name, 0), second.get(name, 0)) for name in {**first, **second}}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004


# --- mined ---


@dataclass(frozen=True)
class Key:
    """Which documents are translations of each other: those that share a key.

    Attributes:
        column: `document_id`, `source` or `metadata.NAME`.
        pattern: regular expression that is searched for in the value; its groups, or without any all that it matches, are the key. A
            value that it does not match has none. Without a pattern the value is the key.
    """

    column: str
    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.column not in _KEY_COLUMNS and not (self.column.startswith(_METADATA) and self.name):
            raise ConfigurationError(f"--key-column {self.column!r}: choose {', '.join(_KEY_COLUMNS)} or metadata.NAME")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ConfigurationError(f"--key-pattern {self.pattern!r} is no regular expression: {error}") from error

    @property
    def name(self) -> str | None:
        """Name in the metadata; None for a column."""
        return self.column.removeprefix(_METADATA) if self.column.startswith(_METADATA) else None

    def of(self, value: Any) -> str | None:
        """The key of a document whose column or metadata has this value; None if it has none."""
        if value is None or value == "":
            return None
        text = value if isinstance(value, str) else repr(value)
        if self.pattern is None:
            return text
        found = re.search(self.pattern, text)
        if found is None:
            return None
        return "\0".join(part or "" for part in found.groups()) if found.groups() else found.group()


def number_of(text: str) -> int:
    """64 bits of the digest of a document id or key, above 0: what stands for it where millions are held at once."""
    return int.from_bytes(digest(text)[:8], "big") or 1


@dataclass(frozen=True)
class Mined:
    """Which documents ask, and which keys they have.

    Attributes:
        asking: numbers of the documents that become questions, ordered.
        keys: numbers of their keys, ordered.
        documents: how many documents share their key with one of another language.
    """

    asking: Numbers
    keys: Numbers
    documents: int


def mine(documents: Numbers, keys: Numbers, languages: npt.NDArray[np.int32], most: int) -> Mined:
    """Chooses at most `most` documents, those with the smallest numbers, whose key is one of another language's document too.

    Args:
        documents: shape (n,): numbers of distinct documents.
        keys: shape (n,): numbers of their keys, 0 for none.
        languages: shape (n,): a number for each language.
        most: at least 1.
    """
    has_key = keys != 0
    pairs = np.unique(np.stack([keys[has_key], languages[has_key].astype(np.uint64)], axis=1), axis=0)
    shared, counts = np.unique(pairs[:, 0], return_counts=True)
    eligible = np.isin(keys, shared[counts > 1])
    order = np.argsort(documents[eligible], kind="stable")[:most]
    return Mined(documents[eligible][order], np.unique(keys[eligible][order]), int(np.count_nonzero(eligible)))


def mined_questions(documents: Mapping[str, tuple[str, str]], texts: Mapping[str, str]) -> list[Question]:
    """Questions that documents ask: the others with their key answer.

    Args:
        documents: language and key by document id.
        texts: by id, what those that ask begin with.
    """
    by_key: dict[str, list[str]] = {}
    for name in sorted(documents):
        by_key.setdefault(documents[name][1], []).append(name)
    found = []
    for name in sorted(texts, key=number_of):
        language, key = documents[name]
        answers = {other: _GRADE for other in by_key[key] if other != name}
        found.append(Question(texts[name], language, answers, group=key, itself=name))
    return found


def answered(
    questions: Iterable[Question], languages: Mapping[str, str], holders: Mapping[str, Iterable[str]]
) -> tuple[list[Question], list[str], int]:
    """Questions with the answers that a collection holds, ids and texts that it does not hold, and how many questions have no answer left.

    Questions of no group that have the same answers become one, as translations of one question have.

    Args:
        questions: as they were read.
        languages: language by document id, of every answer that is held.
        holders: documents by text, of every answer text that is held.
    """
    kept: list[Question] = []
    unknown: set[str] = set()
    without = 0
    for question in questions:
        held = {name: grade for name, grade in question.answers.items() if name in languages}
        for text, grade in question.answer_texts.items():
            held = _better(held, dict.fromkeys(holders.get(text, ()), grade))
        unknown |= {*question.answers} - held.keys()
        unknown |= {text for text in question.answer_texts if not holders.get(text)}
        relevant = sorted(name for name, grade in held.items() if grade > 0)
        group = question.group or "\0".join(relevant)
        now = Question(question.text, question.language, held, {}, group, question.itself)
        if relevant:
            kept.append(now)
        else:
            without += 1
    return kept, sorted(unknown), without
