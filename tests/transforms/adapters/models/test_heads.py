"""Linear layers are read from torch's and from safetensors files to the last bit, and nothing in a pickle ever runs."""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.checkpoints import HIDDEN, build_checkpoint, build_m3
from transforms.adapters.models import describe_model, read_linear
from transforms.logic.errors import ConfigurationError

SPARSE, MULTI = "sparse_linear.pt", "colbert_linear.pt"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_m3(tmp_path_factory.mktemp("models") / "m3")


@pytest.fixture
def checkpoint(built: Path, tmp_path: Path) -> Path:
    """The same files, of which a test may replace one."""
    (tmp_path / "m3").mkdir()
    for path in built.rglob("*"):
        target = tmp_path / "m3" / path.relative_to(built)
        target.mkdir() if path.is_dir() else target.write_bytes(path.read_bytes())
    return tmp_path / "m3"


def layer(
    dimensions: int = 4, hidden_size: int = HIDDEN, dtype: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        "weight": torch.randn(dimensions, hidden_size, generator=generator).to(dtype),
        "bias": torch.randn(dimensions, generator=generator).to(dtype),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_numbers_are_read_to_the_last_bit(tmp_path: Path, dtype: torch.dtype, kind: str) -> None:
    state, path = layer(dtype=dtype), tmp_path / f"linear.{kind}"
    if kind == "pt":
        torch.save(OrderedDict(state), path)
    else:
        save_file(state, path)
    weight, bias = read_linear(path, HIDDEN)
    assert weight.dtype == bias.dtype == np.float32
    np.testing.assert_array_equal(weight, state["weight"].float().numpy())
    np.testing.assert_array_equal(bias, state["bias"].float().numpy())


def test_a_layer_saved_by_a_module_or_as_part_of_a_larger_storage_is_read(tmp_path: Path) -> None:
    module = torch.nn.Linear(HIDDEN, 3)
    torch.save(module.state_dict(), tmp_path / "module.pt")
    np.testing.assert_array_equal(read_linear(tmp_path / "module.pt", HIDDEN)[0], module.weight.detach().numpy())
    whole = torch.randn(10, HIDDEN)
    torch.save({"weight": whole[4:7], "bias": whole[9, 5:8]}, tmp_path / "part.pt")
    weight, bias = read_linear(tmp_path / "part.pt", HIDDEN)
    np.testing.assert_array_equal(weight, whole[4:7].numpy())
    np.testing.assert_array_equal(bias, whole[9, 5:8].numpy())
    # Strides say nothing about an axis that is 1 long.
    torch.save({"weight": whole[4:7, 0].contiguous()[:, None].T, "bias": whole[0, :1]}, tmp_path / "turned.pt")
    np.testing.assert_array_equal(read_linear(tmp_path / "turned.pt", 3)[0], whole[4:7, :1].numpy().T)


def test_safetensors_go_before_a_pickle(checkpoint: Path) -> None:
    before = describe_model(str(checkpoint))
    save_file(layer(7), checkpoint / "colbert_linear.safetensors")
    after = describe_model(str(checkpoint))
    assert after.multi_dimensions == 7
    assert after.heads["multi"].path.endswith("colbert_linear.safetensors")
    assert after.files_digest == before.files_digest
    assert after.embedding_space("", "float32") == before.embedding_space("", "float32")


class Malice:
    """Runs a program when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


def test_a_pickle_that_runs_something_is_refused_and_does_not_run(checkpoint: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"weight": Malice(mark), "bias": torch.zeros(1)}, checkpoint / SPARSE)
    with pytest.raises(ConfigurationError, match=r"sparse_linear\.pt.*, which no linear layer needs"):
        describe_model(str(checkpoint))
    assert not mark.exists()
    torch.load(checkpoint / SPARSE, weights_only=False)
    assert mark.exists(), "the file was harmless, so the test proved nothing"


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"weight": torch.zeros(1, HIDDEN)},
        {"bias": torch.zeros(1)},
        {"weight": torch.zeros(1, HIDDEN), "bias": torch.zeros(2)},
        {"weight": torch.zeros(1, HIDDEN + 1), "bias": torch.zeros(1)},
        {"weight": torch.zeros(0, HIDDEN), "bias": torch.zeros(0)},
        {"weight": torch.zeros(HIDDEN), "bias": torch.zeros(1)},
        {"weight": torch.zeros(1, HIDDEN), "bias": torch.zeros(1), "more": torch.zeros(1)},
        {"weight": torch.zeros(HIDDEN, 2).T, "bias": torch.zeros(2)},
        {"weight": torch.zeros(1, HIDDEN, dtype=torch.int32), "bias": torch.zeros(1)},
        {"weight": [1.0], "bias": torch.zeros(1)},
        {"weight": torch.zeros(2, HIDDEN), "bias": torch.zeros(2)},
        [torch.zeros(1)],
        3,
    ],
    ids=str,
)
def test_a_file_that_holds_no_weights_of_tokens_is_named(checkpoint: Path, state: Any) -> None:
    torch.save(state, checkpoint / SPARSE)
    with pytest.raises(ConfigurationError, match=r"sparse_linear\.pt"):
        describe_model(str(checkpoint))


@settings(deadline=None, derandomize=True, max_examples=150)
@given(position=st.integers(0, 1 << 16), cut=st.booleans(), value=st.integers(0, 255))
def test_a_damaged_file_is_a_configuration_error_or_read(built: Path, position: int, cut: bool, value: int) -> None:
    content = bytearray((built / SPARSE).read_bytes())
    position %= len(content)
    if cut:
        del content[position:]
    else:
        content[position] = value
    path = built.parent / "damaged.pt"
    path.write_bytes(content)
    with suppress(ConfigurationError):
        weight, bias = read_linear(path, HIDDEN)
        assert (weight.shape, bias.shape) == ((1, HIDDEN), (1,))


@pytest.mark.parametrize("content", [b"", b"no zip", pickle.dumps({"weight": 1})])
def test_a_file_of_another_format_is_named(checkpoint: Path, content: bytes) -> None:
    (checkpoint / MULTI).write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"cannot read .*colbert_linear\.pt"):
        describe_model(str(checkpoint))


def test_numbers_of_the_other_byte_order_are_refused(checkpoint: Path) -> None:
    with zipfile.ZipFile(checkpoint / MULTI) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(checkpoint / MULTI, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, b"big" if name.endswith("byteorder") else content)
    with pytest.raises(ConfigurationError, match="big-endian"):
        describe_model(str(checkpoint))


def test_heads_beside_a_model_decide_only_the_spaces_that_use_them(tmp_path: Path) -> None:
    bare = describe_model(str(build_checkpoint(tmp_path / "bare", "xlm-roberta", "unigram")))
    directory = build_checkpoint(tmp_path / "model", "xlm-roberta", "unigram")
    spaces: dict[str, list[str]] = {"dense": [], "sparse": [], "multi": []}
    for sparse_scale, multi_scale in ((1, 1), (2, 1), (1, 2)):
        torch.save({name: part * sparse_scale for name, part in layer(1).items()}, directory / SPARSE)
        torch.save({name: part * multi_scale for name, part in layer(4).items()}, directory / MULTI)
        model = describe_model(str(directory))
        spaces["dense"].append(model.embedding_space("", "float32"))
        spaces["sparse"].append(model.embedding_space("", "float32", ("dense", "sparse")))
        spaces["multi"].append(model.embedding_space("", "float32", ("multi",)))
    assert set(spaces["dense"]) == {bare.embedding_space("", "float32")}
    first, other_sparse, other_multi = spaces["sparse"]
    assert first == other_multi != other_sparse
    first, other_sparse, other_multi = spaces["multi"]
    assert first == other_sparse != other_multi
