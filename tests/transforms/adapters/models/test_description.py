"""Checkpoints described by their files, and the ones that are refused."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer

from tests.checkpoints import (
    HIDDEN,
    POSITIONS,
    build_checkpoint,
    build_late_interaction,
    build_m3,
    build_plain_checkpoint,
    build_splade,
    build_static,
)
from transforms.adapters.models import check_outputs, describe_model, locate_model
from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import fingerprint
from transforms.logic.outputs import Output

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
    assert (model.kind, model.outputs, model.multi_dimensions) == ("SentenceTransformer", ("dense",), 0)
    assert (model.hidden_size, model.tokenizer_directory, dict(model.heads)) == (HIDDEN, model.directory, {})


def test_bge_m3_has_three_outputs(tmp_path: Path) -> None:
    model = describe_model(str(build_m3(tmp_path / "m3")))
    assert model.outputs == ("dense", "sparse", "multi")
    assert (model.dimensions, model.multi_dimensions, model.pooling) == (HIDDEN, HIDDEN, "cls")
    (Path(model.directory) / "sparse_linear.pt").unlink()
    assert describe_model(model.directory).outputs == ("dense", "multi")


def test_a_checkpoint_of_transformers_alone_is_pooled_as_the_library_pools_it(tmp_path: Path) -> None:
    model = describe_model(str(build_plain_checkpoint(tmp_path / "mbert")))
    assert (model.modules, model.pooling, model.dimensions) == (("Transformer", "Pooling"), "mean", HIDDEN)
    assert model.max_sequence_tokens == POSITIONS
    loaded = SentenceTransformer(model.directory, device="cpu", local_files_only=True)
    assert [type(module).__name__ for module in loaded] == list(model.modules)
    assert loaded[1].pooling_mode == "mean"


@pytest.mark.parametrize("trace", ["sentence_bert_config.json", "config_sentence_transformers.json"])
def test_a_checkpoint_that_lost_its_modules_is_no_checkpoint_of_transformers(checkpoint: Path, trace: str) -> None:
    """Else one that pools otherwise would be pooled by the mean, and nobody would know."""
    (checkpoint / "modules.json").unlink()
    with pytest.raises(ConfigurationError, match=rf"has no modules\.json, but .*{trace}"):
        describe_model(str(checkpoint))


def test_a_table_of_embeddings_has_no_limit(tmp_path: Path) -> None:
    model = describe_model(str(build_static(tmp_path / "static")))
    assert (model.model_type, model.modules, model.outputs) == ("static", ("StaticEmbedding",), ("dense",))
    assert (model.dimensions, model.hidden_size, model.max_sequence_tokens) == (HIDDEN, 0, 2**31 - 1)


def test_a_sparse_encoder_has_sparse_outputs_alone(tmp_path: Path) -> None:
    model = describe_model(str(build_splade(tmp_path)))
    assert (model.kind, model.outputs, model.dimensions) == ("SparseEncoder", ("sparse",), 0)
    assert model.modules == ("Transformer", "SpladePooling")


def test_a_router_is_followed_on_its_way_for_documents(tmp_path: Path) -> None:
    model = describe_model(str(build_splade(tmp_path, inference_free=True)))
    assert (model.kind, model.outputs, model.model_type) == ("SparseEncoder", ("sparse",), "bert")
    assert model.modules == ("Router", "Transformer", "SpladePooling")
    assert model.tokenizer_directory == str(Path(model.directory, "document_0_Transformer"))
    assert model.max_sequence_tokens == POSITIONS


@pytest.mark.parametrize("module", ["document_0_Transformer", "query_0_SparseStaticEmbedding"])
def test_no_way_of_a_router_may_lead_to_a_pickle_or_to_foreign_code(tmp_path: Path, module: str) -> None:
    directory = build_splade(tmp_path, inference_free=True)
    (directory / module / "model.safetensors").rename(directory / module / "pytorch_model.bin")
    with pytest.raises(ConfigurationError, match=rf"{module}.* holds only pytorch_model\.bin"):
        describe_model(str(directory))
    (directory / module / "pytorch_model.bin").rename(directory / module / "model.safetensors")
    edit(
        directory / "router_config.json",
        lambda values: {**values, "types": {**values["types"], module: "custom.Module"}},
    )
    with pytest.raises(ConfigurationError, match=r"custom\.Module"):
        describe_model(str(directory))


def test_a_multi_vector_encoder_has_vectors_of_tokens_alone(tmp_path: Path) -> None:
    directory = build_late_interaction(tmp_path, dimensions=8)
    model = describe_model(str(directory))
    assert (model.kind, model.outputs) == ("MultiVectorEncoder", ("multi",))
    assert (model.dimensions, model.multi_dimensions, model.max_sequence_tokens) == (0, 8, POSITIONS)
    edit(directory / "sentence_bert_config.json", lambda values: {**values, "document_length": 100})
    assert describe_model(str(directory)).max_sequence_tokens == 100


def test_a_kind_without_vectors_is_refused(checkpoint: Path) -> None:
    edit(checkpoint / "config_sentence_transformers.json", lambda values: {**values, "model_type": "CrossEncoder"})
    with pytest.raises(ConfigurationError, match=r"is a CrossEncoder, .*SentenceTransformer, SparseEncoder"):
        describe_model(str(checkpoint))


def test_outputs_that_a_model_makes_pass(built: Path, tmp_path: Path) -> None:
    m3 = describe_model(str(build_m3(tmp_path / "m3")))
    for outputs in (("dense",), ("sparse", "multi"), ("dense", "sparse", "multi")):
        check_outputs(m3, outputs)
    model = describe_model(str(built))
    check_outputs(model, ("dense",))
    with pytest.raises(ConfigurationError, match=r"--outputs dense multi: .*makes no multi output; choose among dense"):
        check_outputs(model, ("dense", "multi"))


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


def _with(key: str, given: Any, values: Any) -> Any:
    return {**values, key: given}


@pytest.mark.parametrize("given", [64, 512, None])
def test_a_model_without_numbered_positions_reads_what_its_tokenizer_says(tmp_path: Path, given: int | None) -> None:
    directory = build_checkpoint(tmp_path / "t5", "t5", "unigram")
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        edit(directory / name, partial(_with, key, given))
    assert describe_model(str(directory)).max_sequence_tokens == (given or 512)


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
    with pytest.raises(ConfigurationError, match=rf"has no {name}"):
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


def test_outputs_change_the_space_and_dense_vectors_alone_keep_it(built: Path) -> None:
    model = describe_model(str(built))
    asked: list[tuple[Output, ...]] = [("dense",), ("sparse",), ("dense", "sparse"), ("dense", "sparse", "multi")]
    assert len({model.embedding_space("", "float32", outputs) for outputs in asked}) == len(asked)
    assert model.embedding_space("", "float32", ("dense",)) == model.embedding_space("", "float32")
    was = {"files": model.files_digest, "pooling": "mean", "prompt": "query: ", "max_sequence_tokens": POSITIONS}
    was |= {"normalised": True, "dtype": "bfloat16"}
    assert model.embedding_space("query: ", "bfloat16") == fingerprint(was)


def test_describing_a_model_imports_no_torch(built: Path) -> None:
    code = (
        "import sys, transforms.adapters.models as models, transforms.adapters.encoders, transforms.adapters.tokenizers\n"
        f"models.describe_model({str(built)!r})\n"
        "assert not {'torch', 'sentence_transformers', 'transformers'} & set(sys.modules), sorted(sys.modules)"
    )
    root = Path(__file__).parents[4]
    finished = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
