"""Shrikumar et al. 2016, sec. 3."""

from tests.reference_attribution.chain import slope


def reference(chain, x, j):
    return (x * slope(chain, x, j)).sum(axis=0)
