"""SplitIntoChunks."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pytest
import regex

from tests.fakes import FakeDetector, FakeTokenizer
from tests.pipelines.jobs import story
from tests.transforms.verbs import LIMITS, SPACE, record, records, run_verb
from transforms.identify import Partitioning, identify_language
from transforms.logic.identity import chunk_id, content_key
from transforms.logic.languages import Guess
from transforms.logic.schemas import CHUNKS
from transforms.split import SplitIntoChunks, Splitting, chunk_counts, split_into_chunks

Row = dict[str, Any]


def test_rows_of_chunks_name_their_place_vector_and_identity() -> None:
    text = story("d", 5)
    documents = identify_language(records(record("d", text, position=7)), FakeDetector(), Partitioning())
    rows, rejects = split_into_chunks(documents, FakeTokenizer(), FakeDetector(), Splitting(LIMITS, SPACE))
    assert rejects == []
    assert [row["ordinal"] for row in rows] == [0, 1, 2]
    for row in rows:
        assert row["text"] == text[row["start"] : row["end"]]
        assert row["tokens"] == len(row["token_ids"]) <= LIMITS.max_tokens
        assert row["token_ids"].tobytes() == FakeTokenizer().tokenise([row["text"]])[0]
        assert row["id"] == chunk_id("d", row["ordinal"], "lang_en")
        assert row["content_key"] == content_key(SPACE, row["text"])
        assert (row["document_id"], row["source"], row["position"]) == ("d", "a.jsonl", 7)
    assert " ".join(row["text"] for row in rows) == text
    assert len({row["row_key"] for row in rows}) == 3


def test_the_verb_rejects_a_document_without_a_token_and_counts_the_rest() -> None:
    batch = records(record("d", story("d", 3)), record("blank", " ", position=9))
    documents = identify_language(batch, FakeDetector(), Partitioning())
    outcome = run_verb(partial(SplitIntoChunks, FakeTokenizer, FakeDetector, Splitting(LIMITS, SPACE)), [documents])
    assert all(part.schema.equals(CHUNKS) for part in outcome.main)
    assert [(row["document_id"], row["ordinal"]) for row in outcome.rows] == [("d", 0), ("d", 1)]
    (reject,) = outcome.rejects
    assert (reject["stage"], reject["reason"], reject["level"]) == ("split", "empty_text", "record")
    assert (reject["document_id"], reject["source"], reject["locator"]) == ("blank", "a.jsonl", "position 9")
    tokens = sum(row["tokens"] for row in outcome.rows)
    assert outcome.counts == {
        "chunks.split": 2,
        "tokens.split": tokens,
        "language.en.chunks": 2,
        "language.en.tokens": tokens,
        "language.en.characters": sum(len(row["text"]) for row in outcome.rows),
        "language.en.bytes": sum(len(row["text"].encode()) for row in outcome.rows),
        "language.und.rejects": 1,
        "length.chunk.10": 1,
        "length.chunk.21": 1,
        "length.document.9": 1,
        "rejects.total": 1,
        "rejects.record.empty_text": 1,
    }


class PartlyUnknown(FakeTokenizer):
    """Knows no word that begins with x."""

    unknown_id: int | None = 0

    def tokenise(self, texts: Sequence[str]) -> list[bytes]:
        words = [regex.findall(r"\w+|[^\w\s]", text) for text in texts]
        ids = [[0 if word.startswith("x") else len(word) for word in of_text] for of_text in words]
        return [np.array(of_text, np.int32).tobytes() for of_text in ids]


def unknown(text: str, on_unknown: Literal["flag", "reject"]) -> tuple[list[Row], list[Row]]:
    documents = identify_language(records(record("d", text)), FakeDetector(), Partitioning())
    splitting = Splitting(LIMITS, SPACE, max_unknown_fraction=0.25, on_unknown=on_unknown)
    return split_into_chunks(documents, PartlyUnknown(), FakeDetector(), splitting)


HALF_UNKNOWN = " ".join(["word"] * 32 + ["xyz", "word"] * 16)


def test_a_chunk_tells_its_share_of_unknown_tokens() -> None:
    rows, rejects = unknown(HALF_UNKNOWN, "flag")

    assert [row["unknown_fraction"] for row in rows] == [0.0, 0.5]
    assert rejects == []
    counts = chunk_counts(rows, PartlyUnknown(), Splitting(LIMITS, SPACE, max_unknown_fraction=0.25))
    assert (counts["chunks.unknown"], counts["language.en.unknown_tokens"]) == (1, 16)
    assert (
        chunk_counts(rows, PartlyUnknown(), Splitting(LIMITS, SPACE, max_unknown_fraction=0.5))["chunks.unknown"] == 0
    )


def test_by_choice_a_chunk_of_too_many_unknown_tokens_is_rejected_alone() -> None:
    rows, (reject,) = unknown(HALF_UNKNOWN, "reject")

    assert [(row["ordinal"], row["unknown_fraction"]) for row in rows] == [(0, 0.0)]
    assert (reject["level"], reject["stage"], reject["reason"]) == ("chunk", "split", "unknown_tokens")
    assert "50.0%" in reject["detail"]


def test_a_document_of_such_chunks_only_is_one_reject() -> None:
    rows, (reject,) = unknown("xyz " * 100, "reject")

    assert rows == []
    assert (reject["level"], reject["reason"], reject["document_id"]) == ("record", "unknown_tokens", "d")


def test_no_token_is_cut_off() -> None:
    text = story("d", 40)
    documents = identify_language(records(record("d", text)), FakeDetector(), Partitioning())
    rows, _ = split_into_chunks(documents, FakeTokenizer(), FakeDetector(), Splitting(LIMITS, SPACE))

    assert b"".join(row["token_ids"].tobytes() for row in rows) == FakeTokenizer().tokenise([text])[0]


class BySpelling(FakeDetector):
    """German where there is an umlaut, else English."""

    def identify(self, texts: Sequence[str]) -> list[Guess]:
        return [Guess("de" if "ü" in text else "en", 0.99) for text in texts]


def test_chunks_of_a_document_of_several_have_a_language_of_their_own() -> None:
    english, german = "Rivers run to the sea today. " * 120, "Flüsse fließen heute zum Meer. " * 120
    batch = records(record("mixed", english + "\n\n" + german), record("short", "Flüsse", position=1))
    documents = identify_language(batch, FakeDetector(), Partitioning())
    rows, _ = split_into_chunks(documents, FakeTokenizer(), BySpelling(), Splitting(LIMITS, SPACE))

    assert {row["language"] for row in rows} == {"en"}
    labels = {row["text"]: (row["chunk_language"], round(row["chunk_language_score"], 2)) for row in rows}
    assert labels.pop("Flüsse") == ("en", 1.0)  # of a document that was seen whole
    whole = {text: label for text, label in labels.items() if len(text) > 90}
    assert {label for text, label in whole.items() if "ü" not in text} == {("en", 0.99)}
    assert {label for text, label in whole.items() if "Rivers" not in text} == {("de", 0.99)}


@pytest.mark.parametrize(
    ("structure", "metadata", "whole"),
    [
        ("auto", '{"format": "markdown"}', True),
        ("auto", '{"format": "text"}', False),
        ("auto", '{"title": "markdown"}', False),
        ("plain", '{"format": "markdown"}', False),
        ("markdown", "{}", True),
    ],
)
def test_structure_is_chosen_or_told_by_the_format(
    structure: Literal["auto", "plain", "markdown"], metadata: str, whole: bool
) -> None:
    table = "\n".join(["| a | b |"] * 4)
    text = "word " * 20 + "\n" + table
    documents = identify_language(records(record("d", text, metadata=metadata)), FakeDetector(), Partitioning())
    rows, _ = split_into_chunks(documents, FakeTokenizer(), FakeDetector(), Splitting(LIMITS, SPACE, structure))

    assert any(table in row["text"] for row in rows) == whole
