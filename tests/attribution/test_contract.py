"""What every attribution must keep, whoever wrote it; each file of the folder is found and put through all of it."""

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module

import pytest
import torch
from tests.attribution.opened import CLASSES, SIZES, draw, opened, rectifying
from torch import Tensor, nn

from heatproof import cam
from heatproof.attribution import methods
from heatproof.errors import HeatproofWarning, MethodError
from heatproof.plugins import TIERS, simplify
from heatproof.types import Subject

METHODS = methods()
FEWER = {"rise": {"masks": 24, "cells": 3}, "smoothgrad": {"copies": 3}, "integrated_gradients": {"steps": 5}}
"""Settings that make the costly ones fast; no property depends on them."""
DRAWN = ("rise", "smoothgrad", "smooth_random")
"""Those that draw at random: a mirrored input meets the same draws, not mirrored ones."""
CONTROLS = ("input_edges", "center_prior", "smooth_random")
SAME_FOR_ALL = ("center_prior", "smooth_random")

AXES = pytest.mark.parametrize("axes", [1, 2, 3])
EVERY = pytest.mark.parametrize("name", METHODS)


def explain(name: str, subject: Subject, **settings) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeatproofWarning)  # about few steps; the property is under test
        return METHODS[name].function(subject, **{**FEWER.get(name, {}), **settings})


def same(found: Tensor, expected: Tensor, relative: float = 1e-6) -> None:
    assert found.shape == expected.shape
    allowed = relative * expected.flatten(2).abs().amax(-1)
    assert ((found - expected).flatten(2).abs().amax(-1) <= allowed).all()


@EVERY
def test_says_what_it_is(name):
    plugin = METHODS[name]
    assert plugin.title
    assert plugin.tier in TIERS
    assert plugin.aliases
    assert plugin.bibtex.startswith("@") or name == "smooth_random"
    assert len(plugin.doc) > len(plugin.summary) > 0
    assert import_module(plugin.module).UNITS in ("score", "score per input", "none")


def test_no_name_is_taken_by_a_cam_method():
    def spellings(plugins):
        return {simplify(s) for p in plugins.values() for s in (p.name, p.title, *p.aliases)}

    assert not spellings(METHODS) & spellings(cam.methods())


@AXES
@EVERY
def test_one_finite_map_per_input_and_target(name, axes):
    subject = opened(rectifying(axes), draw(axes, dtype=torch.float32))
    maps = explain(name, subject)
    assert maps.shape == (3, 2, *SIZES[axes])
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    assert maps.isfinite().all()
    varies = maps.flatten(2).std(-1) > 0
    # where all of Grad-CAM is evidence against, its ReLU leaves nothing
    assert varies.any() if name == "guided_gradcam" else varies.all(), "a constant map says nothing"
    if name not in SAME_FOR_ALL:
        assert not torch.allclose(maps[0], maps[1]), "two inputs, one map"
    if name not in CONTROLS:
        assert not torch.allclose(maps[:, 0], maps[:, 1]), "two targets, one map"


@AXES
@EVERY
def test_same_again_and_nothing_is_written_to(name, axes):
    net = rectifying(axes).train()
    net[0].weight.grad = torch.ones_like(net[0].weight)
    before = copy.deepcopy(net.state_dict())
    modules = dict(net.named_modules())
    x = draw(axes, dtype=torch.float32)
    kept = x.clone()
    subject = opened(net, x)
    scores = subject.scores.clone()
    assert torch.equal(explain(name, subject), explain(name, subject))
    assert torch.equal(x, kept)
    assert torch.equal(subject.inputs, kept)
    assert torch.equal(subject.scores, scores)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net.training
    assert dict(net.named_modules()) == modules
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in net.modules())
    assert [key for key, p in net.named_parameters() if p.grad is not None] == ["0.weight"]
    assert (net[0].weight.grad == 1).all()


@AXES
@EVERY
def test_a_batch_equals_its_singles_in_any_order_and_batch_size(name, axes):
    net, x = rectifying(axes).double(), draw(axes)
    targets = [[0, 2], [1, 3], [2, 0]]
    maps = explain(name, opened(net, x, targets))
    for i in range(3):
        same(explain(name, opened(net, x[i : i + 1], [targets[i]])), maps[i : i + 1])
    same(explain(name, opened(net, x.flip(0), targets[::-1])).flip(0), maps)
    if name not in CONTROLS:
        for size in (1, 2, 7):
            same(explain(name, opened(net, x, targets), batch_size=size), maps)


@AXES
@EVERY
def test_a_target_does_not_depend_on_the_others(name, axes):
    net, x = rectifying(axes).double(), draw(axes)
    maps = explain(name, opened(net, x, [[0, 1, 0]] * 3))
    for j in (0, 1):
        same(explain(name, opened(net, x, [[j]] * 3)), maps[:, j : j + 1])
    same(maps[:, 2:], maps[:, :1])


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@AXES
@EVERY
def test_the_unit_of_the_score_scales_the_map(name, axes, factor):
    net, x = rectifying(axes).double(), draw(axes)
    maps = explain(name, opened(net, x))
    with torch.no_grad():
        net[6].weight *= factor
        net[6].bias *= factor
    scaled = explain(name, opened(net, x))
    assert scaled.isfinite().all()
    if getattr(import_module(METHODS[name].module), "SCALES_WITH_SCORE", True):
        same(scaled, factor * maps)
    else:
        power = 2 if name == "guided_gradcam" else 0
        same(scaled, factor**power * maps)


