"""Attention rollout in slow float64 loops, from Abnar and Zuidema (2020), section 3."""

import numpy as np


def reference(activations: np.ndarray, gradients: np.ndarray, attention: list) -> np.ndarray:
    """Return the map of one input from the attention weights (heads, tokens, tokens) of every layer."""
    grid = activations.shape[1:]
    tokens = attention[0][0].shape[1]
    rollout = np.eye(tokens)
    for weights, _ in attention:
        mixed = np.zeros((tokens, tokens))
        for q in range(tokens):
            for s in range(tokens):
                mixed[q, s] = 0.5 * sum(head[q, s] for head in weights) / len(weights) + 0.5 * (q == s)
        rollout = mixed @ rollout
    # The toys with a class token read its row; the others read the mean of all rows.
    row = rollout[0] if tokens > np.prod(grid) else rollout.mean(0)
    return row[-np.prod(grid) :].reshape(grid)
