"""Pictures of two textured spots, and networks with matched filters that look at one of them and not at the other."""

from dataclasses import dataclass
from math import cos, pi, sin

import torch
from jaxtyping import Float
from torch import Tensor, nn

CLASSES = 3
KERNEL = 9
NOISE = 0.25


@dataclass(frozen=True, eq=False)
class Spots:
    """Pictures with a spot of the class's own texture and one of the next class's.

    Attributes:
        inputs: (n, 1, side, side).
        classes: of each picture.
        own: (n, side, side) where the class's own spot lies.
        other: likewise, the other spot.
    """

    inputs: Float[Tensor, "n 1 side side"]
    classes: list[int]
    own: Float[Tensor, "n side side"]
    other: Float[Tensor, "n side side"]


class Spotter(nn.Module):
    """Energy of gratings by matched filters, pooled: class c is how much of texture `reads[c]` there is.

    Args:
        gratings: (angle, wavelength) of each texture.
        reads: which texture each class reads.
        pool: grid positions along each axis are the input's divided by this.
        smooth: take softplus in place of ReLU.
    """

    def __init__(self, gratings: list[tuple[float, float]], reads: list[int], pool: int, *, smooth: bool) -> None:
        super().__init__()
        self.filters = nn.Conv2d(1, 4 * CLASSES, KERNEL, padding=KERNEL // 2)
        self.bend = nn.Softplus(beta=8.0) if smooth else nn.ReLU()
        self.energy = nn.Conv2d(4 * CLASSES, CLASSES, 3, padding=1)
        self.pool = nn.AvgPool2d(pool)
        self.head = nn.Linear(CLASSES, CLASSES)
        phases = [0.0, pi / 2, pi, 3 * pi / 2]
        kernels = [grating(KERNEL, a, w, p) for a, w in gratings for p in phases]
        own = torch.zeros(CLASSES, 4 * CLASSES, 3, 3)
        for texture in range(CLASSES):
            own[texture, 4 * texture : 4 * texture + 4] = 1 / 9
        with torch.no_grad():
            self.filters.weight.copy_(torch.stack(kernels).unsqueeze(1))
            self.filters.bias.fill_(-2.0)  # pyright: ignore[reportOptionalMemberAccess]  it has one by default
            self.energy.weight.copy_(own)
            self.energy.bias.zero_()  # pyright: ignore[reportOptionalMemberAccess]
            self.head.weight.copy_(torch.eye(CLASSES)[reads])
            self.head.bias.zero_()

    def forward(self, x: Float[Tensor, "n 1 side side"]) -> Float[Tensor, "n classes"]:
        """Return the logits."""
        return self.head(self.pool(self.energy(self.bend(self.filters(x)))).mean((2, 3)))


def grating(side: int, angle: float, wavelength: float, phase: float) -> Float[Tensor, "side side"]:
    """Return a grating under a Gaussian window, of mean 0 and sum of squares 1."""
    at = torch.arange(side) - (side - 1) / 2
    across = at[:, None] * sin(angle) + at[None, :] * cos(angle)
    wave = torch.cos(2 * pi * across / wavelength + phase)
    window = torch.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * (side / 4) ** 2))
    found = wave * window
    found = found - found.mean()
    return found / found.norm()


def gratings(generator: torch.Generator) -> list[tuple[float, float]]:
    """Return well separated angles and a wavelength for each texture."""
    turn = float(torch.rand((), generator=generator)) * pi
    waves = 3.5 + 1.5 * torch.rand(CLASSES, generator=generator)
    return [(turn + pi * c / CLASSES, float(waves[c])) for c in range(CLASSES)]


def spots(
    count: int, side: int, found: list[tuple[float, float]], generator: torch.Generator, *, centered: bool = False
) -> Spots:
    """Return pictures; `centered` puts the class's own spot at the center, the other always lies anywhere else."""
    radius = side // 8
    pictures, own, other, classes = [], [], [], []
    for _ in range(count):
        c = int(torch.randint(CLASSES, (), generator=generator))
        first = (side // 2, side // 2) if centered else _place(side, radius, generator)
        second = first
        while max(abs(a - b) for a, b in zip(first, second, strict=True)) < 3 * radius:
            second = _place(side, radius, generator)
        masks = [_disk(side, at, radius) for at in (first, second)]
        picture = NOISE * torch.randn(side, side, generator=generator)
        for texture, mask in ((c, masks[0]), ((c + 1) % CLASSES, masks[1])):
            angle, wavelength = found[texture]
            phase = float(torch.rand((), generator=generator)) * 2 * pi
            picture = picture + 2 * mask * _wave(side, angle, wavelength, phase)
        pictures.append(picture)
        own.append(masks[0])
        other.append(masks[1])
        classes.append(c)
    return Spots(torch.stack(pictures).unsqueeze(1), classes, torch.stack(own), torch.stack(other))


def _place(side: int, radius: int, generator: torch.Generator) -> tuple[int, int]:
    y, x = torch.randint(radius, side - radius, (2,), generator=generator).tolist()
    return int(y), int(x)


def _disk(side: int, at: tuple[int, int], radius: int) -> Float[Tensor, "side side"]:
    along = torch.arange(side)
    inside = (along[:, None] - at[0]) ** 2 + (along[None, :] - at[1]) ** 2 <= radius**2
    return inside.float()


def _wave(side: int, angle: float, wavelength: float, phase: float) -> Float[Tensor, "side side"]:
    at = torch.arange(side, dtype=torch.float32)
    return torch.cos(2 * pi * (at[:, None] * sin(angle) + at[None, :] * cos(angle)) / wavelength + phase)
