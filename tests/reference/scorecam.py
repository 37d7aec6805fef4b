"""Score-CAM in slow float64 loops, from Wang et al. (2020), with its softmax over the channels."""

import itertools
import math
from collections.abc import Callable

import numpy as np


def reference(
    activations: np.ndarray, gradients: np.ndarray, *, inputs: np.ndarray, rescore: Callable[[np.ndarray], float]
) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid), X (c, *spatial), and y as a function of X."""
    baseline = rescore(np.zeros_like(inputs))
    increases = {}
    for k, a in enumerate(activations):
        if a.max() == a.min():
            continue  # s(U(A)) would be 0 / 0
        increases[k] = rescore(inputs * normalized(upsampled(a, inputs.shape[1:]))) - baseline
    total = sum(math.exp(increase) for increase in increases.values())
    result = np.zeros(activations.shape[1:])
    for k, increase in increases.items():
        for place in np.ndindex(result.shape):
            result[place] += math.exp(increase) / total * activations[k][place]
    return result


def upsampled(a: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return `a` at `size`, linear between the centers of the grid's positions and constant beyond the outermost."""
    result = np.zeros(size)
    for place in np.ndindex(size):
        sides = []
        for p, small, large in zip(place, a.shape, size, strict=True):
            center = min(max((p + 0.5) * small / large - 0.5, 0), small - 1)
            low = min(math.floor(center), small - 1)
            sides.append([(low, 1 - (center - low)), (min(low + 1, small - 1), center - low)])
        for corner in itertools.product(*sides):
            share = math.prod(weight for _, weight in corner)
            result[place] += share * a[tuple(at for at, _ in corner)]
    return result


def normalized(mask: np.ndarray) -> np.ndarray:
    """Return `mask` scaled to 0..1."""
    return (mask - mask.min()) / (mask.max() - mask.min())
