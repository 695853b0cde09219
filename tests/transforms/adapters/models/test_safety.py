"""Hostile checkpoints have no effect: they are refused by name, or what is hostile in them is never read.

Each is a sound checkpoint to which somebody added something. A canary is a file that appears when any of that runs, or is followed.
"""

import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.checkpoints import HIDDEN, build_checkpoint
from transforms.adapters.encoders import Computation, open_encoder
from transforms.adapters.models import check_unchanged, describe_model
from transforms.adapters.tokenizers import open_tokenizer
from transforms.logic.errors import ConfigurationError
from transforms.logic.vectors import Float32

TEXTS = ["the river runs to sea", "der Fluss fließt zum Meer"]


class Pickled:
    """What makes the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._canary),)


@dataclass
class Hostile:
    """A checkpoint under attack; `outside` is a place that nothing may be read from."""

    directory: Path
    canary: Path
    outside: Path

    @property
    def pickle(self) -> bytes:
        """A pickle that makes the canary."""
        return pickle.dumps({"state": Pickled(self.canary)})

    @property
    def code(self) -> str:
        """Python that makes the canary when it is imported, with every class that may be asked for."""
        classes = "\n".join(
            f"class {name}:\n    load = from_pretrained = __init__ = lambda *a, **k: os.mkdir({str(self.canary)!r})"
            for name in ("Evil", "EvilConfig", "EvilTokenizer", "Pooling", "Transformer", "Activation")
        )
        return f"import os\nos.mkdir({str(self.canary)!r})\n{classes}\n"

    def add_code(self, name: str = "modeling_evil.py") -> None:
        (self.directory / name).write_text(self.code)

    def edit(self, name: str, change: Callable[[Any], Any]) -> None:
        path = self.directory / name
        values = json.loads(path.read_bytes()) if path.exists() else {}
        path.write_text(json.dumps(change(values)))

    def put(self, name: str, **values: Any) -> None:
        """Sets keys of a JSON file."""
        self.edit(name, lambda before: {**before, **values})

    def rewrite_header(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Changes the header of the weights, and leaves the numbers as they are."""
        path = self.directory / "model.safetensors"
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        change(header)
        written = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(written)) + written + data[8 + length :])


Attack = Callable[[Hostile], object]
REFUSED: dict[str, tuple[Attack, str]] = {}
IGNORED: dict[str, Attack] = {}


def refused(match: str) -> Callable[[Attack], Attack]:
    def keep(attack: Attack) -> Attack:
        REFUSED[attack.__name__] = (attack, match)
        return attack

    return keep


def ignored(attack: Attack) -> Attack:
    IGNORED[attack.__name__] = attack
    return attack


# --- weights ---


@refused(r"cannot read '.*model\.safetensors'")
def a_pickle_named_safetensors(hostile: Hostile) -> None:
    (hostile.directory / "model.safetensors").write_bytes(hostile.pickle)


@refused(r"only pytorch_model\.bin, which can run code")
def a_pickle_alone(hostile: Hostile) -> None:
    (hostile.directory / "model.safetensors").unlink()
    (hostile.directory / "pytorch_model.bin").write_bytes(hostile.pickle)


@refused(r"holds only pytorch_model\.bin, which can run code")
def a_pickle_beside_safetensors_of_another_name(hostile: Hostile) -> None:
    (hostile.directory / "model.safetensors").rename(hostile.directory / "weights.safetensors")
    (hostile.directory / "pytorch_model.bin").write_bytes(hostile.pickle)


@refused(r"2_Dense' of model .* holds only pytorch_model\.bin")
def a_pickle_in_a_module(hostile: Hostile) -> None:
    folder = hostile.directory / "2_Dense"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(hostile.pickle)
    (folder / "config.json").write_text(json.dumps({"in_features": HIDDEN, "out_features": HIDDEN}))
    hostile.edit("modules.json", lambda values: [*values, _module(3, "2_Dense", "sentence_transformers.models.Dense")])


def _module(index: int, path: str, kind: str) -> dict[str, Any]:
    return {"idx": index, "name": str(index), "path": path, "type": kind}


def _shards(hostile: Hostile, shard: str) -> None:
    names = list(load_file(hostile.directory / "model.safetensors"))
    (hostile.directory / "model.safetensors").rename(hostile.directory / "other.safetensors")
    hostile.put("model.safetensors.index.json", metadata={}, weight_map=dict.fromkeys(names, shard))


