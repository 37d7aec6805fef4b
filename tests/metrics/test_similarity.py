"""Spearman's correlation against scipy, with and without ties, for small and large maps."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from heatproof.metrics.similarity import ranks, spearman


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    grid=st.sampled_from([(7,), (3, 5), (2, 3, 4), (16, 16), (17, 16), (300,), (8, 8, 8)]),
    levels=st.sampled_from([2, 5, 1000]),
)
def test_equals_scipy(seed: int, grid: tuple[int, ...], levels: int) -> None:
    """With 2 or 5 levels almost all values are tied."""
    draws = np.random.default_rng(seed)
    a, b = (draws.integers(0, levels, (2, 3, *grid)).astype(np.float32) for _ in range(2))
    a[0, 0].flat[0], b[0, 0].flat[0] = levels, levels
    found = spearman(torch.tensor(a), torch.tensor(b))
    for i in range(2):
        for j in range(3):
            x, y = a[i, j].ravel(), b[i, j].ravel()
            if np.ptp(x) == 0 or np.ptp(y) == 0:
                assert math.isnan(float(found[i, j]))
            else:
                assert float(found[i, j]) == pytest.approx(spearmanr(x, y).statistic, abs=1e-10)


def test_ranks_equal_scipy() -> None:
    values = torch.tensor([[3.0, 1.0, 3.0, -2.0, 1.0, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]])
    assert np.array_equal(ranks(values).numpy() + 1, rankdata(values.numpy(), axis=1))


@pytest.mark.parametrize("grid", [(5, 5), (20, 20)])
def test_exact_values_and_what_has_no_order(grid: tuple[int, ...]) -> None:
    a = torch.randn(1, 1, *grid, generator=torch.Generator().manual_seed(0))
    for other, wanted in (
        (a, 1.0),
        (a.exp(), 1.0),
        (-a, -1.0),
        (a.flip(2), spearmanr(a.flatten(), a.flip(2).flatten())[0]),
    ):
        assert float(spearman(a, other)) == pytest.approx(wanted, abs=1e-12)
    hole = a.clone()
    hole[..., 0] = torch.nan
    for other in (torch.zeros_like(a), torch.ones_like(a), hole, a / 0):
        assert math.isnan(float(spearman(a, other)))
        assert math.isnan(float(spearman(other, a)))


def test_values_too_close_for_single_precision_are_told_apart_in_double() -> None:
    a = torch.tensor([[[1.0, 1.0 + 1e-12, 1.0 - 1e-12]]], dtype=torch.float64)
    assert float(spearman(a, a)) == pytest.approx(1.0)
