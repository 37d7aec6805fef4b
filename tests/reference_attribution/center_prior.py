"""A Gaussian in the middle, one place at a time."""

import numpy as np


def reference(chain, x, j, *, width):
    size = x.shape[1:]
    found = np.zeros(size)
    for place in np.ndindex(size):
        off = [(p - (side - 1) / 2) / (width * side) for p, side in zip(place, size, strict=True)]
        found[place] = np.exp(-0.5 * np.sum(np.square(off)))
    return found
