"""Eigen-CAM from Muhammad and Yeasin (2020): the projection on the first right singular vector, by power iteration."""

import numpy as np


def reference(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid) and dy/dA (k, *grid), of which A alone counts."""
    grid = activations.shape[1:]
    energy = np.zeros(grid)
    for place in np.ndindex(grid):
        for a in activations:
            energy[place] += a[place] ** 2
    vector = leading_vector(activations)
    result = np.zeros(grid)
    for place in np.ndindex(grid):
        for a, v in zip(activations, vector, strict=True):
            result[place] += a[place] * v
    agreement = sum(result[place] * energy[place] for place in np.ndindex(grid))
    return -result if agreement < 0 else result


def leading_vector(channels: np.ndarray) -> np.ndarray:
    """Return the unit vector v that makes |sum_k v_k channels_k|^2 largest, by power iteration from many starts."""
    k = len(channels)
    gram = np.zeros((k, k))
    for i in range(k):
        for j in range(k):
            for place in np.ndindex(channels.shape[1:]):
                gram[i, j] += channels[i][place] * channels[j][place]
    if not gram.any():
        return np.eye(k)[0]
    best = None
    for start in np.eye(k):  # one of them is not orthogonal to the answer
        vector = start
        for _ in range(100_000):
            image = gram @ vector
            if not image.any():
                break
            image /= np.sqrt((image**2).sum())
            still = np.abs(image - vector).max() < 1e-15
            vector = image
            if still:
                break
        if best is None or vector @ gram @ vector > best @ gram @ best:
            best = vector
    return best
