"""What counts as hitting the stain: numbers done by hand, and a slow loop over the real tiles."""

import copy

import numpy as np
import pytest
import torch

from heatproof.demo import dab
from heatproof.demo.evidence import Shares, measure, on_held_out_half, share_on, with_random_weights
from heatproof.explain import explain
from heatproof.inputs import read
from heatproof.models import load


@pytest.fixture(scope="module")
def model():
    return load("bundled:dab")


def test_share_by_hand():
    heat = torch.tensor([[[3.0, 1.0], [0.0, 4.0]], [[0.0, 0.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    places = np.array([[[True, True], [True, False]], [[True, True], [False, False]], [[True, True], [True, True]]])
    np.testing.assert_allclose(share_on(heat, places), [0.5, 0.0, np.nan])


def test_even_evidence_scores_exactly_chance():
    places = np.random.default_rng(0).random((4, 9, 7)) < 0.3
    np.testing.assert_allclose(share_on(torch.full((4, 9, 7), 0.2), places), places.mean((1, 2)), rtol=1e-6)


def test_random_weights_are_seeded_and_leave_the_model_alone(model):
    before = model.weights_sha256()
    first, again, other = (with_random_weights(model, seed).weights_sha256() for seed in (5, 5, 6))
    assert first == again != other
    assert model.weights_sha256() == before != first


def slow_share(net, image, truth, settings):
    """Grad-CAM of a pooled linear head in closed form, upsampled one pixel at a time, in float64."""
    x = torch.tensor(np.moveaxis(image / 255, -1, 0))
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (settings.mean, settings.std))
    with torch.no_grad():
        features = net.features(((x - mean) / std)[None])[0].numpy()
    size = features.shape[1]
    grid = np.zeros((size, size))
    for k, weight in enumerate(net.head.weight[1].tolist()):
        grid += weight / size**2 * features[k]
    grid = np.maximum(grid, 0)
    inside = total = 0.0
    for row in range(len(image)):
        for column in range(len(image)):
            value = 0.0
            y, x_ = ((p + 0.5) * size / len(image) - 0.5 for p in (row, column))
            for i, j in ((i, j) for i in (0, 1) for j in (0, 1)):
                top, left = int(np.floor(y)), int(np.floor(x_))
                weight = (1 - abs(y - top - i)) * (1 - abs(x_ - left - j))
                value += weight * grid[min(max(top + i, 0), size - 1), min(max(left + j, 0), size - 1)]
            total += value
            inside += value * truth[row, column]
    return inside / total


def test_measured_shares_are_those_of_a_slow_loop(model):
    tiles = dab.tiles("test", 48)
    chosen = np.flatnonzero(tiles.labels == 1)[::4]
    assert len(chosen) >= 3
    calls = []
    shares = measure(model, [read(i) for i in tiles.images[chosen]], tiles.truths[chosen], [3], lambda: calls.append(1))
    for net, measured in ((model.net, shares.trained), (with_random_weights(model, 3).net, shares.random[0])):
        exact = copy.deepcopy(net).double()
        slow = [slow_share(exact, tiles.images[i], tiles.truths[i], model.preprocess) for i in chosen]
        assert measured == pytest.approx(np.mean(slow), rel=1e-4)
    assert shares.chance == pytest.approx(tiles.truths[chosen].mean())
    assert (shares.tiles, shares.blank, len(calls)) == (len(chosen), 0, 2)


def test_lucky_random_networks_are_counted_and_dead_ones_left_out():
    shares = Shares(trained=0.6, low=0.5, chance=0.2, random=(0.1, float("nan"), 0.6, 0.8), tiles=9, blank=0)
    assert shares.random_seen == (0.1, 0.6, 0.8)
    assert shares.random_mean == pytest.approx(0.5)
    assert shares.random_as_good == 2


def test_field_is_judged_on_its_held_out_half_only(model):
    ex = explain(model, read(dab.field()), "DAB-positive")
    share, chance = on_held_out_half(ex)
    heat = ex.heatmaps()[0, 0].numpy().astype(np.float64)[:, 288:]
    assert share == pytest.approx(heat[dab.truth()[:, 288:]].sum() / heat.sum())
    assert chance == pytest.approx(dab.truth()[:, 288:].mean())
    assert share > 2 * chance
