"""A corpus of malformed files: no crash, no hang, every record accounted for with its reason, the good ones around it kept."""

import unicodedata
from pathlib import Path

import pytest

from tests.transforms.adapters.formats.malformed import (
    MOST_RECORD_BYTES,
    MOST_TEXT_BYTES,
    URI,
    Malformed,
    malformed_files,
)
from tests.transforms.adapters.formats.reading_files import ids, read, reading_of, written

FILES = list(malformed_files())
SECONDS_A_FILE = 20


def test_the_corpus_is_as_large_and_varied_as_promised() -> None:
    assert len(FILES) >= 300
    assert len({file.kind for file in FILES}) >= 100
    assert len({file.name for file in FILES}) == len(FILES)


def test_the_corpus_is_the_same_in_every_run() -> None:
    assert list(malformed_files()) == FILES


@pytest.mark.timeout(SECONDS_A_FILE)
@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.kind} ({file.name})")
def test_a_malformed_file_gives_what_it_holds(tmp_path: Path, file: Malformed) -> None:
    path = written(tmp_path / file.name, file.content)
    options = {"max_record_bytes": MOST_RECORD_BYTES, "max_document_bytes": MOST_TEXT_BYTES, **file.options}
    page = read(path, reading_of(most_bytes=options.pop("max_document_bytes"), **options))
    found = ids(page)
    expected = [name.replace(URI, str(path)) for name in file.documents]
    assert found == (expected[: len(found)] if file.cut else expected)
    assert [f"{reject['level']}.{reject['reason']}" for reject in page.rejects] == list(file.rejects)
    assert all(reject["detail"] and reject["source"] == str(path) for reject in page.rejects)
    kept = {document["document_id"]: document["text"] for document in page.documents}
    for name, text in file.texts.items():
        assert kept[name.replace(URI, str(path))] == unicodedata.normalize("NFC", text)
    assert dict(page.encodings) == dict(file.encodings)
