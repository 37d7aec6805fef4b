"""SSIM and HOG similarity against scikit-image and slow loops; absolute Spearman; what has no value."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from skimage.feature import hog
from skimage.metrics import structural_similarity
from tests.metrics.toys import draw

from heatproof.errors import MethodError
from heatproof.metrics.similarity import hog_similarity, spearman_absolute, ssim


def pair(*grid, seed=0):
    a = draw(2, 2, *grid, seed=seed)
    return a, 0.6 * a + 0.5 * draw(2, 2, *grid, seed=seed + 1) + 0.2


@pytest.mark.parametrize("grid", [(14,), (24, 19), (12, 13, 11)])
def test_ssim_is_that_of_scikit_image(grid):
    a, b = pair(*grid)
    found = ssim(a, b)
    for i, j in itertools.product(range(2), range(2)):
        x, y = a[i, j].numpy(), b[i, j].numpy()
        span = max(x.max(), y.max()) - min(x.min(), y.min())
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        wanted = structural_similarity(x, y, data_range=span, **options)
        assert float(found[i, j]) == pytest.approx(wanted, abs=1e-9)
        wanted = structural_similarity(x, y, data_range=1.0, **options)
        assert float(ssim(a, b, data_range=1.0)[i, j]) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("grid", [(6,), (7, 7), (5, 8), (3,), (3, 4, 3), (3, 5)])
def test_on_small_grids_the_window_is_the_largest_odd_that_fits(grid):
    a, b = pair(*grid)
    size = max(s for s in (1, 3, 5, 7, 9, 11) if s <= min(grid))
    line = [math.exp(-((i - size // 2) ** 2) / (2 * 1.5**2)) for i in range(size)]
    for i, j in itertools.product(range(2), range(2)):
        x, y = a[i, j].numpy(), b[i, j].numpy()
        span = max(x.max(), y.max()) - min(x.min(), y.min())
        c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
        values = []
        for corner in itertools.product(*(range(g - size + 1) for g in grid)):
            w, u, v = [], [], []
            for step in itertools.product(range(size), repeat=len(grid)):
                at = tuple(c + s for c, s in zip(corner, step, strict=True))
                w.append(math.prod(line[s] for s in step))
                u.append(x[at])
                v.append(y[at])
            w, u, v = np.array(w) / sum(w), np.array(u), np.array(v)
            mx, my = (w * u).sum(), (w * v).sum()
            vx, vy, cov = (w * (u - mx) ** 2).sum(), (w * (v - my) ** 2).sum(), (w * (u - mx) * (v - my)).sum()
            values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
        assert float(ssim(a, b)[i, j]) == pytest.approx(np.mean(values), abs=1e-9)


def test_ssim_at_its_ends():
    a = draw(1, 1, 9, 9)
    assert float(ssim(a, a)) == pytest.approx(1)
    assert float(ssim(10 + a, 10 - a)) < -0.9
    assert float(ssim(5 + 0 * a, a - a.mean(), data_range=1.0)) < 0.01
    assert float(ssim(a * 1e-20, a * 1e-20)) == pytest.approx(1)
    assert ssim(torch.ones(1, 1, 5), torch.ones(1, 1, 5)).isnan().all()
    assert ssim(torch.ones(1, 1, 5), torch.tensor([[[1.0, 1, torch.nan, 2, 3]]])).isnan().all()


@pytest.mark.parametrize(("cell", "block", "size"), [(8, 3, (40, 33)), (4, 2, (16, 21)), (5, 1, (11, 14))])
def test_hog_is_that_of_scikit_image(cell, block, size):
    a, b = (1000 * v for v in pair(*size))  # so large that scikit-image's additive constant does not matter
    found = hog_similarity(a, b, cell, block)
    for i, j in itertools.product(range(2), range(2)):
        x, y = (
            hog(v[i, j].numpy(), 9, (cell, cell), (block, block), block_norm="L2-Hys", transform_sqrt=False)
            for v in (a, b)
        )
        assert float(found[i, j]) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)


def test_hog_asks_for_maps_that_it_can_compare():
    with pytest.raises(MethodError, match=r"the maps have 1 axes \(shape \(1, 1, 40\)\)"):
        hog_similarity(torch.ones(1, 1, 40), torch.ones(1, 1, 40))
    with pytest.raises(MethodError, match=r"24 positions wide, but the maps are \(7, 7\)"):
        hog_similarity(torch.ones(1, 1, 7, 7), torch.ones(1, 1, 7, 7))
    a = draw(1, 1, 24, 24)
    assert float(hog_similarity(a, a)) == pytest.approx(1)
    assert hog_similarity(a, torch.ones_like(a)).isnan().all()
    hole = a.clone()
    hole[..., 3, 3] = torch.nan
    assert hog_similarity(a, hole).isnan().all()


def test_absolute_spearman_forgets_the_sign():
    a, b = pair(4, 5)
    found = spearman_absolute(a, b)
    for i, j in itertools.product(range(2), range(2)):
        wanted = spearmanr(a[i, j].abs().flatten(), b[i, j].abs().flatten()).statistic
        assert float(found[i, j]) == pytest.approx(wanted)
    assert spearman_absolute(a, -a).flatten().tolist() == pytest.approx([1] * 4)
    assert spearman_absolute(a / a.abs(), a).isnan().all()


@pytest.mark.parametrize("grid", [(2,), (1,), (2, 9), (9, 2), (1, 9), (5, 2, 5)])
def test_ssim_needs_three_positions_along_every_axis(grid):
    a, b = draw(2, 1, *grid), draw(2, 1, *grid, seed=1)
    assert ssim(a, b).isnan().all()
    assert ssim(a, b).shape == (2, 1)
