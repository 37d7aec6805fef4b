"""Ising spins on a square lattice: is there a cold disc in the hot bath?

Periodic lattices of 32 x 32 spins are drawn by the Metropolis and the Wolff algorithm on both sides of T_c = 2.269 (J =
k = 1). Half of the hot ones hold a disc of a cold one: the ordered phase is where it lies. Without a field, turning all
spins over changes nothing.

Wrong twin: an ordinary network that saw discs whose spins point up, and counts these.
"""

from math import log, sqrt
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.models.nets.field import FieldNet
from heatproof.physics import Known, Law, flip_sign, mirror, rotate, shift
from heatproof.synthetic.systems._drawn import Drawn, Recipe
from heatproof.targets.contrast import Contrast
from heatproof.types import Axis, Input

LABELS = ("disordered", "ordered")
CRITICAL = 2 / log(1 + sqrt(2))
"""Source: Onsager 1944, "Crystal statistics. I"."""
SIDE, COLD, HOT = 32, (1.6, 2.1), (2.9, 3.8)
"""Sites along an axis, and the ranges of temperatures below and above the critical one."""
CHANNELS = ("spin",)
_SWEEPS, _CLUSTERS = 40, 10


def axes() -> tuple[Axis, Axis]:
    """Return the axes, in lattice constants; both are periodic."""
    return Axis("y", "a", periodic=True), Axis("x", "a", periodic=True)