@refused(r"model\.safetensors\.index\.json .* names 'shard\.bin' as weights")
def an_index_that_names_a_pickle(hostile: Hostile) -> None:
    """transformers 5.23 hands it to `torch.load`, whatever `use_safetensors` says."""
    (hostile.directory / "shard.bin").write_bytes(hostile.pickle)
    _shards(hostile, "shard.bin")


@refused(r"names '\.\./outside/weights\.safetensors' as weights")
def an_index_that_leads_out(hostile: Hostile) -> None:
    (hostile.directory / "model.safetensors").rename(hostile.outside / "weights.safetensors")
    (hostile.directory / "other.safetensors").write_bytes((hostile.outside / "weights.safetensors").read_bytes())
    hostile.put("model.safetensors.index.json", weight_map={"one": "../outside/weights.safetensors"})


@refused(r"config\.json .* names '\.\./outside/x\.bin' as weights")
def a_configuration_that_names_other_weights(hostile: Hostile) -> None:
    (hostile.outside / "x.bin").write_bytes(hostile.pickle)
    hostile.put("config.json", transformers_weights="../outside/x.bin")


@refused(r"cannot read '.*model\.safetensors'")
def a_header_that_claims_to_be_larger_than_the_file(hostile: Hostile) -> None:
    path = hostile.directory / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 62) + path.read_bytes()[8:])


@refused(r"cannot read '.*model\.safetensors'")
def offsets_before_the_first_number(hostile: Hostile) -> None:
    def change(header: dict[str, Any]) -> None:
        first = next(name for name in header if name != "__metadata__")
        header[first]["data_offsets"] = [-64, header[first]["data_offsets"][1]]

    hostile.rewrite_header(change)


@refused(r"cannot read '.*model\.safetensors'")
def offsets_beyond_the_file(hostile: Hostile) -> None:
    def change(header: dict[str, Any]) -> None:
        first = next(name for name in header if name != "__metadata__")
        header[first]["data_offsets"] = [0, 1 << 40]

    hostile.rewrite_header(change)


@refused(r"cannot read '.*model\.safetensors'")
def tensors_that_overlap(hostile: Hostile) -> None:
    def change(header: dict[str, Any]) -> None:
        names = [name for name in header if name != "__metadata__"]
        header[names[1]] = header[names[0]]

    hostile.rewrite_header(change)


# --- code ---


@refused(r"config\.json of model .* wants to run code of its own \(auto_map\)")
def a_model_class_of_its_own(hostile: Hostile) -> None:
    hostile.add_code()
    hostile.put("config.json", auto_map={"AutoModel": "modeling_evil.Evil", "AutoConfig": "modeling_evil.EvilConfig"})


@refused(r"config\.json of model .* wants to run code of its own \(auto_map\)")
def a_model_class_in_a_nested_configuration(hostile: Hostile) -> None:
    hostile.add_code()
    hostile.put("config.json", text_config={"vision": [{"auto_map": {"AutoConfig": "modeling_evil.EvilConfig"}}]})


@refused(r"tokenizer_config\.json of model .* wants to run code of its own \(auto_map\)")
def a_tokenizer_class_of_its_own(hostile: Hostile) -> None:
    hostile.add_code("tokenization_evil.py")
    auto_map = {"AutoTokenizer": ["tokenization_evil.EvilTokenizer", None]}
    hostile.put("tokenizer_config.json", tokenizer_class="EvilTokenizer", auto_map=auto_map)


@refused(r"processor_config\.json of model .* wants to run code of its own \(auto_map\)")
def a_processor_class_of_its_own(hostile: Hostile) -> None:
    hostile.add_code()
    hostile.put("processor_config.json", auto_map={"AutoProcessor": "modeling_evil.Evil"})


@refused(r"config\.json of model .* wants to run code of its own \(custom_pipelines\)")
def a_pipeline_of_its_own(hostile: Hostile) -> None:
    hostile.add_code()
    hostile.put("config.json", custom_pipelines={"embedding": {"impl": "modeling_evil.Evil", "pt": ["AutoModel"]}})


@refused(r"wants to run code of its own \(modeling_evil\.Pooling in modules\.json\)")
def a_module_class_of_its_own(hostile: Hostile) -> None:
    hostile.add_code()
    hostile.edit("modules.json", lambda values: [values[0], {**values[1], "type": "modeling_evil.Pooling"}])


