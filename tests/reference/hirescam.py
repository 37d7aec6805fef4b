"""HiResCAM in slow float64 loops, from Draelos and Carin (2020)."""

import numpy as np


def reference(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid) and dy/dA (k, *grid)."""
    grid = activations.shape[1:]
    result = np.zeros(grid)
    for a, g in zip(activations, gradients, strict=True):
        for place in np.ndindex(grid):
            result[place] += g[place] * a[place]
    return result
