"""The examples of docs/extend.md, put where the page says, do what it says: a corpus is read, told and encoded through them."""

import gzip
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.docs.commands import files_of
from tests.docs.pages import name_of
from transforms.adapters.detectors import choice
from transforms.adapters.detectors.cld2 import cld2_languages
from transforms.adapters.formats import plan_splits, read_split, reading, sniffing
from transforms.adapters.formats.files import read_text
from transforms.adapters.storage import list_matching
from transforms.logic.records import Reading

PAGE = ROOT / "docs" / "extend.md"
SUBTITLES = "1\n00:00:01,000 --> 00:00:04,000\nOnce upon a time\n\n2\n00:00:05,000 --> 00:00:06,500 X1:1\nin Lübeck\n"


def _example(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": name}
    exec(compile(files_of(PAGE)[name], f"{name_of(PAGE)}: {name}", "exec"), names)
    return names


@pytest.fixture
def subtitles(monkeypatch: pytest.MonkeyPatch) -> None:
    """The format, at the two places that the page names."""
    readers = {**reading._READERS, "subtitles": _example("subtitles.py")["read_subtitles"]}
    monkeypatch.setattr(reading, "_READERS", MappingProxyType(readers))
    monkeypatch.setitem(sniffing._FORMATS, "srt", "subtitles")


@pytest.mark.usefixtures("subtitles")
def test_the_format_is_read_packed_or_not_and_rejects_what_it_must(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(SUBTITLES, encoding="utf-8")
    (tmp_path / "b.srt.gz").write_bytes(gzip.compress(SUBTITLES.encode()))
    (tmp_path / "c.srt").write_bytes(SUBTITLES.encode("latin-1") * 20)
    (tmp_path / "d.srt").write_text(SUBTITLES * 100)
    files = list_matching([str(tmp_path)])
    asked = Reading(decoding="strict", max_record_bytes=2500)
    pages = [page for split in plan_splits(files) for page in read_split(split, asked)]
    documents = [document for page in pages for document in page.documents]
    assert [Path(document["document_id"]).name for document in documents] == ["a.srt", "b.srt.gz"]
    assert {" ".join(document["text"].split()) for document in documents} == {"Once upon a time in Lübeck"}
    rejects = [(Path(one["source"]).name, one["reason"]) for page in pages for one in page.rejects]
    assert rejects == [("c.srt", "bad_encoding"), ("d.srt", "too_large")]


def test_without_the_format_the_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(SUBTITLES, encoding="utf-8")
    (page,) = (page for split in plan_splits(list_matching([str(tmp_path)])) for page in read_split(split, Reading()))
    assert (page.documents, [one["reason"] for one in page.rejects]) == ([], ["unknown_format"])
    assert read_text is reading._READERS["text"]


def test_the_detector_is_opened_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _example("toki_pona.py")["TokiPonaDetector"]
    read_part = choice._read_part
    monkeypatch.setattr(
        choice, "_read_part", lambda part: choice._Part(made, 1) if part == "tokipona" else read_part(part)
    )
    chosen = choice.read_choice("tokipona,cld2", 0.5)
    assert chosen.label_count == 1 + len(cld2_languages())
    guesses = chosen.detector().identify(["mi moku. sina lukin e ni.", "Das Wetter wird morgen besser als heute.", ""])
    assert [guess.language for guess in guesses] == ["tok", "de", "und"]


def test_the_places_that_the_page_names_are_there() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, path in (
        ("_READERS", "transforms/adapters/formats/reading.py"),
        ("_FORMATS", "transforms/adapters/formats/sniffing.py"),
        ("EXTRAS", "transforms/adapters/formats/splits.py"),
        ("_read_part", "transforms/adapters/detectors/choice.py"),
        ("open_engine", "transforms/adapters/encoders.py"),
        ("format", "pipelines/configuration/sections.py"),
    ):
        assert f"`{name}`" in page
        assert f"`{path}`" in page
        assert name in (ROOT / path).read_text(encoding="utf-8")