@refused(r"wants to run code of its own \(sentence_transformers\.base\.model\.pickle in modules\.json\)")
def a_module_that_is_another_name_in_the_library(hostile: Hostile) -> None:
    """`pickle` has a `load`, as modules have."""
    name = "sentence_transformers.base.model.pickle"
    hostile.edit("modules.json", lambda values: [values[0], {**values[1], "type": name}])


@refused(r"wants to run code of its own \(modeling_evil\.Transformer in modules\.json\)")
def a_part_of_a_router_of_its_own(hostile: Hostile) -> None:
    hostile.add_code()
    hostile.edit("modules.json", lambda values: [_module(0, "", "sentence_transformers.base.modules.Router")])
    hostile.put(
        "router_config.json",
        types={"part": "modeling_evil.Transformer"},
        structure={"document": ["part"]},
        parameters={},
    )


@refused(r"2_Dense/config\.json of model .* names 'modeling_evil\.Activation' as its activation_function")
def an_activation_of_its_own(hostile: Hostile) -> None:
    hostile.add_code()
    folder = hostile.directory / "2_Dense"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"activation_function": "modeling_evil.Activation"}))


@refused(r"2_Dense/config\.json of model .* names 'torch\.hub\.load' as its activation_function")
def an_activation_that_fetches(hostile: Hostile) -> None:
    folder = hostile.directory / "2_Dense"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"activation_function": "torch.hub.load"}))


@refused(r"sentence_bert_config\.json of model .* sets trust_remote_code")
def trust_among_the_arguments_of_a_module(hostile: Hostile) -> None:
    hostile.add_code()
    hostile.put("sentence_bert_config.json", model_args={"trust_remote_code": True})


@refused(r"1_Pooling/config\.json of model .* sets trust_remote_code")
def trust_deep_in_the_configuration_of_a_module(hostile: Hostile) -> None:
    hostile.put("1_Pooling/config.json", parameters=[{"kwargs": {"trust_remote_code": True}}])


@refused(r"sentence_bert_config\.json of model .* sets weights_only")
def a_guard_turned_off(hostile: Hostile) -> None:
    hostile.put("sentence_bert_config.json", model_kwargs={"weights_only": False})


@refused(r"config\.json of model .* wants a kernel from elsewhere \(_attn_implementation 'evil/kernel'\)")
def a_kernel_of_the_hub(hostile: Hostile) -> None:
    hostile.put("config.json", _attn_implementation="evil/kernel")


@refused(r"wants a kernel from elsewhere \(attn_implementation 'evil/kernel@main:run'\)")
def a_kernel_of_the_hub_among_the_arguments(hostile: Hostile) -> None:
    hostile.put("sentence_bert_config.json", model_args={"attn_implementation": "evil/kernel@main:run"})


@refused(r"is an adapter of another model \(adapter_config\.json\)")
def an_adapter_of_another_model(hostile: Hostile) -> None:
    hostile.put("adapter_config.json", base_model_name_or_path="evil/model", peft_type="LORA")


@refused(r"sentence_bert_config\.json of model .* sets gguf_file")
def another_format_of_weights(hostile: Hostile) -> None:
    hostile.put("sentence_bert_config.json", model_args={"gguf_file": "../outside/x.gguf"})


# --- ways out ---


@refused(r"sentence_bert_config\.json of model .* sets _configuration_file")
def a_configuration_under_the_name_of_a_vocabulary(hostile: Hostile) -> None:
    """transformers 5.23 takes it for the configuration, and what no vocabulary says was not judged."""
    config = json.loads((hostile.directory / "config.json").read_bytes())
    (hostile.directory / "vocab.json").write_text(json.dumps({**config, "_attn_implementation": "evil/kernel"}))
    hostile.put("sentence_bert_config.json", config_kwargs={"_configuration_file": "vocab.json"})


@refused(r"sentence_bert_config\.json of model .* sets _configuration_file")
def a_configuration_outside(hostile: Hostile) -> None:
    config = json.loads((hostile.directory / "config.json").read_bytes())
    (hostile.outside / "config.json").write_text(json.dumps({**config, "hidden_act": "relu"}))
    hostile.put("sentence_bert_config.json", config_kwargs={"_configuration_file": "../outside/config.json"})


@refused(r"config\.json of model .* sets configuration_files")
def configurations_of_other_versions_outside(hostile: Hostile) -> None:
    config = json.loads((hostile.directory / "config.json").read_bytes())
    (hostile.outside / "config.4.0.0.json").write_text(json.dumps({**config, "hidden_act": "relu"}))
    hostile.put("config.json", configuration_files=["../outside/config.4.0.0.json"])


