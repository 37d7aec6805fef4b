"""SS-CAM in slow float64 loops, from Wang et al. (2020), sigma a share of each map's range; the noise drawn again."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from tests.reference.scorecam import normalized, upsampled


def reference(
    activations: np.ndarray, gradients: np.ndarray, *, inputs: np.ndarray, rescore: Callable[[np.ndarray], float]
) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid), X (c, *spatial), and y as a function of X."""
    spatial = inputs.shape[1:]
    baseline = rescore(np.zeros_like(inputs))
    copies = [draw[0] for draw in noise(8, (1, *spatial))]
    increases = {}
    for k, a in enumerate(activations):
        if a.max() == a.min():
            continue  # s(U(A)) would be 0 / 0
        large = upsampled(a, spatial)
        sigma = 0.2 * (large.max() - large.min())
        scores = [rescore(inputs * normalized(large + sigma * copy)) for copy in copies]
        increases[k] = sum(scores) / len(scores) - baseline
    total = sum(math.exp(increase) for increase in increases.values())
    result = np.zeros(activations.shape[1:])
    for k, increase in increases.items():
        for place in np.ndindex(result.shape):
            result[place] += math.exp(increase) / total * activations[k][place]
    return result


def noise(copies: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Return at least `copies` draws of `shape` (c, *spatial), each with all its mirror images."""
    draws = torch.Generator().manual_seed(0)
    found: list[np.ndarray] = []
    while len(found) < copies:
        draw = torch.randn(shape, generator=draws).double().numpy()
        for steps in itertools.product([1, -1], repeat=len(shape) - 1):
            mirror = (slice(None), *(slice(None, None, step) for step in steps))
            found += [draw[mirror]]
    return found
