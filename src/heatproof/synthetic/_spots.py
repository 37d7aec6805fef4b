"""Fields of two textured spots, and networks with matched filters that look at one of them and not at the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin

import torch
from jaxtyping import Float
from torch import Tensor, nn

CLASSES = 3
NOISE = 0.25
Grating = tuple[tuple[float, ...], float]
"""A direction of length 1 (one number per axis) and a wavelength in samples."""
_KERNEL = {1: 17, 2: 9, 3: 5}
"""Taps of the filters along each axis."""
_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_POOLS = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


@dataclass(frozen=True, eq=False)
class Spots:
    """Signals, pictures or volumes with a spot of the class's own texture and one of the next class's.

    Attributes:
        inputs: (n, 1, *sides).
        classes: of each input.
        own: (n, *sides) where the class's own spot lies.
        other: likewise, the other spot.
    """

    inputs: Float[Tensor, "n 1 *sides"]
    classes: list[int]
    own: Float[Tensor, "n *sides"]
    other: Float[Tensor, "n *sides"]


class Spotter(nn.Module):
    """Energy of gratings by matched filters, pooled: class c is how much of texture `reads[c]` there is.

    Args:
        gratings: of each texture.
        reads: which texture each class reads.
        pool: grid positions along each axis are the input's divided by this.
        smooth: take softplus in place of ReLU.
    """

    def __init__(self, gratings: list[Grating], reads: list[int], pool: int, *, smooth: bool) -> None:
        super().__init__()
        axes = len(gratings[0][0])
        side = _KERNEL[axes]
        self.filters = _CONVOLUTIONS[axes](1, 4 * CLASSES, side, padding=side // 2)
        self.bend = nn.Softplus(beta=8.0) if smooth else nn.ReLU()
        self.energy = _CONVOLUTIONS[axes](4 * CLASSES, CLASSES, 3, padding=1)
        self.pool = _POOLS[axes](pool)
        self.head = nn.Linear(CLASSES, CLASSES)
        phases = [0.0, pi / 2, pi, 3 * pi / 2]
        kernels = [grating(side, d, w, p) for d, w in gratings for p in phases]
        own = torch.zeros(CLASSES, 4 * CLASSES, *[3] * axes)
        for texture in range(CLASSES):
            own[texture, 4 * texture : 4 * texture + 4] = 1 / 3**axes
        with torch.no_grad():
            self.filters.weight.copy_(torch.stack(kernels).unsqueeze(1))
            self.filters.bias.fill_(-2.0)  # pyright: ignore[reportOptionalMemberAccess]  it has one by default
            self.energy.weight.copy_(own)
            self.energy.bias.zero_()  # pyright: ignore[reportOptionalMemberAccess]
            self.head.weight.copy_(torch.eye(CLASSES)[reads])
            self.head.bias.zero_()

    def forward(self, x: Float[Tensor, "n 1 *sides"]) -> Float[Tensor, "n classes"]:
        """Return the logits."""
        return self.head(self.pool(self.energy(self.bend(self.filters(x)))).flatten(2).mean(2))


def grating(side: int, direction: Sequence[float], wavelength: float, phase: float) -> Float[Tensor, "*sides"]:
    """Return a grating under a Gaussian window, of mean 0 and sum of squares 1."""
    middle = ((side - 1) / 2,) * len(direction)
    wave = torch.cos(2 * pi * _along(side, direction, middle) / wavelength + phase)
    window = torch.exp(-_squared(side, middle) / (2 * (side / 4) ** 2))
    found = wave * window
    found = found - found.mean()
    return found / found.norm()


def gratings(generator: torch.Generator, axes: int = 2) -> list[Grating]:
    """Return well separated directions and a wavelength for each texture; signals differ in the wavelength alone."""
    if axes == 1:
        first = 3 + 0.3 * float(torch.rand((), generator=generator))
        return [((1.0,), first * 1.5**c) for c in range(CLASSES)]
    turn = float(torch.rand((), generator=generator)) * pi
    waves = 3.5 + 1.5 * torch.rand(CLASSES, generator=generator)
    if axes == 2:
        angles = [turn + pi * c / CLASSES for c in range(CLASSES)]
        return [((sin(a), cos(a)), float(w)) for a, w in zip(angles, waves, strict=True)]
    turned, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator))
    return [(tuple(map(float, d)), float(w)) for d, w in zip(turned, waves, strict=True)]


def spots(count: int, side: int, found: list[Grating], generator: torch.Generator, *, centered: bool = False) -> Spots:
    """Return inputs; `centered` puts the class's own spot at the center, the other always lies anywhere else."""
    axes = len(found[0][0])
    radius = side // (6 if axes == 3 else 8)
    made, own, other, classes = [], [], [], []
    for _ in range(count):
        c = int(torch.randint(CLASSES, (), generator=generator))
        first = (side // 2,) * axes if centered else _place(side, radius, axes, generator)
        second = first
        while max(abs(a - b) for a, b in zip(first, second, strict=True)) < 3 * radius:
            second = _place(side, radius, axes, generator)
        masks = [(_squared(side, at) <= radius**2).float() for at in (first, second)]
        one = NOISE * torch.randn([side] * axes, generator=generator)
        for texture, mask in ((c, masks[0]), ((c + 1) % CLASSES, masks[1])):
            direction, wavelength = found[texture]
            phase = float(torch.rand((), generator=generator)) * 2 * pi
            wave = torch.cos(2 * pi * _along(side, direction, (0.0,) * axes) / wavelength + phase)
            one = one + 2 * mask * wave
        made.append(one)
        own.append(masks[0])
        other.append(masks[1])
        classes.append(c)
    return Spots(torch.stack(made).unsqueeze(1), classes, torch.stack(own), torch.stack(other))


def _place(side: int, radius: int, axes: int, generator: torch.Generator) -> tuple[int, ...]:
    return tuple(torch.randint(radius, side - radius, (axes,), generator=generator).tolist())


def _along(side: int, direction: Sequence[float], middle: Sequence[float]) -> Float[Tensor, "*sides"]:
    """Return how far each sample lies from the middle along a direction."""
    far = torch.zeros(())
    for part, at in zip(direction, middle, strict=True):
        far = far.unsqueeze(-1) + part * (torch.arange(side) - at)
    return far


def _squared(side: int, middle: Sequence[float | int]) -> Float[Tensor, "*sides"]:
    """Return the squared distance of each sample from the middle."""
    far = torch.zeros(())
    for at in middle:
        far = far.unsqueeze(-1) + (torch.arange(side) - at) ** 2
    return far