@refused(r"sentence_bert_config\.json of model .* sets tokenizer_name_or_path")
def a_tokenizer_of_another_model(hostile: Hostile) -> None:
    hostile.put("sentence_bert_config.json", tokenizer_name_or_path=str(hostile.outside))


@refused(r"sentence_bert_config\.json of model .* sets offload_folder")
def a_folder_that_weights_are_written_to(hostile: Hostile) -> None:
    kwargs = {"device_map": {"": "disk"}, "offload_folder": str(hostile.canary)}
    hostile.put("sentence_bert_config.json", model_kwargs=kwargs)


@refused(r"sentence_bert_config\.json of model .* sets subfolder")
def a_folder_of_weights_outside(hostile: Hostile) -> None:
    hostile.put("sentence_bert_config.json", model_kwargs={"subfolder": "../outside"})


@refused(r"leads out of its directory: .*outside' is the path of a module")
def a_module_outside(hostile: Hostile) -> None:
    hostile.edit("modules.json", lambda values: [values[0], {**values[1], "path": "../outside"}])


@refused(r"leads out of its directory: '/.*outside' is the path of a module")
def a_module_at_an_absolute_path(hostile: Hostile) -> None:
    hostile.edit("modules.json", lambda values: [values[0], {**values[1], "path": str(hostile.outside)}])


@refused(r"leads out of its directory: tokenizer\.json is a link to '.*outside")
def a_file_that_is_a_link(hostile: Hostile) -> None:
    path = hostile.directory / "tokenizer.json"
    path.rename(hostile.outside / "tokenizer.json")
    path.symlink_to(hostile.outside / "tokenizer.json")


@refused(r"leads out of its directory: 1_Pooling is a link")
def a_folder_that_is_a_link(hostile: Hostile) -> None:
    (hostile.directory / "1_Pooling").rename(hostile.outside / "1_Pooling")
    (hostile.directory / "1_Pooling").symlink_to("../outside/1_Pooling")


@refused(r"leads out of its directory: model\.safetensors is a link to '/dev/zero'")
def a_device_for_weights(hostile: Hostile) -> None:
    (hostile.directory / "model.safetensors").unlink()
    (hostile.directory / "model.safetensors").symlink_to("/dev/zero")


# --- too much ---


@refused(r"config\.json of model .* is nested too deep")
def a_configuration_without_end(hostile: Hostile) -> None:
    (hostile.directory / "config.json").write_text("[" * 200_000)


@refused(r"huge\.json of model .* has more than 64 MiB")
def a_configuration_that_fills_memory(hostile: Hostile) -> None:
    with (hostile.directory / "huge.json").open("wb") as stream:
        stream.truncate(65 << 20)


# --- what is there, and is never read ---


@ignored
def pickles_of_the_training(hostile: Hostile) -> None:
    for name in (
        "training_args.bin",
        "scheduler.pt",
        "optimizer.pt",
        "rng_state.pth",
        "pytorch_model.bin",
        "model.ckpt",
    ):
        (hostile.directory / name).write_bytes(hostile.pickle)
    hostile.put("pytorch_model.bin.index.json", weight_map={"one": "../outside/x.bin"})


@ignored
def code_that_nothing_names(hostile: Hostile) -> None:
    for name in (
        "modeling_bert.py",
        "configuration_bert.py",
        "conftest.py",
        "sitecustomize.py",
        "__init__.py",
        "torch.py",
    ):
        hostile.add_code(name)


@ignored
def another_model_as_its_origin(hostile: Hostile) -> None:
    (hostile.outside / "modeling_evil.py").write_text(hostile.code)
    hostile.put("config.json", _name_or_path=str(hostile.outside), name_or_path="evil/model")
    hostile.put("tokenizer_config.json", name_or_path=str(hostile.outside))


@ignored
def a_tokenizer_class_that_is_nowhere(hostile: Hostile) -> None:
    hostile.add_code("tokenization_evil.py")
    hostile.put("tokenizer_config.json", tokenizer_class="EvilTokenizer")


@ignored
def a_chat_template_that_runs(hostile: Hostile) -> None:
    template = f"{{{{ cycler.__init__.__globals__.os.system('touch {hostile.canary}') }}}}"
    hostile.put("tokenizer_config.json", chat_template=template)
    (hostile.directory / "chat_template.jinja").write_text(template)


