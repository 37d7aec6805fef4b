"""Sundararajan et al. 2017, eqs. 1 and 3, at the middles of the steps."""

import numpy as np
from tests.reference_attribution.chain import slope


def reference(chain, x, j, *, baseline, steps):
    start = np.full_like(x, baseline)
    found = np.zeros_like(x)
    for k in range(steps):
        found += slope(chain, start + (k + 0.5) / steps * (x - start), j)
    return ((x - start) * found / steps).sum(axis=0)
