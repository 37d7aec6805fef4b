"""Eigen-Grad-CAM in slow float64 loops: Eigen-CAM of gradient times activation, its sign as HiResCAM's."""

import numpy as np
from tests.reference.eigencam import leading_vector


def reference(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid) and dy/dA (k, *grid)."""
    grid = activations.shape[1:]
    products = np.zeros(activations.shape)
    for place in np.ndindex(activations.shape):
        products[place] = activations[place] * gradients[place]
    vector = leading_vector(products)
    result, agreement = np.zeros(grid), 0.0
    for place in np.ndindex(grid):
        evidence = 0.0
        for p, v in zip(products, vector, strict=True):
            result[place] += p[place] * v
            evidence += p[place]
        agreement += result[place] * evidence
    return -result if agreement < 0 else result
