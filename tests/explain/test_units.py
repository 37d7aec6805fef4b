"""What the color bar claims to measure is what the method measures."""

import pytest
import torch
from torch import nn

import heatproof as hp


@pytest.mark.parametrize(
    ("method", "units", "caption"),
    [
        ("gradcam", "score", "logit evidence"),
        ("eigencam", "activations", "not in units of the score"),
        ("kpcacam", "none", "no unit"),
        (lambda capture: capture.activations.mean(1, keepdim=True), "unknown", "as the method gives it"),
    ],
)
def test_units_follow_the_method_into_the_color_bar(method, units, caption):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    ex = hp.explain(net, torch.rand(1, 3, 16, 16), target=1, method=method)
    assert ex.units == units
    from heatproof.report.view import view

    assert caption in view(ex, 0, 0, signed=False, threshold=0.15, opacity=0.6, vmax=None).unit()
