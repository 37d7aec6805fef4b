"""Grad-CAM++ in slow float64 loops, from Chattopadhyay et al. (2018), eqs. 7 and 19, before the ReLU.

The formula stands here as in the paper, unsimplified; only the common factor exp(S) is left out.
"""

import numpy as np


def reference(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid) and dS/dA (k, *grid)."""
    grid = activations.shape[1:]
    result = np.zeros(grid)
    for a, g in zip(activations, gradients, strict=True):
        total = 0.0
        for place in np.ndindex(grid):
            total += a[place]
        weight = 0.0
        for place in np.ndindex(grid):
            if g[place] <= 0:
                continue  # relu(g) = 0, whatever alpha is
            alpha = g[place] ** 2 / (2 * g[place] ** 2 + total * g[place] ** 3)  # eq. 19
            weight += alpha * g[place]  # eq. 7
        for place in np.ndindex(grid):
            result[place] += weight * a[place]
    return result
