"""XGrad-CAM in slow float64 loops, from Fu et al. (2020), before the ReLU."""

import numpy as np


def reference(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid) and dy/dA (k, *grid)."""
    grid = activations.shape[1:]
    result = np.zeros(grid)
    for a, g in zip(activations, gradients, strict=True):
        total = 0.0
        for place in np.ndindex(grid):
            total += a[place]
        if total == 0:
            continue  # a dead channel has no share to weigh by
        weight = 0.0
        for place in np.ndindex(grid):
            weight += a[place] / total * g[place]
        for place in np.ndindex(grid):
            result[place] += weight * a[place]
    return result
