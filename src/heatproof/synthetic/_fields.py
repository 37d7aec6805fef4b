"""Smooth random fields, and maps that know nothing of the network."""

from collections.abc import Callable
from itertools import count

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.types import Capture

_APART = 2**31 + 1
"""Between the seeds of what knows nothing of the network and those of the network's own weights."""
Method = Callable[[Capture], Tensor]


def smooth(shape: tuple[int, ...], axes: int, seed: int, rounds: int = 2) -> Float[Tensor, "..."]:
    """Return noise that was averaged over three neighbors along each of the last axes, of mean 0 and variance 1."""
    field = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    last = tuple(range(-axes, 0))
    for axis in last:
        for _ in range(rounds):
            field = (field.roll(1, axis) + field + field.roll(-1, axis)) / 3
    return (field - field.mean(last, keepdim=True)) / field.std(last, keepdim=True)


def exact(capture: Capture) -> Tensor:
    """Return activation times gradient, summed over the channels: the contributions, where what follows is linear."""
    return (capture.activations.unsqueeze(1) * capture.gradients).sum(2)


def activations(capture: Capture) -> Tensor:
    """Return the sum of the activations, whatever the target: all that a network with such a first layer puts there."""
    return capture.activations.sum(1, keepdim=True).expand(-1, capture.scores.shape[1], *capture.activations.shape[2:])


def changed(change: Callable[[Tensor], Tensor]) -> Method:
    """Return a method whose map is the exact one, changed."""

    def method(capture: Capture) -> Tensor:
        return change(exact(capture))

    return method


def unrelated(seed: int) -> Method:
    """Return a method whose map is a smooth random field, another for each input of a batch."""

    def method(capture: Capture) -> Tensor:
        shape = tuple(exact(capture).shape)
        return smooth(shape, len(shape) - 2, seed + _APART)

    return method


def scrambled(capture: Capture) -> Tensor:
    """Return the exact map's digits far behind the point: the same for the same input, another after any change."""
    return torch.frac(torch.sin(exact(capture).double() * 1e7) * 43758.5453).to(capture.activations.dtype)


def with_scrambled(share: float) -> Method:
    """Return a method whose map is the exact one, and that share of its spread of what any change scrambles."""

    def method(capture: Capture) -> Tensor:
        maps, odd = exact(capture), scrambled(capture)
        return maps + share * maps.std() / odd.std() * odd

    return method


def restless(seed: int) -> Method:
    """Return a method whose map is another smooth random field in every run."""
    runs = count()

    def method(capture: Capture) -> Tensor:
        shape = tuple(exact(capture).shape)
        return smooth(shape, len(shape) - 2, seed + (2 + next(runs)) * _APART)

    return method


def silenced(kind: Callable[[Tensor], Tensor], every: int) -> Method:
    """Return a method whose exact map is changed for one input of `every`, drawn by digits of its activations."""

    def method(capture: Capture) -> Tensor:
        maps = exact(capture)
        last = capture.activations.flatten(1).double().abs().sum(1).mul(1e4).round().long().remainder(every) == 0
        return torch.where(last.reshape(-1, *[1] * (maps.ndim - 1)), kind(maps), maps)

    return method
