"""Attributions beside captum's, on the same network; where captum sees modules only, so has the network."""

import pytest
import torch
from captum import attr
from tests.attribution.opened import draw, opened, rectifying
from torch import Tensor, nn

from heatproof.attribution import methods

AXES = pytest.mark.parametrize("axes", [1, 2, 3])
TARGET = 2


def twin(axes: int) -> nn.Sequential:
    """Return the network with ReLUs that are not in place, for captum's backward hooks."""
    net = rectifying(axes).double()
    net[4] = nn.ReLU()
    return net


def ours(name: str, axes: int, **settings) -> Tensor:
    net = rectifying(axes).double()
    return methods()[name].function(opened(net, draw(axes), TARGET), **settings)[:, 0]


@AXES
@pytest.mark.parametrize(
    ("name", "peer", "settings", "theirs"),
    [
        ("gradient", "Saliency", {}, {"abs": False}),
        ("input_x_gradient", "InputXGradient", {}, {}),
        (
            "integrated_gradients",
            "IntegratedGradients",
            {"steps": 400, "baseline": 0.2},
            {"n_steps": 400, "baselines": 0.2, "method": "riemann_middle"},
        ),
        ("guided_backprop", "GuidedBackprop", {}, {}),
        ("deconvnet", "Deconvolution", {}, {}),
    ],
)
@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU:UserWarning")
def test_equals_captum(name, peer, settings, theirs, axes):
    x = draw(axes).requires_grad_()
    expected = getattr(attr, peer)(twin(axes)).attribute(x, target=TARGET, **theirs).sum(1)
    torch.testing.assert_close(ours(name, axes, **settings), expected.detach())


@AXES
def test_occlusion_equals_captum(axes):
    settings = {"window": 2, "stride": 1, "baseline": 0.2}
    window = (2, *(2,) * axes)  # all channels at once
    expected = attr.Occlusion(twin(axes)).attribute(
        draw(axes), window, strides=(1, *(1,) * axes), baselines=0.2, target=TARGET
    )
    found = ours("occlusion", axes, **settings)
    torch.testing.assert_close(found.float(), expected[:, 0].float())  # captum answers in float32


@AXES
@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU:UserWarning")
def test_guided_gradcam_equals_captum(axes):
    net = twin(axes)
    x = draw(axes).requires_grad_()
    expected = attr.GuidedGradCam(net, net[3]).attribute(x, target=TARGET).sum(1)
    torch.testing.assert_close(ours("guided_gradcam", axes), expected.detach())
