"""Imputers against numbers by hand, scipy's filter, and a direct solution of ROAD's equations in float64."""

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from tests.metrics.toys import draw

from heatproof.errors import MethodError
from heatproof.metrics.imputers import blur, constant, mean, noise, noisy_linear

SIZES = ((17,), (9, 12), (5, 6, 4))
IMPUTERS = {
    "mean": mean,
    "constant": constant(-0.5),
    "blur": blur(1.5),
    "noise": noise(3),
    "noisy_linear": noisy_linear(),
}


def holes(m, size, share=0.4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(m, 1, *size, generator=generator) < share).double()


def direct(values, unknown):
    """Solve x_i = weighted mean of i's neighbors for all unknown i at once, with Rong et al.'s weights."""
    size = values.shape
    places = list(itertools.product(*map(range, size)))
    missing = [p for p in places if unknown[p]]
    index = {p: i for i, p in enumerate(missing)}
    system, right = np.zeros((len(missing),) * 2), np.zeros(len(missing))
    for p, i in index.items():
        near = []
        for step in itertools.product((-1, 0, 1), repeat=len(size)):
            q = tuple(a + b for a, b in zip(p, step, strict=True))
            if any(step) and all(0 <= a < s for a, s in zip(q, size, strict=True)):
                # in the plane: 1/6 beside, 1/12 across the corner, scaled up where neighbors are missing
                near.append((q, 2.0 ** -sum(map(abs, step))))
        total = sum(w for _, w in near)
        system[i, i] = 1
        for q, w in near:
            if q in index:
                system[i, index[q]] -= w / total
            else:
                right[i] += w / total * values[q]
    out = values.copy()
    for p, value in zip(missing, np.linalg.solve(system, right), strict=True):
        out[p] = value
    return out


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_noisy_linear_solves_its_equations(size, share):
    x, w = draw(3, 2, *size), holes(3, size, share)
    w[0, 0][(0,) * len(size)] = 0  # something is known
    found = noisy_linear(std=0.0)(x, w)
    for i, c in itertools.product(range(3), range(2)):
        wanted = direct(x[i, c].numpy(), w[i, 0].numpy() > 0)
        assert np.abs(found[i, c].numpy() - wanted).max() < 2e-3 * np.ptp(x[i, c].numpy())


def test_a_line_is_continued_across_a_hole():
    x = torch.arange(64, dtype=torch.float32).reshape(1, 1, 64)
    w = torch.zeros_like(x)
    w[..., 5:60] = 1
    assert noisy_linear(std=0.0)(x, w).flatten().tolist() == pytest.approx(list(range(64)), abs=0.1)


def test_a_large_hole_in_a_picture_is_solved_too():
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(80.0), indexing="ij")
    picture = (0.02 * x - 0.01 * y)[None, None]  # every position is the mean of its neighbors already
    w = torch.zeros_like(picture)
    w[..., 10:90, 5:70] = 1
    assert (noisy_linear(std=0.0)(picture, w) - picture).abs().max() < 2e-3 * 2.53  # the picture's spread


def test_with_nothing_known_the_fill_is_the_mean():
    x = draw(2, 3, 6, 7) + 4
    found = noisy_linear(std=0.0)(x, torch.ones(2, 1, 6, 7, dtype=x.dtype))
    torch.testing.assert_close(found, x.mean((2, 3), keepdim=True).expand_as(x))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", IMPUTERS)
def test_what_is_kept_is_kept_and_a_batch_equals_its_singles(name, size):
    x, w = draw(4, 2, *size).float(), holes(4, size).float()
    w[1] = 0
    w[2] = 1
    together = IMPUTERS[name](x, w)
    assert torch.equal(together[1], x[1])
    assert torch.equal(together[w.expand_as(x) == 0], x[w.expand_as(x) == 0])
    assert not torch.equal(together, x)
    for i in range(4):
        torch.testing.assert_close(IMPUTERS[name](x[i : i + 1], w[i : i + 1])[0], together[i], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", IMPUTERS)
def test_a_weight_between_mixes_input_and_fill(name):
    x = draw(2, 2, 6, 7)
    full, half = (IMPUTERS[name](x, torch.full((2, 1, 6, 7), w, dtype=x.dtype)) for w in (1.0, 0.25))
    torch.testing.assert_close(half, 0.75 * x + 0.25 * full)


@pytest.mark.parametrize("size", SIZES)
def test_blur_is_a_gaussian_filter(size):
    x = draw(1, 2, *size)
    found = blur(1.3)(x, torch.ones(1, 1, *size, dtype=x.dtype))
    for c in range(2):
        wanted = gaussian_filter(x[0, c].numpy(), 1.3, mode="nearest", truncate=round(3 * 1.3) / 1.3)
        assert np.abs(found[0, c].numpy() - wanted).max() < 1e-12
    with pytest.raises(MethodError, match="sigma is 0"):
        blur(0.0)


def test_noise_has_the_moments_of_each_channel_and_comes_from_its_seed():
    x = draw(1, 2, 90, 90) * torch.tensor([2.0, 5.0]).reshape(1, 2, 1, 1) + 7
    w = torch.ones(1, 1, 90, 90, dtype=x.dtype)
    found = noise(0)(x, w)
    assert torch.equal(found, noise(0)(x, w))
    assert not torch.equal(found, noise(1)(x, w))
    assert found.mean((2, 3)).flatten().tolist() == pytest.approx([7, 7], abs=0.3)
    assert found.std((2, 3)).flatten().tolist() == pytest.approx([2, 5], rel=0.05)
    smooth = noisy_linear(std=0.5, seed=2)(x, w) - noisy_linear(std=0.0)(x, w)
    assert float(smooth.std()) == pytest.approx(0.5, rel=0.05)


def test_mean_and_constant_by_hand():
    x = torch.tensor([[[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]]])
    w = torch.tensor([[[0.0, 1.0, 0.5]]])
    assert mean(x, w).tolist() == [[[1.0, 3.0, 4.5], [0.0, 1.0, 2.0]]]
    assert constant(-1.0)(x, w).tolist() == [[[1.0, -1.0, 2.5], [0.0, -1.0, 1.0]]]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_roads_imputer_in_half_precision_is_that_in_single_precision(kind):
    x, w = draw(2, 3, 9, 12).to(kind), holes(2, (9, 12)).to(kind)
    found = noisy_linear()(x, w)
    assert found.dtype == kind
    torch.testing.assert_close(found, noisy_linear()(x.float(), w.float()).to(kind))


def test_roads_imputer_of_inputs_that_require_a_gradient():
    x, w = draw(2, 3, 9, 12), holes(2, (9, 12))
    torch.testing.assert_close(noisy_linear()(x.clone().requires_grad_(), w), noisy_linear()(x, w))
