"""Sparseness and entropy against definitions written out, and their values at both ends."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heatproof.metrics.complexity import entropy, sparseness


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), grid=st.sampled_from([(7,), (3, 4), (2, 3, 2)]), levels=st.sampled_from([2, 9, 999]))
def test_equal_the_definitions(seed, grid, levels):
    maps = np.random.default_rng(seed).integers(-levels, levels, (1, 1, *grid)).astype(np.float32)
    maps.flat[0] = 1
    v = np.abs(maps.ravel()).astype(float)
    # the Gini index as the mean absolute difference of all pairs over twice the mean
    gini = np.abs(v[:, None] - v[None]).mean() / (2 * v.mean())
    assert float(sparseness(torch.tensor(maps))) == pytest.approx(gini, abs=1e-12)
    p = v / v.sum()
    assert float(entropy(torch.tensor(maps))) == pytest.approx(-sum(q * math.log(q) for q in p if q > 0), abs=1e-12)


def test_both_ends():
    alone = torch.zeros(1, 1, 5, 2)
    alone[..., 3, 1] = -2.0
    even = torch.full((1, 1, 5, 2), 1e-38)
    assert float(sparseness(alone)) == pytest.approx(0.9)
    assert float(sparseness(even)) == pytest.approx(0, abs=1e-12)
    assert float(entropy(alone)) == pytest.approx(0, abs=1e-12)
    assert float(entropy(even)) == pytest.approx(math.log(10))
    for undefined in (torch.zeros(1, 1, 4), torch.tensor([[[1.0, torch.inf]]]), torch.tensor([[[1.0, torch.nan]]])):
        assert sparseness(undefined).isnan().all()
        assert entropy(undefined).isnan().all()