def mirrored(net: nn.Sequential, axis: int) -> nn.Sequential:
    """Return the network whose weights are mirrored along one axis of the input (2 is the first)."""
    twin = copy.deepcopy(net)
    with torch.no_grad():
        for layer in (twin[0], twin[3]):
            layer.weight.copy_(layer.weight.flip(axis))
        placed = twin[6].weight.view(CLASSES, 4, *SIZES[net[0].weight.ndim - 2])
        twin[6].weight.copy_(placed.flip(axis).flatten(1))
    return twin


@AXES
@pytest.mark.parametrize("name", [name for name in METHODS if name not in DRAWN])
def test_mirrors_with_the_network(name, axes):
    net, x = rectifying(axes).double(), draw(axes)
    for axis in range(2, 2 + axes):
        same(explain(name, opened(mirrored(net, axis), x.flip(axis))).flip(axis), explain(name, opened(net, x)))


@AXES
@EVERY
def test_nothing_in_the_input_is_no_error(name, axes):
    maps = explain(name, opened(rectifying(axes).double(), torch.zeros_like(draw(axes))))
    assert maps.isfinite().all()
    if name in ("input_x_gradient", "integrated_gradients", "occlusion", "rise", "input_edges"):
        # scores of one input in batches of two sizes may differ in the last bit
        assert (maps.abs() <= 1e-12).all()


class Constant(nn.Module):
    def __init__(self, axes: int) -> None:
        super().__init__()
        self.layer = rectifying(axes)[0].double()

    def forward(self, x: Tensor) -> Tensor:
        return (0 * self.layer(x).relu()).flatten(1).sum(1, keepdim=True) + torch.arange(CLASSES, dtype=x.dtype)


@AXES
@EVERY
def test_a_model_that_sees_nothing_gets_a_blank_map(name, axes):
    maps = explain(name, opened(Constant(axes), draw(axes), layer="layer"))
    assert maps.isfinite().all()
    assert name in CONTROLS or (maps == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@EVERY
def test_half_precision_is_near_and_float32(name, dtype):
    net, x = rectifying(2), draw(2, dtype=torch.float32)
    rounded = copy.deepcopy(net).to(dtype)
    maps = explain(name, opened(rounded, x.to(dtype)))
    assert maps.dtype == torch.float32
    expected = explain(name, opened(copy.deepcopy(rounded).float(), x.to(dtype).float()))
    off, size = (m.flatten(2).norm(dim=-1) for m in (maps - expected, expected))
    # a few masks leave much of the scores' rounding
    assert (off <= (0.5 if name == "rise" else 0.2) * size.max()).all()


@EVERY
def test_threads_get_the_serial_answer(name):
    net, x = rectifying(2), draw(2, dtype=torch.float32)
    subject = opened(net, x)
    serial = explain(name, subject)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeatproofWarning)
        settings = FEWER.get(name, {})
        with ThreadPoolExecutor(4) as pool:
            found = [*pool.map(lambda _: METHODS[name].function(subject, **settings), range(12))]
    assert all(torch.equal(maps, serial) for maps in found)


class Breaks(nn.Module):
    """Fails when it is told to, in the middle of a forward."""

    broken = False

    def forward(self, x: Tensor) -> Tensor:
        if self.broken:
            raise RuntimeError("the power went out")
        return x


@pytest.mark.parametrize("name", [name for name in METHODS if name not in CONTROLS])
def test_nothing_is_left_behind_by_an_error(name):
    net, x = rectifying(2).double(), draw(2)
    net.insert(4, Breaks())
    expected = explain(name, opened(net, x))
    subject = opened(net, x)
    net[4].broken = True
    with pytest.raises(RuntimeError, match="the power went out"):
        explain(name, subject)
    net[4].broken = False
    assert torch.overrides._get_current_function_mode() is None
    assert torch.is_grad_enabled()
    assert torch.equal(explain(name, opened(net, x)), expected)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in CONTROLS])
def test_memory_that_runs_out_halves_the_batch(name):
    sizes = []

    def limited(run):
        def call(x, rows, *more):
            if len(rows) > 2:
                raise torch.OutOfMemoryError("out of memory")
            sizes.append(len(rows))
            return run(x, rows, *more)

        return call

    subject = opened(rectifying(2).double(), draw(2))
    expected = explain(name, subject)
    short = replace(subject, rescore=limited(subject.rescore), gradients=limited(subject.gradients))
    same(explain(name, short), expected)
    assert max(sizes) <= 2


@pytest.mark.parametrize("name", [name for name in METHODS if name not in CONTROLS])
def test_a_batch_size_below_one_is_refused(name):
    with pytest.raises(MethodError, match="batch_size is 0; it must be at least 1"):
        explain(name, opened(rectifying(1).double(), draw(1)), batch_size=0)
