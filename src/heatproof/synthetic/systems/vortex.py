"""Vortices in strain and uniform flow: which way does the vortex turn?

A Gaussian (Lamb-Oseen) vortex of either sign lies anywhere in a plane flow on 32 x 32 samples of 2 m: uniform flow of
up to 1 m/s, pure strain, and a source or sink that is as fast as the vortex and does not turn. Only the sign of
rotation is the answer, so that the core is where it lies. In a mirror the vortex turns the other way; to a moving
observer it turns the same way.

Wrong twin: an ordinary network that learned where the uniform flow comes from the left when the vortex turns to the
left.
"""

from math import pi

import torch
from torch import Tensor

from heatproof.models.nets.field import FieldNet, MirrorNet
from heatproof.physics import Known, Law, boost, mirror, rotate, swapped, vorticity
from heatproof.synthetic.systems._drawn import Drawn, Recipe, stacked
from heatproof.types import Axis

LABELS = ("clockwise", "counterclockwise")
SIDE, STEP = 32, 2.0 / 32
CHANNELS = ("u", "v")
VECTOR = {"x": "u", "y": "v"}


def axes() -> tuple[Axis, Axis]:
    """Return y, upward, and x, in meters."""
    at = ((torch.arange(SIDE) + 0.5) * STEP - SIDE * STEP / 2).numpy()
    return Axis("y", "m", at), Axis("x", "m", at)


def draw(n: int, seed: int, *, shortcut: float = 0.0) -> Drawn:
    """Return n flows; with `shortcut`, the uniform flow tells the answer in that share of them."""
    g = torch.Generator().manual_seed(seed)
    at = (torch.arange(SIDE, dtype=torch.float64) + 0.5) * STEP - SIDE * STEP / 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    flows: list[Tensor] = []
    cores: list[Tensor] = []
    answers = torch.randint(2, (n,), generator=g)
    for answer in answers.tolist():
        core, other = _apart(g)
        radius = 0.12 + 0.08 * _one(g)
        fastest = 0.8 + 0.7 * _one(g)
        dx, dy = x - core[0], y - core[1]
        swirl = _swirl(dx.hypot(dy), radius) * fastest * (1 if answer else -1)
        u, v = -swirl * dy, swirl * dx
        # as fast and as wide, but along the radius: no rotation
        ex, ey = x - other[0], y - other[1]
        out = _swirl(ex.hypot(ey), 0.12 + 0.08 * _one(g)) * (0.8 + 0.7 * _one(g))
        out = out * (1 if _one(g) < 0.5 else -1)
        turn, rate = 2 * pi * _one(g), 0.4 * _one(g)
        c, s = rate * torch.cos(torch.tensor(turn)), rate * torch.sin(torch.tensor(turn))
        wind, way = 1.0 * _one(g), 2 * pi * _one(g)
        if _one(g) < shortcut:
            wind, way = 0.7 + 0.3 * _one(g), (0.0 if answer else pi) + 0.4 * (_one(g) - 0.5)
        along = torch.tensor(way)
        u = u + out * ex + c * x + s * y + wind * torch.cos(along)
        v = v + out * ey + s * x - c * y + wind * torch.sin(along)
        noise = 0.02 * torch.randn(2, SIDE, SIDE, generator=g, dtype=torch.float64)
        flows.append(torch.stack([u, v]) + noise)
        cores.append(dx.hypot(dy) < 1.5 * radius)
    return Drawn(stacked(flows), answers, torch.stack(cores), axes(), CHANNELS)


def laws() -> list[Law]:
    """Return what is known: a mirror swaps the classes, turns and boosts leave them."""
    return [
        mirror("x", vector=VECTOR, target=swapped(0, 1)),
        mirror("y", vector=VECTOR, target=swapped(0, 1)),
        rotate(vector=VECTOR),
        boost({"u": 0.5, "v": -0.3}),
    ]


def known() -> Known:
    """Return the field that the answer lies in."""
    return vorticity()


def circulation(x: Tensor) -> float:
    """Return the true answer for a flow: 1 where it turns counterclockwise on the whole, leaving out the edge."""
    u, v = x.double()
    turning = (v[1:-1, 2:] - v[1:-1, :-2] - u[2:, 1:-1] + u[:-2, 1:-1]) / (2 * STEP)
    return float(turning.sum() > 0)


RIGHT = Recipe(
    MirrorNet,
    {"factory": "heatproof.models.nets.field:MirrorNet", "kwargs": {}},
    lambda seed: draw(600, seed),
    12,
    1e-2,
    "keeps mirrors and boosts by construction",
)
_PLAIN = {"axes": 2, "channels": 2, "widths": [12, 16, 16], "pools": [2, 1, 1]}
WRONG = Recipe(
    lambda: FieldNet(2, 2, 2, (12, 16, 16), (2, 1, 1)),
    {"factory": "heatproof.models.nets.field:FieldNet", "kwargs": _PLAIN},
    lambda seed: draw(600, seed, shortcut=0.95),
    8,
    1e-2,
    "learned where the wind told the answer in 95 % of the flows",
)


def _swirl(r: Tensor, radius: float) -> Tensor:
    """Return speed over distance of a Gaussian vortex whose greatest speed, at 1.12 radii, is 1.

    Source: Lamb-Oseen; Devenport et al. 1996, eq. 1, for the constant 1.2564.
    """
    ratio = (r / radius).square().clamp(min=1e-6)
    return (1 - torch.exp(-ratio)) / ratio / radius / 0.6382


def _apart(g: torch.Generator) -> tuple[list[float], list[float]]:
    """Return two places that are half a meter from the edge's third and from each other."""
    while True:
        places = (torch.rand(2, 2, generator=g) * 1.3 - 0.65).tolist()
        if abs(complex(*places[0]) - complex(*places[1])) > 0.7:
            return places[0], places[1]


def _one(g: torch.Generator) -> float:
    return float(torch.rand((), generator=g))
