"""The two heads that BGE-M3 has beside its dense vector, on the hidden states of one pass: weights of tokens, one vector a token.

After FlagEmbedding 1.4, `inference/embedder/encoder_only/m3.py` and `finetune/embedder/encoder_only/m3/modeling.py`; Chen et al. 2024,
arXiv:2402.03216, section 3.2.
"""

from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from transforms.adapters.engines.loading import DTYPES
from transforms.adapters.models import ModelDescription, read_linear, unweighted_ids
from transforms.logic.outputs import Multi, Output, Sparse
from transforms.logic.vectors import Float32


class Launched(NamedTuple):
    """What the heads made of a pass, on its way to host memory; None for a head that was not asked for.

    Attributes:
        weights: shape (tokens,), float32, 0 or more.
        vectors: shape (tokens - n, dimensions), float32, rows of unit length: the first token of each chunk has none.
    """

    weights: torch.Tensor | None
    vectors: torch.Tensor | None


class Heads:
    """The heads of a checkpoint that has them, in its number type.

    A pass is `launch`ed on the device without waiting for it, and `finish`ed on the host after the caller has waited for the
    stream, so that a GPU goes on with the next pass meanwhile:

        launched = heads.launch(hidden, offsets)
        ...
        outputs = Outputs(dense, *heads.finish(launched, ids, offsets_on_the_host))

    Args:
        model: a description with `sparse` or `multi` among its outputs.
        device: where the hidden states will be.
        dtype: number type of the hidden states and of the two matrix products; what follows them is float32.
        outputs: those asked for; `dense` is not this class's concern.

    Raises:
        ConfigurationError: a head's file is not what it has to be.
    """

    def __init__(self, model: ModelDescription, device: torch.device, dtype: str, outputs: tuple[Output, ...]) -> None:
        def layer(output: Output) -> tuple[torch.Tensor, torch.Tensor] | None:
            if output not in outputs:
                return None
            weight, bias = read_linear(Path(model.heads[output].path), model.hidden_size)
            tensors = (torch.from_numpy(weight), torch.from_numpy(bias))
            return cast("tuple[torch.Tensor, torch.Tensor]", tuple(part.to(device, DTYPES[dtype]) for part in tensors))

        self._sparse = layer("sparse")
        self._multi = layer("multi")
        self._unweighted = unweighted_ids(model) if self._sparse else np.empty(0, np.int64)

    @torch.inference_mode()
    def launch(self, hidden: torch.Tensor, offsets: torch.Tensor) -> Launched:
        """Starts both heads on packed hidden states; waits for nothing.

        Args:
            hidden: the last hidden states of n chunks end to end, special tokens included, shape (tokens, hidden size).
            offsets: where each chunk begins, and the number of tokens: shape (n + 1,), any integer type, on the same device.
        """
        weights = vectors = None
        if self._sparse:
            weights = functional.linear(hidden, *self._sparse)[:, 0].float().relu_().to("cpu", non_blocking=True)
        if self._multi:
            # The rows are found on the device, with their number known beforehand: nothing is read back.
            kept = len(hidden) - len(offsets) + 1
            chunks = torch.repeat_interleave(offsets.diff() - 1, output_size=kept)
            rows = torch.arange(1, kept + 1, device=hidden.device) + chunks
            projected = functional.linear(hidden[rows], *self._multi).float()
            vectors = functional.normalize(projected, dim=-1).to("cpu", non_blocking=True)
        return Launched(weights, vectors)

    def finish(
        self, launched: Launched, ids: npt.NDArray[np.integer], offsets: npt.NDArray[np.integer]
    ) -> tuple[Sparse | None, Multi | None]:
        """The outputs of a pass whose stream has been waited for.

        Args:
            launched: what `launch` gave.
            ids: shape (tokens,): the token ids of the pass, special tokens included.
            offsets: shape (n + 1,): as `launch` had them, on the host.
        """
        sparse = multi = None
        if launched.weights is not None:
            sparse = lexical_weights(launched.weights.numpy(), ids, offsets, self._unweighted)
        if launched.vectors is not None:
            multi = Multi(offsets.astype(np.int64) - np.arange(len(offsets)), launched.vectors.numpy())
        return sparse, multi


def lexical_weights(
    weights: Float32,
    ids: npt.NDArray[np.integer],
    offsets: npt.NDArray[np.integer],
    unweighted: npt.NDArray[np.integer],
) -> Sparse:
    """The largest weight of each id within each chunk, where it is above 0; no [chunks, vocabulary] matrix is made.

    Args:
        weights: shape (tokens,), float32. A NaN stays, for the check of soundness to find.
        ids: shape (tokens,), 0 or more.
        offsets: shape (n + 1,), from 0: chunk i has the tokens `offsets[i]` to `offsets[i + 1]`.
        unweighted: ids that never count, such as those of special tokens.
    """
    chunk_count = len(offsets) - 1
    chunks = np.repeat(np.arange(chunk_count), np.diff(offsets))
    counts = ~(weights <= 0) & ~np.isin(ids, unweighted)
    vocabulary = int(ids.max(initial=0)) + 1
    keys = chunks[counts] * vocabulary + ids[counts]
    order = np.argsort(keys)
    keys = keys[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    values = np.maximum.reduceat(weights[counts][order], first) if len(first) else np.empty(0, np.float32)
    owners, indices = np.divmod(keys[first], vocabulary)
    entries = np.searchsorted(owners, np.arange(chunk_count + 1))
    return Sparse(entries.astype(np.int64), indices.astype(np.int32), values)
