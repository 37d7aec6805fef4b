"""IS-CAM in slow float64 loops, from Naidu et al. (2020), each step i/N of the masked input."""

import math
from collections.abc import Callable

import numpy as np
from tests.reference.scorecam import normalized, upsampled


def reference(
    activations: np.ndarray, gradients: np.ndarray, *, inputs: np.ndarray, rescore: Callable[[np.ndarray], float]
) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid), X (c, *spatial), and y as a function of X."""
    baseline = rescore(np.zeros_like(inputs))
    increases = {}
    for k, a in enumerate(activations):
        if a.max() == a.min():
            continue  # s(U(A)) would be 0 / 0
        masked = inputs * normalized(upsampled(a, inputs.shape[1:]))
        increases[k] = sum(rescore(masked * i / 10) - baseline for i in range(1, 11)) / 10
    total = sum(math.exp(increase) for increase in increases.values())
    result = np.zeros(activations.shape[1:])
    for k, increase in increases.items():
        for place in np.ndindex(result.shape):
            result[place] += math.exp(increase) / total * activations[k][place]
    return result
