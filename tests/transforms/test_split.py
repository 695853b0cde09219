"""SplitIntoChunks."""

from functools import partial

from tests.fakes import FakeDetector, FakeTokenizer
from tests.pipelines.jobs import story
from tests.transforms.verbs import LIMITS, SPACE, record, records, run_verb
from transforms.identify import Partitioning, identify_language
from transforms.logic.identity import chunk_id, content_key
from transforms.logic.schemas import CHUNKS
from transforms.split import Splitting, SplitIntoChunks, split_into_chunks


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
        "rejects.total": 1,
        "rejects.record.empty_text": 1,
    }
