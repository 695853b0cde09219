"""Checkpoints described by their files, and the ones that are refused."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer

from tests.checkpoints import HIDDEN, POSITIONS, build_checkpoint
from transforms.adapters.models import describe_model, locate_model
from transforms.logic.errors import ConfigurationError

PROMPTS = {"query": "query: ", "document": "passage: ", "clustering": ""}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("models") / "bert", prompts=PROMPTS)


@pytest.fixture
def checkpoint(built: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(built, tmp_path / "checkpoint"))


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")


def test_a_checkpoint_says_what_it_is(built: Path) -> None:
    model = describe_model(str(built))
    assert model.directory == str(built.resolve())
    assert model.name == str(built)
    assert model.revision is None
    assert model.model_type == "bert"
    assert model.dimensions == HIDDEN
    assert model.max_sequence_tokens == POSITIONS
    assert model.modules == ("Transformer", "Pooling", "Normalize")
    assert model.pooling == "mean"
    assert model.normalises
    assert dict(model.prompts) == {"query": "query: ", "document": "passage: "}


@pytest.mark.parametrize(
    ("pooling", "named", "times"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean", 1),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls", 1),
        ({"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens", 1),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "cls+mean", 2),
        ({"pooling_mode": "mean"}, "mean", 1),
        ({"pooling_mode": "cls"}, "cls", 1),
        ({"pooling_mode": "lasttoken"}, "lasttoken", 1),
        ({"pooling_mode": ["mean", "cls"]}, "mean+cls", 2),
        ({}, "mean", 1),
        ({"pooling_mode_mean_tokens": True, "include_prompt": False}, "mean without prompt", 1),
    ],
)
def test_old_and_new_pooling_configurations_are_read_as_the_library_reads_them(
    checkpoint: Path, pooling: dict[str, Any], named: str, times: int
) -> None:
    (checkpoint / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": HIDDEN, **pooling}))
    model = describe_model(str(checkpoint))
    assert (model.pooling, model.dimensions) == (named, times * HIDDEN)
    loaded = SentenceTransformer(str(checkpoint), device="cpu", local_files_only=True)
    assert loaded.get_embedding_dimension() == model.dimensions


def test_a_checkpoint_saved_by_the_library_itself_is_described_alike(built: Path, tmp_path: Path) -> None:
    SentenceTransformer(str(built), device="cpu", local_files_only=True).save_pretrained(str(tmp_path / "saved"))
    was, saved = describe_model(str(built)), describe_model(str(tmp_path / "saved"))
    for name in ("model_type", "dimensions", "max_sequence_tokens", "modules", "pooling", "normalises", "prompts"):
        assert getattr(saved, name) == getattr(was, name), name


def test_a_dense_module_decides_the_dimensions(tmp_path: Path) -> None:
    model = describe_model(str(build_checkpoint(tmp_path / "dense", dense=8, normalise=False)))
    assert model.dimensions == 8
    assert model.modules == ("Transformer", "Pooling", "Dense")
    assert not model.normalises


def test_an_architecture_that_names_its_width_otherwise_is_described(tmp_path: Path) -> None:
    model = describe_model(str(build_checkpoint(tmp_path / "distilbert", "distilbert")))
    assert (model.model_type, model.dimensions) == ("distilbert", HIDDEN)


def test_xlm_roberta_cannot_use_its_first_two_positions(tmp_path: Path) -> None:
    directory = build_checkpoint(tmp_path / "xlm-roberta", "xlm-roberta", "unigram")
    (directory / "sentence_bert_config.json").unlink()
    (directory / "tokenizer_config.json").unlink()
    assert json.loads((directory / "config.json").read_bytes())["max_position_embeddings"] == POSITIONS + 2
    assert describe_model(str(directory)).max_sequence_tokens == POSITIONS


@pytest.mark.parametrize(
    ("sentence_bert", "tokenizer", "limit"),
    [(64, 100, 64), (None, 100, 100), (None, int(1e30), POSITIONS), (512, None, POSITIONS), (None, None, POSITIONS)],
)
def test_the_limit_is_the_one_the_library_cuts_at(
    checkpoint: Path, sentence_bert: int | None, tokenizer: int | None, limit: int
) -> None:
    edit(checkpoint / "sentence_bert_config.json", lambda values: {**values, "max_seq_length": sentence_bert})
    edit(checkpoint / "tokenizer_config.json", lambda values: {**values, "model_max_length": tokenizer})
    assert describe_model(str(checkpoint)).max_sequence_tokens == limit


@pytest.mark.parametrize("name", ["config.json", "modules.json", "tokenizer.json"])
def test_a_missing_file_is_named(checkpoint: Path, name: str) -> None:
    (checkpoint / name).unlink()
    with pytest.raises(ConfigurationError, match=f"has no {name}"):
        describe_model(str(checkpoint))


@pytest.mark.parametrize("name", ["config.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"])
@pytest.mark.parametrize("content", ["{", "[1]", "null", '"text"', "{}", '[{"type": 1}]', "\ud800"])
def test_a_file_that_describes_nothing_is_a_configuration_error(checkpoint: Path, name: str, content: str) -> None:
    (checkpoint / name).write_bytes(content.encode("utf-8", "surrogatepass"))
    if (name, content) in {("1_Pooling/config.json", "{}"), ("sentence_bert_config.json", "{}")}:
        # Nothing said means the library's own defaults.
        assert describe_model(str(checkpoint)).pooling == "mean"
    else:
        with pytest.raises(ConfigurationError):
            describe_model(str(checkpoint))


def test_pickled_weights_are_refused(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(ConfigurationError, match=r"only pytorch_model\.bin, which can run code"):
        describe_model(str(checkpoint))


def test_a_directory_without_weights_is_refused(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="no weights at all"):
        describe_model(str(checkpoint))


def test_pickled_weights_of_a_module_are_refused_beside_sound_ones(tmp_path: Path) -> None:
    directory = build_checkpoint(tmp_path / "dense", dense=8)
    (directory / "2_Dense" / "model.safetensors").rename(directory / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(ConfigurationError, match=r"2_Dense.* holds only pytorch_model\.bin"):
        describe_model(str(directory))


def test_pickles_beside_safetensors_are_left_alone(checkpoint: Path) -> None:
    (checkpoint / "training_args.bin").write_bytes(b"never read")
    assert describe_model(str(checkpoint)).dimensions == HIDDEN


def test_an_architecture_with_code_of_its_own_is_refused(checkpoint: Path) -> None:
    edit(checkpoint / "config.json", lambda values: {**values, "auto_map": {"AutoModel": "modeling.Model"}})
    with pytest.raises(ConfigurationError, match="auto_map"):
        describe_model(str(checkpoint))


def test_a_module_with_code_of_its_own_is_refused_and_never_imported(checkpoint: Path) -> None:
    (checkpoint / "custom.py").write_text(f"open({str(checkpoint / 'ran')!r}, 'w')\nclass Pooling: pass\n")
    edit(checkpoint / "modules.json", lambda values: [values[0], {**values[1], "type": "custom.Pooling"}])
    with pytest.raises(ConfigurationError, match=r"custom\.Pooling"):
        describe_model(str(checkpoint))
    assert not (checkpoint / "ran").exists()


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "a" * 39, "A" * 40, "a" * 41, "g" * 40, ""])
def test_a_hub_name_needs_a_whole_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str | None) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"some/model.*--revision.*40-digit"):
        describe_model("some/model", revision)


def test_a_hub_that_cannot_give_the_model_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"some/model.*cannot be fetched"):
        locate_model("some/model", "0" * 40)


def test_a_relative_directory_becomes_absolute(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(built.parent)
    assert locate_model(built.name, None) == str(built.resolve())


def test_the_space_does_not_know_path_name_or_readme(checkpoint: Path, tmp_path: Path) -> None:
    before = describe_model(str(checkpoint))
    (checkpoint / "README.md").write_text("other words", encoding="utf-8")
    (checkpoint / "offline_model.json").write_text("{}", encoding="utf-8")
    moved = describe_model(str(checkpoint.rename(tmp_path / "elsewhere")))
    assert moved.files_digest == before.files_digest
    assert moved.embedding_space("query: ", "float32") == before.embedding_space("query: ", "float32")


def _shift_a_weight(checkpoint: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    name = min(weights)
    weights[name] = weights[name] + np.float32(1e-3)
    save_file(weights, checkpoint / "model.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        _shift_a_weight,
        lambda checkpoint: edit(checkpoint / "tokenizer.json", lambda values: {**values, "normalizer": None}),
        lambda checkpoint: edit(checkpoint / "config.json", lambda values: {**values, "layer_norm_eps": 1e-5}),
        lambda checkpoint: edit(
            checkpoint / "1_Pooling" / "config.json", lambda values: {**values, "pooling_mode": "cls"}
        ),
        lambda checkpoint: edit(
            checkpoint / "sentence_bert_config.json", lambda values: {**values, "do_lower_case": True}
        ),
    ],
    ids=["weights", "tokenizer", "config", "pooling", "lower case"],
)
def test_whatever_decides_a_vector_changes_the_space(checkpoint: Path, change: Callable[[Path], None]) -> None:
    before = describe_model(str(checkpoint))
    change(checkpoint)
    after = describe_model(str(checkpoint))
    assert after.files_digest != before.files_digest
    assert after.embedding_space("", "float32") != before.embedding_space("", "float32")


def test_prompt_and_number_type_change_the_space(built: Path) -> None:
    model = describe_model(str(built))
    asked = [("", "float32"), ("", "bfloat16"), ("query: ", "float32"), ("query:", "float32")]
    spaces = [model.embedding_space(prompt, dtype) for prompt, dtype in asked]
    assert len(set(spaces)) == len(asked)
    assert {len(space) for space in spaces} == {32}


def test_describing_a_model_imports_no_torch(built: Path) -> None:
    code = (
        "import sys, transforms.adapters.models as models, transforms.adapters.encoders, transforms.adapters.tokenizers\n"
        f"models.describe_model({str(built)!r})\n"
        "assert not {'torch', 'sentence_transformers', 'transformers'} & set(sys.modules), sorted(sys.modules)"
    )
    root = Path(__file__).parents[3]
    finished = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
