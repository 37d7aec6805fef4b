"""Grad-CAM in slow float64 loops, from Selvaraju et al. (2017), eqs. 1 and 2, before the ReLU."""

import numpy as np


def reference(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid) and dy/dA (k, *grid)."""
    grid = activations.shape[1:]
    result = np.zeros(grid)
    for a, g in zip(activations, gradients, strict=True):
        alpha = 0.0
        for place in np.ndindex(grid):
            alpha += g[place]
        alpha /= g.size  # eq. 1: 1/Z sum_i sum_j
        for place in np.ndindex(grid):
            result[place] += alpha * a[place]  # eq. 2
    return result
