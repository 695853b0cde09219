"""How much arithmetic a model does, from the shapes that its files name: weights are not read."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from transforms.adapters.models.description import ModelDescription
from transforms.adapters.models.files import read_json
from transforms.logic.errors import ConfigurationError

# Looked up or added, not multiplied with every token.
_NOT_MULTIPLIED = ("embeddings", "embedding.weight", "embed_tokens", "pooler")
_MATRIX_AXES = 2


@dataclass(frozen=True)
class Arithmetic:
    """Weights that every token is multiplied with, and what attention adds: layers times the length of hidden states."""

    weights: int
    layers_times_hidden: int

    def flops_of_token(self, chunk_tokens: float) -> float:
        """Operations of a forward pass for one token of a chunk of so many.

        Two for each weight, and four for each number of a hidden state, layer and token that is attended to: Kaplan et al., "Scaling
        Laws for Neural Language Models", arXiv:2001.08361, table 1, without the mask that halves the attention of language models.
        """
        return 2 * self.weights + 4 * self.layers_times_hidden * chunk_tokens


def arithmetic_of(model: ModelDescription) -> Arithmetic:
    """Reads the headers of a checkpoint's weights; a model of embeddings alone has no arithmetic.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    directory = Path(model.directory)
    heads = {Path(head.path).name for head in model.heads.values()}
    weights = 0
    for path in sorted(directory.rglob("*.safetensors")):
        if path.name in heads:
            continue
        try:
            with safe_open(path, "numpy") as tensors:
                for name in tensors.keys():  # noqa: SIM118  no mapping
                    shape = tensors.get_slice(name).get_shape()
                    if len(shape) == _MATRIX_AXES and not any(part in name for part in _NOT_MULTIPLIED):
                        weights += shape[0] * shape[1]
        except (OSError, SafetensorError) as error:
            message = f"cannot read {str(path)!r} of the model: {error}; fetch the checkpoint again"
            raise ConfigurationError(message) from error
    path = Path(model.tokenizer_directory, "config.json")
    config = read_json(path) if path.exists() else {}
    layers = config.get("num_hidden_layers") or config.get("n_layers") or config.get("num_layers") or 0
    return Arithmetic(weights, int(layers) * model.hidden_size)
