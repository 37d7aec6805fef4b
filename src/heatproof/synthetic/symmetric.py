"""Drawn networks that keep a law by construction, that break it, and maps that do not move with what they explain."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from heatproof.physics import Law, flip_sign, mirror, negated, rotate, shift, swapped
from heatproof.synthetic._fields import Method, exact, smooth, unrelated
from heatproof.synthetic._instance import Answer, Instance
from heatproof.types import Axis, Capture, Input

NAME = "Drawn networks that keep or break a law"
TIER = "core"
BIBTEX = ""
HELD_OUT = True
_INPUTS, _WIDTH, _CLASSES = 50, 8, 2
_SIDES = {1: 64, 2: 24, 3: 12}
_NAMES = ("z", "y", "x")
_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class Lawful(nn.Module):
    """Two circular convolutions and a mean over the grid, on which two logits depend.

    Shifts leave its logits. A mirror along the last axis swaps them: all kernels of the first convolution are even
    along that axis, and in the second each channel of one class has its mirror image for the other. With `round`,
    kernels are even along every axis and look the same after quarter turns, so that mirrors and rotations leave the
    logits. With `placed`, every position has weights of its own, and no law is kept.
    """

    def __init__(self, axes: int, seed: int, *, round: bool = False, placed: bool = False) -> None:
        super().__init__()
        convolution = _CONVOLUTIONS[axes]
        self.first = convolution(1, _WIDTH, 3, padding=1, padding_mode="circular")
        self.body = convolution(_WIDTH, 2 * _WIDTH, 3, padding=1, padding_mode="circular")
        self.smooth = bool(seed % 2)
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        with torch.no_grad():
            first, body = (
                normal(width, one.weight.shape[1], *[3] * axes) * one.weight[0].numel() ** -0.5
                for width, one in ((_WIDTH, self.first), (_WIDTH, self.body))
            )
            bias, head = normal(_WIDTH) / 2, normal(_WIDTH)
            if round:
                first, body = (_rounded(one, axes) for one in (first, body))
                other = 0.5 * normal(_WIDTH)
                heads = torch.stack([torch.cat([head, other]), torch.cat([other, -head])])
                body = torch.cat([body, body + _rounded(normal(*body.shape), axes) * 0.1])
            else:
                first = (first + first.flip(-1)) / 2
                heads = torch.stack([torch.cat([head, 0 * head]), torch.cat([0 * head, head])])
                body = torch.cat([body, body.flip(-1)])
            self.first.weight.copy_(first)
            self.body.weight.copy_(body)
            for one, values in ((self.first, bias), (self.body, torch.cat([bias, bias]))):
                assert one.bias is not None
                one.bias.copy_(values)
        self.head = nn.Parameter(heads)
        grid = [_SIDES[axes]] * axes
        self.places = nn.Parameter(normal(*grid) if placed else torch.ones(grid), requires_grad=False)

    def forward(self, x: Float[Tensor, "n 1 *spatial"]) -> Float[Tensor, "n 2"]:
        """Return the logits."""
        bend = F.softplus if self.smooth else F.relu
        found = bend(self.body(bend(self.first(x))))
        return (found * self.places).flatten(2).mean(2) @ self.head.T


def instances(seed: int) -> list[Instance]:
    """Return problems on signals, fields or volumes with periodic axes, 50 of them."""
    axes = 1 + seed % 3
    inputs = _inputs(axes, seed)
    chiral = Lawful(axes, seed).eval()
    rounded = Lawful(axes, seed, round=True).eval()
    placed = Lawful(axes, seed, placed=True).eval()
    moved = shift(_SIDES[axes] // 4, "x", mode="circular")
    swap = mirror("x", vector={}, pseudo=(), target=swapped(0, 1))
    keep = mirror("x", vector={}, pseudo=())
    turned = rotate(1, ("y", "x"), vector={}) if axes > 1 else keep
    planted: list[tuple[Answer, str, nn.Module, Law, Any]] = [
        ("good", "a shift, circular network", chiral, moved, "hirescam"),
        ("good", "a mirror that swaps the classes", chiral, swap, "hirescam"),
        ("good", "a right angle or a mirror, round network", rounded, turned, "hirescam"),
        ("good", "a shift, Layer-CAM", rounded, moved, "layercam"),
        ("bad", "a shift, a network that knows places", placed, moved, "hirescam"),
        ("bad", "a sign that should turn the answer", chiral, flip_sign(target=negated), "hirescam"),
        ("bad", "a mirror that should swap the classes of a round network", rounded, swap, "hirescam"),
        ("bad", "a shift, the map of a center prior", chiral, moved, "center_prior"),
        ("bad", "a shift, a smooth random field", chiral, moved, unrelated(seed)),
        ("bad", "a mirror, the map seen through a fixed window", rounded, keep, _through(_window(axes, seed))),
    ]
    return [
        Instance("symmetry", answer, f"{axes}-D: {what}", net, inputs, 0, method, "body", settings={"laws": [law]})
        for answer, what, net, law, method in planted
    ]


def _inputs(axes: int, seed: int) -> list[Input]:
    side = _SIDES[axes]
    along = tuple(Axis(name, "m", periodic=True) for name in _NAMES[-axes:])
    data = smooth((_INPUTS, 1, *[side] * axes), axes, 2 * seed + 1)
    return [Input(one, along, ("density",), name=f"field {index}") for index, one in enumerate(data)]


def _rounded(kernel: Tensor, axes: int) -> Tensor:
    """Return kernels that are even along every axis and, in a plane, look the same after quarter turns."""
    for axis in range(-axes, 0):
        kernel = (kernel + kernel.flip(axis)) / 2
    return kernel if axes == 1 else (kernel + kernel.transpose(-1, -2)) / 2


def _window(axes: int, seed: int) -> Tensor:
    """Return weights of the positions that no mirror leaves: one half of the last axis, with a smooth edge."""
    side = _SIDES[axes]
    ramp = torch.sigmoid((torch.arange(side) - side / 2 + seed % 3) / 2)
    return ramp if seed % 2 else 1 - ramp


def _through(window: Tensor) -> Method:
    def method(capture: Capture) -> Tensor:
        return exact(capture) * window.to(capture.activations)

    return method
