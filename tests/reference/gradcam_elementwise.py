"""Element-wise Grad-CAM in slow float64 loops, from its definition in the package grad-cam."""

import numpy as np


def reference(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid) and dy/dA (k, *grid)."""
    result = np.zeros(activations.shape[1:])
    for a, g in zip(activations, gradients, strict=True):
        for place in np.ndindex(result.shape):
            product = a[place] * g[place]
            if product > 0:
                result[place] += product
    return result
