"""Finer-CAM in slow float64 loops, from Zhang et al. (2025), with gamma = 0.6 and three classes."""

from collections.abc import Callable

import numpy as np


def reference(
    activations: np.ndarray,
    gradients: np.ndarray,
    *,
    target: int,
    class_scores: np.ndarray,
    class_slope: Callable[[int], np.ndarray],
) -> np.ndarray:
    """Return the map of one input and one class from A (k, *grid), dy/dA, every y, and dy/dA of any class."""
    others = [c for c in range(len(class_scores)) if c != target]
    similar = sorted(others, key=lambda c: abs(class_scores[c] - class_scores[target]))[:3]
    slopes = [class_slope(c) for c in similar]
    result = np.zeros(activations.shape[1:])
    for k, a in enumerate(activations):
        weight = 0.0
        for place in np.ndindex(a.shape):
            weight += gradients[k][place] - 0.6 * sum(slope[k][place] for slope in slopes) / len(slopes)
        for place in np.ndindex(a.shape):
            result[place] += weight / a.size * a[place]
    return result
