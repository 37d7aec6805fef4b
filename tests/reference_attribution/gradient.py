"""Simonyan et al. 2013, sec. 3.1, with the signed sum over the channels."""

from tests.reference_attribution.chain import slope


def reference(chain, x, j):
    return slope(chain, x, j).sum(axis=0)
