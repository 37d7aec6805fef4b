"""Smooth Grad-CAM++ in slow float64 loops, from Omeiza et al. (2019), with the second power in alpha's numerator."""

from collections.abc import Callable

import numpy as np
from tests.reference.ss_cam import noise


def reference(
    activations: np.ndarray,
    gradients: np.ndarray,
    *,
    inputs: np.ndarray,
    gradient_at: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid), X (c, *spatial), and dy/dA as a function of X."""
    sigma = 0.1 * (inputs.max() - inputs.min())
    found = [gradient_at(inputs + sigma * draw) for draw in noise(16, inputs.shape)]
    result = np.zeros(activations.shape[1:])
    for k, a in enumerate(activations):
        total = sum(a[place] for place in np.ndindex(a.shape))
        weight = 0.0
        for place in np.ndindex(a.shape):
            first = sum(g[k][place] for g in found) / len(found)
            second = sum(g[k][place] ** 2 for g in found) / len(found)
            third = sum(g[k][place] ** 3 for g in found) / len(found)
            if second != 0:
                weight += second / (2 * second + total * third) * max(first, 0)
        for place in np.ndindex(a.shape):
            result[place] += weight * a[place]
    return result
