"""The sample corpus is what the README says of it."""

import gzip
import json
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

from transforms.adapters.tokenizers import ModelTokenizer
from transforms.logic.scripts import count_letters

LANGUAGES = ["en", "de", "es", "fr", "tr", "vi", "ru", "el", "ar", "he", "hi", "th", "zh", "ja", "ko"]
SPECIAL = {"long", "mixed", "defects"}


def _lines(path: Path) -> list[bytes]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return raw.splitlines()


def _records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _lines(path)]


def test_each_topic_is_told_in_every_language_at_encyclopaedic_length(sample_corpus: Path) -> None:
    topics = [path for path in sorted(sample_corpus.glob("*.jsonl")) if path.stem not in SPECIAL]
    assert len(topics) == 20
    for path in topics:
        records = _records(path)
        assert [record["lang"] for record in records] == LANGUAGES
        assert [record["id"] for record in records] == [f"{path.stem}-{language}" for language in LANGUAGES]
        for record in records:
            assert list(record) == ["id", "text", "lang", "title", "date", "url"]
            assert 350 <= len(record["text"]) <= 700, record["id"]
            assert unicodedata.is_normalized("NFC", record["text"]), record["id"]
            assert record["date"] in {"2026-03-01", "2026-03-02", "2026-03-03"}


def test_ten_scripts_are_there(sample_corpus: Path) -> None:
    scripts = {
        record["lang"]: count_letters([record["text"]])[0].script
        for record in _records(sample_corpus / "volcanoes.jsonl")
    }
    assert set(scripts.values()) == {"Latn", "Cyrl", "Grek", "Arab", "Hebr", "Deva", "Thai", "Hani", "Jpan", "Hang"}


def test_long_documents_need_several_chunks_and_one_document_mixes_languages(
    sample_corpus: Path, offline_model: Path
) -> None:
    tokenizer = ModelTokenizer(str(offline_model))
    long = _records(sample_corpus / "long.jsonl")
    assert len(long) == 5
    assert min(len(tokenizer.ids(record["text"])) for record in long) > 2 * 256
    (mixed,) = _records(sample_corpus / "mixed.jsonl")
    assert len(count_letters([mixed["text"]])[0].shares) >= 4


def test_duplicates_have_equal_texts_under_other_ids(sample_corpus: Path) -> None:
    records = _records(sample_corpus / "duplicates.jsonl.gz")
    assert len({record["id"] for record in records}) == 6
    assert sorted(Counter(record["text"] for record in records).values()) == [2, 2, 2]


def test_defects_are_bad_in_six_ways_between_two_good_records(sample_corpus: Path) -> None:
    lines = _lines(sample_corpus / "defects.jsonl")
    assert len(lines) == 8
    assert [json.loads(lines[number])["id"] for number in (0, 7)] == ["salt-en", "salt-de"]
    assert json.loads(lines[1])["text"] == ""
    assert isinstance(json.loads(lines[2])["text"], int | float)
    assert b"\xff" in lines[3]
    assert "id" not in json.loads(lines[4])
    assert all(unicodedata.category(character) == "Cc" for character in json.loads(lines[5])["text"])
    assert not lines[6].rstrip().endswith(b"}")
