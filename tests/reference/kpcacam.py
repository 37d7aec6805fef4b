"""KPCA-CAM in slow float64 loops, from Karmani et al. (2024), gamma one over the mean squared distance to the mean."""

import math

import numpy as np


def reference(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return the map of one input and one target from A (k, *grid) and dy/dA (k, *grid), of which A alone counts."""
    places = list(np.ndindex(activations.shape[1:]))
    means = [sum(a[place] for place in places) / len(places) for a in activations]
    points = [[a[place] - mean for a, mean in zip(activations, means, strict=True)] for place in places]
    gamma = len(points) / sum(dot(x, x) for x in points)
    kernel = np.array([[math.tanh(gamma * dot(x, y) + 1) for y in points] for x in points])
    every = np.full(kernel.shape, 1 / len(points))
    values, vectors = np.linalg.eig(kernel - every @ kernel - kernel @ every + every @ kernel @ every)
    first = np.argmax(values.real)
    component = math.sqrt(values[first].real) * vectors[:, first].real
    energy = [sum(a[place] ** 2 for a in activations) for place in places]
    if dot(component, energy) < 0:
        component = -component
    return component.reshape(activations.shape[1:])


def dot(x, y) -> float:
    """Return the inner product."""
    return sum(a * b for a, b in zip(x, y, strict=True))
