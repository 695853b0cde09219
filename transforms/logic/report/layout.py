"""A map of vectors: near in meaning, near on paper.

t-SNE (van der Maaten and Hinton 2008, jmlr.org/papers/v9/vandermaaten08a.html), exact, with the gradient descent of the authors' own
program: momentum, gains of each coordinate, early exaggeration. It starts from the two principal components, not from chance, so that the
same vectors give the same map. Distances between groups that lie far apart mean nothing in such a map; who stands beside whom does.
"""

from typing import cast

import numpy as np
import numpy.typing as npt

from transforms.logic.vectors import Float32

PERPLEXITY = 15.0
"""About how many neighbours a point attends to: as many as there are languages in a usual corpus."""
_ITERATIONS = 400
_EXAGGERATED = 100
_EXAGGERATION = 8.0
_BISECTIONS = 50
_LEAST = 1e-12
_GOLDEN_ANGLE = 2.399963
_PUSHES = 60
Float64 = npt.NDArray[np.float64]


def place(vectors: Float32, perplexity: float = PERPLEXITY) -> Float32:
    """Places n unit vectors on a plane, shape (n, 2), each coordinate in [-1, 1]; takes time and memory of order n².

    Fewer than five vectors have no neighbourhoods to keep: they lie where their principal components put them.
    """
    if not len(vectors):
        return np.empty((0, 2), np.float32)
    start = principal_components(vectors)
    if len(vectors) < 5:  # noqa: PLR2004
        return _scaled(start)
    # A point can hardly attend to more than a third of the others.
    chances = _chances(vectors, min(perplexity, (len(vectors) - 1) / 3))
    return _scaled(_descend(chances, start))


def apart(places: Float32, distance: float) -> Float32:
    """Pushes n places on a plane, shape (n, 2), away from each other until none lies much nearer than `distance` to another.

    Neighbours stay neighbours; where there is no room the pushing ends after a number of steps. Takes time and memory of order n².
    """
    # Equal places have no direction to go to: each gets one of its own, by the golden angle.
    turns = np.arange(len(places)) * _GOLDEN_ANGLE
    moved = np.asarray(places, np.float32) + np.float32(distance / 100) * np.stack(
        [np.cos(turns), np.sin(turns)], axis=1
    )
    for _ in range(_PUSHES):
        squares = np.square(moved[:, None, 0] - moved[None, :, 0]) + np.square(moved[:, None, 1] - moved[None, :, 1])
        first, second = np.nonzero(np.triu(squares < distance * distance, 1))
        if not len(first):
            break
        lengths = np.sqrt(squares[first, second])
        push = (moved[first] - moved[second]) * ((distance - lengths) / np.maximum(lengths, _LEAST) / 3)[:, None]
        for axis in range(2):
            moved[:, axis] += np.bincount(first, push[:, axis], len(moved)) - np.bincount(
                second, push[:, axis], len(moved)
            )
    return np.asarray(moved, np.float32)


def principal_components(vectors: Float32) -> Float64:
    """The first two of n vectors, n at least 1, shape (n, 2), with a standard deviation of 0.0001 in the first, as t-SNE likes to start.

    Each component points so that its entry of the greatest magnitude is positive: what a solver returns may point either way.
    """
    centred = np.asarray(vectors, np.float64) - vectors.mean(axis=0, dtype=np.float64)
    found = np.zeros((len(vectors), 2))
    if len(vectors) > 1:
        left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
        kept = min(2, left.shape[1])
        scores = left[:, :kept] * lengths[:kept]
        strongest = scores[np.argmax(np.abs(scores), axis=0), np.arange(kept)]
        found[:, :kept] = scores * np.where(strongest < 0, -1.0, 1.0)
    spread = found[:, 0].std()
    return found / spread * 1e-4 if spread > _LEAST else found


def _chances(vectors: Float32, perplexity: float) -> Float64:
    """Joint probabilities of neighbours, shape (n, n), summing to 1: each point's kernel is as wide as its perplexity asks."""
    exact = np.asarray(vectors, np.float64)
    distances = np.maximum(0.0, 2.0 - 2.0 * (exact @ exact.T))
    np.fill_diagonal(distances, np.inf)
    wanted = np.log(perplexity)
    low, high = np.zeros(len(exact)), np.full(len(exact), np.inf)
    precision = np.ones(len(exact)) / max(_LEAST, float(np.median(distances[np.isfinite(distances)])))
    nearest = distances.min(axis=1, keepdims=True)
    shifted = np.where(np.isfinite(distances), distances - nearest, np.inf)
    finite = np.where(np.isfinite(shifted), shifted, 0.0)
    for _ in range(_BISECTIONS):
        kernel = np.exp(-shifted * precision[:, None])
        total = kernel.sum(axis=1)
        entropy = np.log(total) + precision * (finite * kernel).sum(axis=1) / total
        is_wide = entropy > wanted
        low, high = np.where(is_wide, precision, low), np.where(is_wide, high, precision)
        precision = np.where(np.isfinite(high), (low + high) / 2, precision * 2)
    kernel = np.exp(-shifted * precision[:, None])
    conditional = kernel / kernel.sum(axis=1, keepdims=True)
    joint = (conditional + conditional.T) / (2 * len(exact))
    return cast("Float64", np.maximum(joint, _LEAST))


def _descend(joint: Float64, start: Float64) -> Float32:
    # Half the memory is nearly half the time; what a step rounds away the next one makes up.
    chances, points = np.asarray(joint, np.float32), np.asarray(start, np.float32)
    step = np.zeros_like(points)
    gains = np.ones_like(points)
    # Belkina et al. 2019, doi:10.1038/s41467-019-13055-y: a rate of n / exaggeration, whatever n.
    rate = max(50.0, len(points) / _EXAGGERATION)
    # Matrices of order n² are made once, and no BLAS is called, whose threads wait for each other longer than they compute.
    kernel, forces = np.empty_like(chances), np.empty_like(chances)
    for iteration in range(_ITERATIONS):
        is_early = iteration < _EXAGGERATED
        across, down = points.T
        np.square(np.subtract.outer(across, across, out=kernel), out=kernel)
        kernel += np.square(np.subtract.outer(down, down, out=forces), out=forces)
        kernel += 1.0
        np.divide(1.0, kernel, out=kernel)
        np.fill_diagonal(kernel, 0.0)
        np.multiply(_EXAGGERATION if is_early else 1.0, chances, out=forces)
        forces *= kernel
        total = kernel.sum()
        kernel *= kernel
        kernel /= total
        forces -= kernel
        pulls = np.stack([np.einsum("ij,j->i", forces, one) for one in (across, down)], axis=1)
        gradient = 4.0 * (forces.sum(axis=1)[:, None] * points - pulls)
        gains = np.maximum(0.01, np.where(np.sign(gradient) == np.sign(step), gains * 0.8, gains + 0.2))
        step = (0.5 if is_early else 0.8) * step - rate * gains * gradient
        points = points + step
        points -= points.mean(axis=0)
    return points


def _scaled(points: Float32 | Float64) -> Float32:
    """Points within [-1, 1], with equal units on both axes."""
    low, high = points.min(axis=0), points.max(axis=0)
    reach = float((high - low).max()) / 2
    centred = points - (low + high) / 2
    return np.asarray(centred / reach if reach > 0 else centred, np.float32)
