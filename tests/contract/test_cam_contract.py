"""Every CAM method file is found, and keeps the contract; and the contract can be broken."""

from itertools import count

import pytest
import torch
from tests.contract import battery
from tests.contract.battery import BATTERY, run_battery, run_property

from heatproof.cam import methods
from heatproof.plugins import Plugin


@pytest.mark.parametrize("prop", BATTERY, ids=lambda prop: prop.__name__)
@pytest.mark.parametrize("name", methods())
def test_method_keeps_the_contract(name, prop):
    run_property(methods()[name], prop)


def sum_over_channels(values):
    return values.sum(2)


def products(capture):
    return capture.gradients * capture.activations.unsqueeze(1)


def min_max_over_the_batch(capture):
    maps = sum_over_channels(products(capture))
    return (maps - maps.min()) / (maps.max() - maps.min())


def epsilon(capture):
    maps = sum_over_channels(products(capture))
    return maps / (1e-7 + capture.activations.sum())


def first_channel(capture):
    return products(capture)[:, :, 0]


def mean_over_channels(capture):
    return products(capture).mean(2)


def ramp(capture):
    maps = sum_over_channels(products(capture))
    return maps * torch.arange(1, maps.shape[-1] + 1)


def in_place(capture):
    capture.gradients.clamp_(min=0)
    return sum_over_channels(products(capture))


def half_sums(capture):
    return sum_over_channels(products(capture)).float()


def constant(capture):
    return torch.ones_like(sum_over_channels(products(capture)))


calls = count()


def noise(capture):
    maps = sum_over_channels(products(capture))
    return maps + torch.rand(maps.shape, generator=torch.Generator().manual_seed(next(calls)))


def sum_of_targets(capture):
    return sum_over_channels(products(capture)).cumsum(1)


def zero_by_zero(capture):
    total = capture.activations.flatten(2).sum(-1)
    weights = products(capture).flatten(3).sum(-1) / total.unsqueeze(1)
    return torch.einsum("ntk,nk...->nt...", weights, capture.activations)


@pytest.mark.parametrize(
    ("method", "broken"),
    [
        (min_max_over_the_batch, "batch_equals_singles"),
        (min_max_over_the_batch, "scales_with_the_score"),
        (epsilon, "activation_unit_is_arbitrary"),
        (first_channel, "channel_order_is_arbitrary"),
        (mean_over_channels, "dead_channel_is_nothing"),
        (ramp, "flips_with_the_grid"),
        (in_place, "read_only"),
        (half_sums, "half_precision_is_safe"),
        (constant, "informative"),
        (constant, "survives_degenerate_captures"),
        (noise, "repeatable"),
        (noise, "threads_agree"),
        (sum_of_targets, "targets_are_independent"),
        (zero_by_zero, "survives_degenerate_captures"),
        (products, "shaped"),
    ],
)
def test_broken_method_breaks_the_contract(method, broken):
    plugin = Plugin("broken", "Broken", (), "experimental", "", "Broken.\n\nOn purpose.", __name__, method.__name__)
    with pytest.raises(AssertionError):
        run_property(plugin, getattr(battery, broken))
    with pytest.raises(AssertionError):
        run_battery(plugin)
