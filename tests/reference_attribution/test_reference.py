"""Every attribution against a slow float64 loop that was written from its paper, not from its code."""

import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.attribution.opened import CLASSES, SIZES, draw, opened, rectifying
from tests.reference_attribution.chain import Chain

from heatproof.attribution import methods
from heatproof.errors import HeatproofWarning

METHODS = [name for name, plugin in methods().items() if plugin.module.startswith("heatproof.")]
SETTINGS = {
    "integrated_gradients": {"baseline": 0.3, "steps": 4},
    "smoothgrad": {"copies": 3, "sigma": 0.2, "seed": 5},
    "occlusion": {"window": 2, "stride": 1, "baseline": 0.3},
    "rise": {"masks": 30, "cells": 3, "probability": 0.6, "seed": 5},
    "fullgrad": {"absolute": False},
    "center_prior": {"width": 0.3},
    "smooth_random": {"seed": 5, "width": 0.3},
}


def compare(name, axes, seed, **settings):
    settings = {**SETTINGS.get(name, {}), **settings}
    net = rectifying(axes, seed).double()
    x = draw(axes, n=2, seed=seed + 50)
    targets = [[0, 2, 3], [1, 3, 0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeatproofWarning)  # about few steps
        found = methods()[name].function(opened(net, x, targets), **settings)
    chain = Chain.of(net, (2, *SIZES[axes]))
    loop = import_module(f"tests.reference_attribution.{name}").reference
    expected = [[loop(chain, one, j, **settings) for j in row] for one, row in zip(x.numpy(), targets, strict=True)]
    expected = torch.from_numpy(np.array(expected))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_loop(name):
    assert Path(__file__).with_name(f"{name}.py").is_file(), f"write tests/reference_attribution/{name}.py"


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", METHODS)
def test_method_agrees_with_its_loop(name, axes, seed):
    compare(name, axes, seed)


@pytest.mark.parametrize("axes", [1, 2])
def test_windows_that_do_not_fit_in_evenly(axes):
    compare("occlusion", axes, 3, window=3, stride=2, baseline=-0.2)


def test_the_chain_is_the_network():
    net, x = rectifying(2).double(), draw(2, n=1)
    chain = Chain.of(net, (2, *SIZES[2]))
    for j in range(CLASSES):
        assert chain.score(x[0].numpy(), j) == pytest.approx(net(x)[0, j].item(), rel=1e-12)
