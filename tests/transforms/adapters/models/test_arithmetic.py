import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.pipelines.jobs import make_model
from transforms.adapters.models import describe_model
from transforms.adapters.models.arithmetic import arithmetic_of
from transforms.logic.errors import ConfigurationError

HIDDEN, INNER, LAYERS = 16, 64, 3


def layered(home: Path) -> Path:
    """A checkpoint in the shape of BERT."""
    model = make_model(home / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "num_hidden_layers": LAYERS}))
    tensors: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (1000, HIDDEN),
        "pooler.dense.weight": (HIDDEN, HIDDEN),
    }
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        tensors |= {f"{name}.attention.self.{one}.weight": (HIDDEN, HIDDEN) for one in ("query", "key", "value")}
        tensors |= {
            f"{name}.attention.output.dense.weight": (HIDDEN, HIDDEN),
            f"{name}.output.LayerNorm.bias": (HIDDEN,),
        }
        tensors |= {
            f"{name}.intermediate.dense.weight": (INNER, HIDDEN),
            f"{name}.output.dense.weight": (HIDDEN, INNER),
        }
    save_file({name: np.zeros(shape, np.float32) for name, shape in tensors.items()}, model / "model.safetensors")
    return model


def test_weights_are_those_that_every_token_is_multiplied_with(tmp_path: Path) -> None:
    found = arithmetic_of(describe_model(str(layered(tmp_path))))
    assert found.weights == LAYERS * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER) == LAYERS * 12 * HIDDEN**2
    assert found.layers_times_hidden == LAYERS * HIDDEN
    # As in `benchmarks.gpu`: 2 a weight and token, 4 x hidden size x length a token and layer.
    assert found.flops_of_token(100) == 2 * found.weights + 4 * LAYERS * HIDDEN * 100


def test_a_model_without_layers_has_no_arithmetic(tmp_path: Path) -> None:
    assert arithmetic_of(describe_model(str(make_model(tmp_path / "model")))).flops_of_token(100) == 0


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    model = describe_model(str(layered(tmp_path)))
    (tmp_path / "model" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ConfigurationError, match=r"cannot read .*model\.safetensors"):
        arithmetic_of(model)
