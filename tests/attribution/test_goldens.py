"""Attributions on networks small enough to do on paper."""

import math

import pytest
import torch
from tests.attribution.opened import draw, opened, rectifying
from torch import Tensor, nn

from heatproof.attribution import methods
from heatproof.attribution.fullgrad import spread
from heatproof.attribution.rise import draw_mask
from heatproof.errors import HeatproofWarning, MethodError

METHODS = methods()


class Paper(nn.Module):
    """y = 3 relu(x1 - 1) + 2 relu(-x2) - 0.5 relu(x3) + x4 - 4, places weighted so that y is on paper at once."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv1d(1, 2, 1)  # A^1 = x - 1, A^2 = -x
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1))
            self.layer.bias.copy_(torch.tensor([-1.0, 0.0]))
        self.register_buffer("readout", torch.tensor([[3.0, 0.0, -0.5, 1.0], [0.0, 2.0, 1.0, 0.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return (self.layer(x).relu() * self.readout).sum((1, 2)).unsqueeze(1) - 4


# A = x - 1 and -x; relu: A^1 = [1 0 2 0], A^2 = [0 1 0 2]
X = torch.tensor([[[2.0, -1.0, 3.0, -2.0]]])
# y = 3*1 + 2*1 - 0.5*2 - 4 = 0; dy/dx = [3 -2 -0.5 0]: the readout of A^2 is 0 at x4, that of A^1 is shut


def explain(name: str, x: Tensor = X, **settings) -> Tensor:
    return METHODS[name].function(opened(Paper(), x, 0, layer="layer"), **settings)[0, 0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gradient", [3.0, -2, -0.5, 0]),
        ("input_x_gradient", [6.0, 2, -1.5, 0]),
        # the gradient above the ReLU of A^1 at x3 is -0.5: cut off
        ("guided_backprop", [3.0, -2, 0, 0]),
        # what is above counts alone: A^1: [3 0 . 1], A^2: [0 2 1 0]
        ("deconvnet", [3.0, -2, -1, 1]),
        # input x gradient, and the bias of A^1, -1, times its gradient [3 0 -0.5 0]
        ("fullgrad", [3.0, 2, -1, 0]),
        # |x dy/dx| + |b dy/db|
        ("absolute", [9.0, 2, 2, 0]),
        # each place on its own at 0: A^1 = relu(-1) = 0, A^2 = 0, so each place's own share of y falls away
        ("occlusion", [3.0, 2, -1, 0]),
    ],
)
def test_on_paper(name, expected):
    settings = {"occlusion": {"window": 1}, "absolute": {"absolute": True}}.get(name, {})
    if name in ("absolute", "fullgrad"):  # the 4 that is subtracted is no bias of a layer
        with pytest.warns(HeatproofWarning, match="the shares of a score of 0 sum to 4"):
            found = explain("fullgrad", **settings)
    else:
        found = explain(name, **settings)
    torch.testing.assert_close(found, torch.tensor(expected))


def test_integrated_gradients_on_paper():
    # a x1 = 2a is above 1 for half of the way: (2) * 3/2 = 3; x2: -1 * -2 = 2; a x3 = 3a is above 1 for two thirds
    found = explain("integrated_gradients", steps=3000)
    torch.testing.assert_close(found, torch.tensor([3.0, 2, -1, 0]), rtol=1e-3, atol=1e-4)


def test_integrated_gradients_from_another_baseline():
    # from 1 all the way for x1 and x3; x2 goes from 1 to -1 and counts behind 0: half of -2, times -2
    found = explain("integrated_gradients", baseline=1.0, steps=1000)
    torch.testing.assert_close(found, torch.tensor([3.0, 2, -1, 0]), rtol=1e-3, atol=1e-4)
    per_place = explain("integrated_gradients", baseline=torch.tensor([[1.0, 0, 1, 0]]), steps=1)
    torch.testing.assert_close(per_place, torch.tensor([3.0, 2, -1, 0]))


def test_integrated_gradients_say_when_the_steps_were_too_few():
    # one step, at the middle: x1 = 1 is not above 1, x3 = 1.5 is: 2 - 1.5 instead of y(x) - y(0) = 4
    with pytest.warns(HeatproofWarning, match="With 1 steps, .* only within 88%; take more steps"):
        found = explain("integrated_gradients", steps=1)
    torch.testing.assert_close(found, torch.tensor([0.0, 2, -1.5, 0]))


def test_guided_gradcam_on_paper():
    # at the convolution A^1 = [8 -2 -2 1] and A^2 = [-9 1 1 -2] have the gradients [3 0 0 1] and [0 2 1 0], of mean 1
    # and 3/4, so that Grad-CAM is [1.25 -1.25 -1.25 -0.5]; guided backpropagation is [3 -2 -1 1]
    found = explain("guided_gradcam", torch.tensor([[[9.0, -1, -1, 2]]]))
    torch.testing.assert_close(found, torch.tensor([3.75, 0, 0, 0]))
    # A^1 and A^2 as above have the gradients [3 0 -0.5 0] and [0 2 0 0]: (x - 1) 5/8 - x / 2 is negative all over
    assert (explain("guided_gradcam") == 0).all()


def test_occlusion_windows_share_places_on_paper():
    # windows at 0, 2: places 0 and 1 fall by 3 + 2, 2 and 3 by -1 + 0
    torch.testing.assert_close(explain("occlusion", window=2, stride=2), torch.tensor([5.0, 5, -1, -1]))
    # windows at 0, 1, 2 fall by 5, 1, -1
    torch.testing.assert_close(explain("occlusion", window=2, stride=1), torch.tensor([5.0, 3, 0, -1]))
    # windows of 3 at 0 and, at the edge, 1: fall by 4 and 1
    torch.testing.assert_close(explain("occlusion", window=3, stride=2), torch.tensor([4.0, 2.5, 2.5, 1]))
    assert torch.equal(explain("occlusion", window=99), torch.full((4,), 4.0))


def test_smoothgrad_without_noise_is_the_gradient():
    assert torch.equal(explain("smoothgrad", sigma=0.0, copies=2), explain("gradient"))


def test_smoothgrad_depends_on_its_seed():
    found = [explain("smoothgrad", sigma=0.5, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_rise_finds_what_a_linear_score_is_made_of():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].weight[0, 9], net[1].weight[0, 50] = 4.0, -2.0
        net[1].bias.fill_(1000.0)
    subject = opened(net, torch.ones(1, 1, 64), 0, layer="0")
    found = METHODS["rise"].function(subject, masks=3000, cells=16)[0, 0]
    assert abs(int(found.argmax()) - 9) <= 1
    assert abs(int(found.argmin()) - 50) <= 1
    # E[y | p is shown] - E[y] is 4 (1 - 1/2) for a mask of 0 and 1; cells blend, so that a little less is left
    assert 1.0 < found.max() < 2.1
    assert -1.05 < found.min() < -0.5
    assert found[24:40].abs().max() < 0.2, "the constant of the score leaves no noise"


def test_rise_masks_are_seeded_and_shown_as_often_as_asked():
    many = torch.stack([draw_mask(seed, (7, 7), (32, 40), 0.3) for seed in range(300)])
    assert many.shape == (300, 32, 40)
    assert 0 <= many.min() < 0.01
    assert 0.99 < many.max() < 1 + 1e-6
    assert abs(float(many.mean()) - 0.3) < 0.02
    assert torch.equal(draw_mask(3, (7, 7), (32, 40), 0.3), many[3])


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_fullgrad_sums_to_the_score(axes):
    net = rectifying(axes).double()
    subject = opened(net, draw(axes))
    maps = METHODS["fullgrad"].function(subject)
    placeless = net[6].bias[torch.tensor([[i % 4, (i + 2) % 4] for i in range(3)])]
    torch.testing.assert_close(maps.flatten(2).sum(-1) + placeless, subject.scores)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_input_x_gradient_sums_to_the_score_without_biases(axes):
    subject = opened(rectifying(axes, biased=False).double(), draw(axes))
    maps = METHODS["input_x_gradient"].function(subject)
    torch.testing.assert_close(maps.flatten(2).sum(-1), subject.scores)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_integrated_gradients_sum_to_the_difference(axes):
    net, x = rectifying(axes).double(), draw(axes)
    subject = opened(net, x)
    maps = METHODS["integrated_gradients"].function(subject, steps=2000, baseline=0.1)
    start = opened(net, torch.full_like(x, 0.1)).scores
    torch.testing.assert_close(maps.flatten(2).sum(-1), subject.scores - start, rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("grid", "size"), [((4,), (8,)), ((3, 5), (7, 11)), ((2, 3, 2), (5, 9, 4)), ((8,), (3,)), ((4, 9), (9, 4))]
)
def test_spreading_keeps_the_sum_of_every_position(grid, size):
    draws = torch.rand(1, 1, *grid, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert spread(draws, size).sum() == pytest.approx(float(draws.sum()), rel=1e-12)
    for index in range(math.prod(grid)):
        one = torch.zeros(math.prod(grid), dtype=torch.float64)
        one[index] = 1
        assert spread(one.view(1, 1, *grid), size).sum() == pytest.approx(1.0, rel=1e-12)


def test_input_edges_on_paper():
    # a step of 1 in the middle: half a unit per sample on either side
    step = torch.tensor([[[0.0, 0, 1, 1]]])
    torch.testing.assert_close(explain("input_edges", step), torch.tensor([0.0, 0.5, 0.5, 0]))


def test_center_prior_on_paper():
    # 1.5 samples off the center of 4, and a standard deviation of 4/2: exp(-(0.75)^2 / 2)
    outer, inner = math.exp(-0.28125), math.exp(-0.03125)
    torch.testing.assert_close(explain("center_prior", width=0.5), torch.tensor([outer, inner, inner, outer]))


def test_smooth_random_is_standardized_and_smooth():
    x = torch.zeros(1, 1, 64)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    fields = [METHODS["smooth_random"].function(opened(net, x, 0, layer="0"), seed=seed)[0, 0] for seed in range(3)]
    for field in fields:
        assert abs(float(field.mean())) < 1e-6
        assert abs(float(field.square().mean()) - 1) < 1e-5
        assert field.diff().abs().max() < 0.5
    assert not torch.allclose(fields[0], fields[1])


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("smoothgrad", {"copies": 0}, "copies is 0; it must be at least 1"),
        ("smoothgrad", {"sigma": -0.1}, r"sigma is -0\.1; it is a standard deviation"),
        ("integrated_gradients", {"steps": 0}, "steps is 0; it must be at least 1"),
        (
            "integrated_gradients",
            {"baseline": torch.zeros(3, 1)},
            r"baseline has shape \(3, 1\), which does not spread",
        ),
        ("occlusion", {"window": (2, 2)}, r"window is \(2, 2\); pass a whole number above 0, or one for each of the 1"),
        ("occlusion", {"stride": 0}, "stride is 0; pass a whole number above 0"),
        ("rise", {"probability": 1.0}, r"probability is 1\.0; it must lie between 0 and 1"),
        ("rise", {"masks": 0}, "masks is 0; it must be at least 1"),
        ("rise", {"cells": 0}, "cells is 0; pass a whole number above 0"),
        ("center_prior", {"width": 0.0}, r"width is 0\.0; it must be above 0"),
        ("smooth_random", {"width": -1.0}, r"width is -1\.0; it must be above 0"),
    ],
)
def test_settings_out_of_range_are_refused(name, settings, told):
    with pytest.raises(MethodError, match=told):
        explain(name, **settings)
