"""Gradient-weighted attention in slow float64 loops, from Chefer, Gur and Wolf (2021), eqs. 5 and 6."""

import numpy as np


def reference(activations: np.ndarray, gradients: np.ndarray, attention: list) -> np.ndarray:
    """Return the map of one input and one target from (A, dy/dA), each (heads, tokens, tokens), of every layer."""
    grid = activations.shape[1:]
    tokens = attention[0][0].shape[1]
    relevance = np.eye(tokens)
    for weights, grads in attention:
        heads = len(weights)
        mean = np.zeros((tokens, tokens))
        for h in range(heads):
            for q in range(tokens):
                for s in range(tokens):
                    mean[q, s] += max(0.0, grads[h, q, s] * weights[h, q, s]) / heads  # eq. 5
        relevance = relevance + mean @ relevance  # eq. 6
    relevance -= np.eye(tokens)
    # The toys with a class token read its row; the others read the mean of all rows.
    row = relevance[0] if tokens > np.prod(grid) else relevance.mean(0)
    return row[-np.prod(grid) :].reshape(grid)
