"""ShapleyCAM in slow float64 loops, from Cai (2025); H A by central differences of the gradient, extrapolated."""

from collections.abc import Callable

import numpy as np

RTOL, ATOL = 1e-7, 1e-9  # of finite differences


def reference(
    activations: np.ndarray, gradients: np.ndarray, *, slope: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid), dy/dA, and dy/dA as a function of A."""

    def difference(step: float) -> np.ndarray:
        """Return how the gradient changes along A, up to the square of the step."""
        return (slope((1 + step) * activations) - slope((1 - step) * activations)) / (2 * step)

    curvature = (4 * difference(5e-4) - difference(1e-3)) / 3  # up to its fourth power
    result = np.zeros(activations.shape[1:])
    for a, g, h in zip(activations, gradients, curvature, strict=True):
        weight = sum(g[place] - h[place] / 2 for place in np.ndindex(a.shape)) / a.size
        for place in np.ndindex(a.shape):
            result[place] += weight * a[place]
    return result
