"""Text and Markdown: the file is the document."""

from pathlib import Path

import pytest

from tests.transforms.adapters.formats.malformed import RUSSIAN
from tests.transforms.adapters.formats.reading_files import ids, metadata, read, reading_of, texts, written
from transforms.logic.records import Columns


@pytest.mark.parametrize("name", ["letter.txt", "letter.text"])
def test_a_text_is_named_by_its_address(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, "e\u0301ins\r\nzwei".encode())
    page = read(path)
    assert (ids(page), texts(page), metadata(page)) == ([str(path)], ["éins\r\nzwei"], [{"name": name}])


def test_markdown_says_so_whatever_metadata_is_chosen(tmp_path: Path) -> None:
    path = written(tmp_path / "a.md", b"# Title")
    assert metadata(read(path)) == [{"name": "a.md", "format": "markdown"}]
    assert metadata(read(path, reading_of(Columns(metadata=())))) == [{"format": "markdown"}]


def test_an_encoding_other_than_utf8_is_recorded(tmp_path: Path) -> None:
    page = read(written(tmp_path / "a.txt", RUSSIAN.encode("cp1251")))
    assert metadata(page) == [{"name": "a.txt", "encoding": "windows-1251"}]
    assert page.encodings == {"windows-1251": 1}


def test_names_of_other_files_of_the_corpus_do_not_lose_the_text(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", b"words")
    page = read(path, reading_of(Columns(id="meta.key", text="body")))
    assert (ids(page), texts(page), metadata(page)) == ([str(path)], ["words"], [{"name": "a.txt"}])
