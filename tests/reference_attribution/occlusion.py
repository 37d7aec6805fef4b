"""Zeiler and Fergus 2014, sec. 4.2: every place asks every window, in plain loops."""

from itertools import product

import numpy as np


def reference(chain, x, j, *, window, stride, baseline):
    size = x.shape[1:]
    starts = []
    for side in size:
        axis = [start for start in range(0, side, stride) if start + window <= side]
        if axis[-1] + window < side:
            axis.append(side - window)
        starts.append(axis)
    falls = {}
    for corner in product(*starts):
        covered = x.copy()
        for place in np.ndindex(size):
            if all(a <= p < a + window for a, p in zip(corner, place, strict=True)):
                covered[(slice(None), *place)] = baseline
        falls[corner] = chain.score(x, j) - chain.score(covered, j)
    found = np.zeros(size)
    for place in np.ndindex(size):
        over = [
            fall
            for corner, fall in falls.items()
            if all(a <= p < a + window for a, p in zip(corner, place, strict=True))
        ]
        found[place] = np.mean(over)
    return found
