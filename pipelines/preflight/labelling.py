"""The file of labels, read and checked against the model before anything is encoded."""

from collections.abc import Callable

import numpy as np

from pipelines.configuration.config import Config
from transforms.adapters.encoders import Encoder
from transforms.adapters.storage import read_bytes
from transforms.adapters.tokenizers import ModelTokenizer
from transforms.label import Labelling
from transforms.logic.errors import ConfigurationError
from transforms.logic.zero_shot import Labels, read_labels


def labels_of(config: Config) -> Labels | None:
    """The labels that `--labels` names, if any.

    Raises:
        ConfigurationError: the file cannot be read or says something wrong, or the run makes no dense vectors.
    """
    path = config.labelling.labels
    if path is None:
        return None
    if "dense" not in config.encoding.outputs:
        raise ConfigurationError(f"--labels {path!r} compares dense vectors; add dense to --outputs, or leave it out")
    try:
        data = read_bytes(path)
    except OSError as error:
        raise ConfigurationError(f"--labels {path!r} cannot be read: {error}") from error
    return read_labels(data, path)


def plan_labelling(
    labels: Labels, tokenizer: ModelTokenizer, room_tokens: int, encoder: Callable[[], Encoder]
) -> Labelling:
    """How chunks are labelled.

    Args:
        labels: what the file says.
        tokenizer: of the model.
        room_tokens: what the model reads at once beside special tokens and the prompt of the labels.
        encoder: picklable factory of the model with that prompt.

    Raises:
        ConfigurationError: a text is longer.
    """
    token_ids = {
        name: tuple(np.array(tokenizer.ids(text), np.int32) for text in texts) for name, texts in labels.texts.items()
    }
    for name, of_label in token_ids.items():
        longest = max(map(len, of_label))
        if longest > room_tokens:
            raise ConfigurationError(
                f"--labels: a text of {name!r} has {longest} tokens, and {room_tokens} remain beside special tokens and the prompt; "
                "shorten it"
            )
    return Labelling(encoder, labels.texts, token_ids, labels.floor)