@ignored
def formats_of_other_engines(hostile: Hostile) -> None:
    for name in ("onnx/model.onnx", "openvino/openvino_model.xml", "model.gguf", "tf_model.h5", "flax_model.msgpack"):
        path = hostile.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(hostile.pickle)


@ignored
def a_vocabulary_that_is_a_pickle(hostile: Hostile) -> None:
    for name in ("vocab.txt", "spiece.model", "sentencepiece.bpe.model", "vocab.pkl"):
        (hostile.directory / name).write_bytes(hostile.pickle)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("models") / "sound")


@pytest.fixture(scope="module")
def expected(sound: Path) -> Float32:
    return vectors(sound)


@pytest.fixture
def hostile(sound: Path, tmp_path: Path) -> Hostile:
    (tmp_path / "outside").mkdir()
    return Hostile(Path(copytree(sound, tmp_path / "checkpoint")), tmp_path / "canary", tmp_path / "outside")


def vectors(directory: Path) -> Float32:
    """What the checkpoint makes of the texts."""
    model = describe_model(str(directory))
    computation = Computation("float32", "cpu", budget_tokens=512)
    tokenizer = open_tokenizer(model.tokenizer_directory)
    ids = [np.array(tokenizer.ids(text), np.int32) for text in TEXTS]
    encoded = open_encoder(model, "", computation).encode(TEXTS, ids)
    assert not encoded.faults
    assert encoded.outputs.dense is not None
    return encoded.outputs.dense


def test_the_payloads_are_live(hostile: Hostile) -> None:
    pickle.loads(hostile.pickle)
    assert hostile.canary.exists()
    hostile.canary.rmdir()
    space: dict[str, Any] = {}
    exec(hostile.code, space)
    assert hostile.canary.exists()
    assert {"Evil", "EvilTokenizer", "Pooling"} <= set(space)


def test_there_are_many_kinds() -> None:
    assert len(REFUSED) + len(IGNORED) >= 15


@pytest.mark.parametrize("kind", REFUSED)
def test_what_could_run_or_lead_elsewhere_is_refused_by_name(hostile: Hostile, kind: str) -> None:
    attack, match = REFUSED[kind]
    attack(hostile)
    with pytest.raises(ConfigurationError, match=match):
        describe_model(str(hostile.directory))
    assert not hostile.canary.exists()


@pytest.mark.parametrize("kind", IGNORED)
def test_what_nothing_needs_is_never_read(hostile: Hostile, expected: Float32, kind: str) -> None:
    IGNORED[kind](hostile)
    assert np.array_equal(vectors(hostile.directory), expected)
    assert not hostile.canary.exists()


def test_the_cache_of_the_hub_is_made_of_links(sound: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--some--model"
    snapshot = repository / "snapshots" / ("0" * 40)
    (repository / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted(path for path in sound.rglob("*") if path.is_file())):
        blob = repository / "blobs" / f"{number:064x}"
        blob.write_bytes(path.read_bytes())
        link = snapshot / path.relative_to(sound)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    assert describe_model(str(snapshot)).files == describe_model(str(sound)).files


def test_every_deciding_file_has_its_digest(sound: Path) -> None:
    files = describe_model(str(sound)).files
    assert {"config.json", "model.safetensors", "modules.json", "tokenizer.json", "1_Pooling/config.json"} <= set(files)
    assert {len(bytes.fromhex(digest)) for digest in files.values()} == {32}


def move_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on this process is another one than that which described the checkpoints."""
    monkeypatch.setattr("transforms.adapters.models.description._DESCRIBED", set())


@pytest.mark.parametrize("change", ["other", "missing", "new"])
def test_a_worker_with_other_files_says_so_before_it_loads_them(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    model = describe_model(str(hostile.directory))
    move_on(monkeypatch)
    check_unchanged(model)
    path = hostile.directory / ("new.json" if change == "new" else "sentence_bert_config.json")
    if change == "missing":
        path.unlink()
    else:
        path.write_text("{}")
    with pytest.raises(ConfigurationError, match=rf"not as it was when the run was planned: {path.name} differ"):
        open_encoder(model, "", Computation("float32", "cpu", budget_tokens=512))


def test_a_worker_looks_for_what_no_checkpoint_may_hold(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    model = describe_model(str(hostile.directory))
    move_on(monkeypatch)
    a_tokenizer_class_of_its_own(hostile)
    with pytest.raises(ConfigurationError, match="auto_map"):
        check_unchanged(model)