def draw(n: int, seed: int, *, up: bool = False) -> Drawn:
    """Return n lattices: hot ones, and as many hot ones with a cold disc, which is where the order lies.

    Args:
        n: how many.
        seed: of temperatures, spins and discs.
        up: let the spins of cold discs point up.
    """
    g = torch.Generator().manual_seed(seed)
    cold = simulate(COLD[0] + (COLD[1] - COLD[0]) * torch.rand(n, generator=g), g)
    hot = simulate(HOT[0] + (HOT[1] - HOT[0]) * torch.rand(n, generator=g), g)
    answers = torch.arange(n) % 2
    at = torch.randint(SIDE, (n, 2), generator=g)
    radius = 5 + 4 * torch.rand(n, generator=g)
    along = torch.arange(SIDE)
    gaps = [((along[None] - at[:, k : k + 1] + SIDE // 2) % SIDE - SIDE // 2).square() for k in (0, 1)]
    disc = gaps[0][:, :, None] + gaps[1][:, None, :] <= radius[:, None, None].square()
    disc = disc & (answers == 1)[:, None, None]
    if up:
        cold = cold * cold.mean((1, 2), keepdim=True).sign()
    return Drawn(torch.where(disc, cold, hot).unsqueeze(1), answers, disc, axes(), CHANNELS)


def targets(drawn: Drawn) -> list[Contrast]:
    """Return what is explained: the true class rather than the other.

    What both scores share does not matter to their softmax, and each network shares it out differently: over ten
    training seeds, the score of one class alone misled twice.
    """
    return [Contrast(answer, 1 - answer) for answer in drawn.answers.tolist()]


def simulate(
    temperatures: Float[Tensor, " n"], generator: torch.Generator, side: int = SIDE, sweeps: int = _SWEEPS
) -> Float[Tensor, "n side side"]:
    """Return lattices in equilibrium: Wolff clusters, which cross T_c quickly, and Metropolis sweeps between.

    Source: Metropolis et al. 1953; Wolff 1989, "Collective Monte Carlo updating for spin systems".
    """
    n = len(temperatures)
    beta = (1 / temperatures).reshape(-1, 1, 1)
    spins = torch.where(torch.rand(n, side, side, generator=generator) < 0.5, 1.0, -1.0)
    cold = (temperatures < CRITICAL).reshape(-1, 1, 1)
    spins = torch.where(cold, spins[:, :1, :1].expand_as(spins), spins)  # a quench would leave domains for long
    for step in range(sweeps):
        spins = metropolis(spins, beta, generator)
        if step % max(1, sweeps // _CLUSTERS) == 0:
            spins = wolff(spins, beta, generator)
    return spins


def metropolis(
    spins: Float[Tensor, "n side side"], beta: Float[Tensor, "n 1 1"], generator: torch.Generator
) -> Float[Tensor, "n side side"]:
    """Return the spins after one sweep over the black places and one over the white ones."""
    side = spins.shape[-1]
    parity = (torch.arange(side)[:, None] + torch.arange(side)[None, :]) % 2
    for color in (0, 1):
        cost = 2 * spins * _neighbors(spins)
        turned = (torch.rand(spins.shape, generator=generator) < torch.exp(-beta * cost)) & (parity == color)
        spins = torch.where(turned, -spins, spins)
    return spins


def wolff(
    spins: Float[Tensor, "n side side"], beta: Float[Tensor, "n 1 1"], generator: torch.Generator
) -> Float[Tensor, "n side side"]:
    """Return the spins after one cluster of each lattice, grown from a drawn place, was turned over."""
    n, side, _ = spins.shape
    bound = 1 - torch.exp(-2 * beta)
    right, down = (
        (spins == spins.roll(-1, axis)) & (torch.rand(spins.shape, generator=generator) < bound) for axis in (2, 1)
    )
    grown: Bool[Tensor, "n side side"] = torch.zeros(n, side, side, dtype=torch.bool)
    grown.view(n, -1)[torch.arange(n), torch.randint(side * side, (n,), generator=generator)] = True
    while True:
        more = grown | (grown & right).roll(1, 2) | (grown.roll(-1, 2) & right)
        more = more | (more & down).roll(1, 1) | (more.roll(-1, 1) & down)
        if bool((more == grown).all()):
            return torch.where(grown, -spins, spins)
        grown = more


def energy(spins: Float[Tensor, "n side side"]) -> Float[Tensor, " n"]:
    """Return the energy per spin, -2 at zero temperature."""
    return -(spins * (spins.roll(1, 1) + spins.roll(1, 2))).mean((1, 2))


def laws() -> list[Law]:
    """Return what is known: turning all spins over, moving, turning and mirroring the lattice change nothing."""
    return [flip_sign(), shift(axis="x"), rotate(), mirror("x")]


def known() -> Known:
    """Return the local order: how far neighbors agree, averaged over 5 x 5 places."""

    def of(one: Input, _: object) -> Tensor:
        spins = one.data.double().cpu()
        agree = spins[0] * _neighbors(spins)[0] / 4
        for axis in (0, 1):
            agree = torch.stack([agree.roll(k, axis) for k in range(-2, 3)]).mean(0)
        return agree

    return Known("local order", of)


def _neighbors(spins: Float[Tensor, "n side side"]) -> Float[Tensor, "n side side"]:
    return spins.roll(1, 1) + spins.roll(-1, 1) + spins.roll(1, 2) + spins.roll(-1, 2)


_EVEN: dict[str, Any] = {
    "axes": 2,
    "channels": 1,
    "widths": [8, 12, 12],
    "pools": [2, 1, 1],
    "circular": True,
    "even": True,
}
_PLAIN: dict[str, Any] = {**_EVEN, "even": False}
_FACTORY = "heatproof.models.nets.field:FieldNet"
RIGHT = Recipe(
    lambda: FieldNet(**_EVEN),
    {"factory": _FACTORY, "kwargs": _EVEN},
    lambda seed: draw(320, seed),
    16,
    1e-2,
    "cannot tell up from down by construction, and continues the lattice around its edges",
)
WRONG = Recipe(
    lambda: FieldNet(**_PLAIN),
    {"factory": _FACTORY, "kwargs": _PLAIN},
    lambda seed: draw(320, seed, up=True),
    16,
    1e-2,
    "saw ordered lattices with their spins up only",
)
