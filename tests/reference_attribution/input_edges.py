"""Sobel's operator, one place and one tap at a time."""

import numpy as np


def reference(chain, x, j):
    size = x.shape[1:]
    found = np.zeros(size)
    for place in np.ndindex(size):
        total = 0.0
        for channel in x:
            for along in range(len(size)):
                g = 0.0
                for tap in np.ndindex(*(3,) * len(size)):
                    weight = 1.0
                    for axis, t in enumerate(tap):
                        weight *= (-0.5, 0.0, 0.5)[t] if axis == along else (0.25, 0.5, 0.25)[t]
                    where = tuple(min(max(p + t - 1, 0), side - 1) for p, t, side in zip(place, tap, size, strict=True))
                    g += weight * channel[where]
                total += g * g
        found[place] = np.sqrt(total)
    return found
