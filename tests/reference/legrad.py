"""LeGrad in slow float64 loops, after Bousselham et al. (2024), with the model's own score for every layer."""

import numpy as np


def reference(activations: np.ndarray, gradients: np.ndarray, attention: list) -> np.ndarray:
    """Return the map of one input and one target from dy/dA (heads, tokens, tokens) of every layer."""
    grid = activations.shape[1:]
    places = int(np.prod(grid))
    result = np.zeros(places)
    for _, grads in attention:
        heads, queries, keys = grads.shape
        for h in range(heads):
            for q in range(queries):
                for place in range(places):
                    positive = max(0.0, grads[h, q, keys - places + place])
                    result[place] += positive / (heads * queries * len(attention))
    return result.reshape(grid)
