"""CAM in slow float64 loops, from Zhou et al. (2016), eq. 2; the weights are read off the gradient of a pooled head."""

import numpy as np


def reference(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid) and dy/dA (k, *grid)."""
    grid = activations.shape[1:]
    result = np.zeros(grid)
    for a, g in zip(activations, gradients, strict=True):
        weight = g[(0,) * len(grid)] * g.size  # y = sum_k w_k mean(A^k) + b, so dy/dA = w_k / Z at any position
        for place in np.ndindex(grid):
            result[place] += weight * a[place]
    return result
