"""Networks whose tiles cannot fit: recognized, blended with smooth weights, and said to depend on the tiling."""

import numpy as np
import pytest
import torch
from tests.wsi.conftest import MPP
from torch import nn

import heatproof
from heatproof.errors import ModelError
from heatproof.inputs.slide import open_slide
from heatproof.synthetic.slides import write_slide
from heatproof.wsi import explain_slide, prepare
from heatproof.wsi.blended import window_weights


class Squeezing(nn.Module):
    """Looks at the whole tile: each channel is scaled by its own mean over the tile."""

    def __init__(self, trunk):
        super().__init__()
        self.trunk, self.last, self.head = trunk, nn.ReLU(), nn.Linear(32, 2)

    def forward(self, x):
        features = self.trunk(x)
        features = self.last(features * features.mean((2, 3), keepdim=True).sigmoid())
        return self.head(features.mean((2, 3)))


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    write_slide(tmp_path_factory.mktemp("small") / "small.tiff", (1100, 1030), seed=5)
    with open_slide(tmp_path_factory.getbasetemp() / "small0" / "small.tiff") as opened:
        yield opened


def test_weights_of_windows_half_a_width_apart_sum_to_one():
    weights = window_weights(8)
    total = sum(np.roll(np.roll(np.pad(weights, ((0, 8), (0, 8))), y, 0), x, 1) for y in (0, 4) for x in (0, 4))
    np.testing.assert_allclose(total[4:8, 4:8], 1)


def test_a_layer_that_looks_at_the_whole_tile_is_found_out(small, dab):
    net = seeded(lambda: Squeezing(dab.net.features))
    ready = prepare(heatproof.Model(net, dab.preprocess), small, 1, mpp=MPP, window=128)
    assert ready.way.mode == "blended"
    assert "looks at the whole tile" in ready.way.why or "whole tile" in ready.way.why


def test_a_head_that_weighs_places_is_blended_as_a_slow_loop_blends(small, dab, tmp_path):
    net = seeded(
        lambda: nn.Sequential(dab.net.features, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 2)).eval()
    )
    model = heatproof.Model(net, dab.preprocess)
    ready = prepare(model, small, 1, mpp=MPP, window=128)
    assert ready.way.mode == "blended"
    assert "weighs the positions of the grid differently" in ready.way.why
    found = explain_slide(ready, tmp_path)
    values = np.asarray(found.canvas.level(0)[:])
    core, total, mass = ready.plan.core, np.zeros((400, 400)), np.zeros((400, 400))
    assert (core, ready.plan.step) == (32, 16)
    for row, column in ready.plan.tiles.tolist():
        tile = small.read(column * 4, row * 4, 128, 128, MPP)
        map = heatproof.explain(model, tile, 1).maps[0, 0].numpy().astype(float) * core**2
        for i in range(core):
            for j in range(core):
                weight = np.sin(np.pi * (i + 0.5) / core) ** 2 * np.sin(np.pi * (j + 0.5) / core) ** 2
                total[row + i, column + j] += weight * map[i, j]
                mass[row + i, column + j] += weight
    expected = np.divide(total, mass, out=np.full(mass.shape, np.nan), where=mass > 0)[
        : values.shape[0], : values.shape[1]
    ]
    seen = np.isfinite(values)
    assert seen.any()
    np.testing.assert_allclose(values[seen], expected[seen], rtol=1e-3, atol=1e-3)


def test_a_method_that_weighs_by_the_tile_is_blended(small, dab):
    ready = prepare(dab, small, 1, mpp=MPP, method="layercam", window=128)
    assert ready.way.mode == "blended"
    assert ready.way.why == "layercam weighs channels by the tile"


def test_a_network_of_one_fixed_size_is_blended(small, dab):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.head = dab.net.features, dab.net.head

        def forward(self, x):
            assert x.shape[2:] == (128, 128), "this network takes 128 x 128 pixels"
            return self.head(self.features(x).mean((2, 3)))

    ready = prepare(heatproof.Model(Fixed(), dab.preprocess), small, 1, mpp=MPP, window=128)
    assert ready.way.mode == "blended"
    assert "does not run on tiles of 512 pixels (this network takes 128 x 128 pixels" in ready.way.why


def test_preprocessing_that_nobody_can_look_into_is_refused(small, dab):
    with pytest.raises(ModelError, match=r"is a function .*what it does to sizes is not known"):
        prepare(heatproof.Model(dab.net, lambda x: x), small, 1, mpp=MPP)
