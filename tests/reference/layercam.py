"""LayerCAM in slow float64 loops, from Jiang et al. (2021), before the ReLU."""

import numpy as np


def reference(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid) and dy/dA (k, *grid)."""
    grid = activations.shape[1:]
    result = np.zeros(grid)
    for a, g in zip(activations, gradients, strict=True):
        for place in np.ndindex(grid):
            weight = max(0.0, g[place])
            result[place] += weight * a[place]
    return result
