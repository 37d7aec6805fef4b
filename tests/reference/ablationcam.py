"""Ablation-CAM in slow float64 loops, from Desai and Ramaswamy (2020), with 1 / max |A| in place of their 1 / y."""

from collections.abc import Callable

import numpy as np


def reference(
    activations: np.ndarray, gradients: np.ndarray, *, score: float, replay: Callable[[np.ndarray], float]
) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid), y, and y as a function of A."""
    grid = activations.shape[1:]
    largest = 0.0
    for place in np.ndindex(activations.shape):
        largest = max(largest, abs(activations[place]))
    result = np.zeros(grid)
    for k, a in enumerate(activations):
        without = activations.copy()
        without[k] = 0
        drop = score - replay(without)
        for place in np.ndindex(grid):
            result[place] += drop * a[place] / largest
    return result
