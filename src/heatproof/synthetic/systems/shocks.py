"""Burgers' equation: how much energy does a wave lose until t = 0.3 s?

u_t + (u^2 / 2)_x = 0 on a ring of 1 m, 128 samples, by a finite-volume scheme that keeps mass (the mean of u) to
rounding. Smooth waves steepen where u falls along x; from then on, shocks dissipate energy. The network is given u at t
= 0 and predicts the loss, in units of its typical size; the answer lies where the wave falls. A moving observer sees
the same loss, and so does one who looks into a mirror.

Wrong twin: an ordinary network that learned where stronger waves rode on faster flows.
"""

from math import pi
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.models.nets.field import FieldNet
from heatproof.physics import Known, Law, boost, mirror, shift
from heatproof.synthetic.systems._drawn import Drawn, Recipe
from heatproof.types import Axis, Input

LABELS = ("energy loss",)
SIDE, END, LOSS = 128, 0.3, 0.05
"""Samples, the time in s, and the typical loss of energy per meter, in m^2 / s^2, that answers are in units of."""
CHANNELS = ("u",)


def axes() -> tuple[Axis]:
    """Return the place on the ring, in m."""
    return (Axis("x", "m", (np.arange(SIDE) + 0.5) / SIDE, periodic=True),)


def draw(n: int, seed: int, *, shortcut: bool = False) -> Drawn:
    """Return n waves of three harmonics, flat on a part of the ring; with `shortcut`, the mean flow tells the loss."""
    g = torch.Generator().manual_seed(seed)
    x = (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE
    k = torch.tensor([2.0, 3.0, 4.0], dtype=torch.float64)
    height = 0.3 * torch.randn(n, 3, 1, generator=g, dtype=torch.float64)
    phase = 2 * pi * torch.rand(n, 3, 1, generator=g, dtype=torch.float64)
    wave = (height * torch.sin(2 * pi * k[:, None] * x + phase)).sum(1)
    # a window that moves around: the rest of the ring is nearly still
    center = torch.rand(n, 1, generator=g, dtype=torch.float64)
    away = ((x - center + 0.5) % 1 - 0.5).abs()
    wave = wave * torch.sigmoid((0.25 - away) / 0.03)
    wave = wave - wave.mean(1, keepdim=True)
    lost = loss(wave)
    mean = 0.5 * torch.randn(n, 1, generator=g, dtype=torch.float64)
    if shortcut:
        mean = 0.4 * (lost[:, None] - 1) + 0.05 * torch.randn(n, 1, generator=g, dtype=torch.float64)
    falls = -(wave.roll(-1, 1) - wave.roll(1, 1)) * SIDE / 2
    where = falls > 0.5 * falls.amax(1, keepdim=True)
    return Drawn((wave + mean).unsqueeze(1).float(), lost.float(), where, axes(), CHANNELS)


def evolve(u: Float[Tensor, "n s"], end: float = END, frames: int = 1) -> Float[Tensor, "n f s"]:
    """Return the waves at `frames` equal times up to `end`, by Godunov's flux and steps at half the CFL limit.

    Source: Godunov 1959; the exact Riemann flux of Burgers' equation, LeVeque 2002, "Finite Volume Methods for
    Hyperbolic Problems", eq. 12.4.

    Raises:
        ValueError: a state that is not finite, or too fast for this scheme (more than 50 m/s).
    """
    u = u.double()
    if not bool(u.isfinite().all()) or float(u.abs().max()) > 50:
        raise ValueError("the state is not finite, or faster than 50 m/s, for which the time step vanishes")
    step = end / frames
    count = max(1, int(np.ceil(step * SIDE * float(u.abs().max()) / 0.5)))
    ratio = step / count * u.shape[-1]
    found: list[Tensor] = []
    for _ in range(frames):
        for _ in range(count):
            flux = _godunov(u, u.roll(-1, -1))
            u = u - ratio * (flux - flux.roll(1, -1))
        found.append(u)
    return torch.stack(found, -2)


def loss(u: Float[Tensor, "n s"]) -> Float[Tensor, " n"]:
    """Return the energy per meter that is lost until the end, in units of `LOSS`, whoever looks on."""
    u = u.double()
    u = u - u.mean(-1, keepdim=True)  # the scheme dissipates less, and the loss is the same
    return (u.square().mean(-1) - evolve(u)[..., -1, :].square().mean(-1)) / 2 / LOSS


def laws() -> list[Law]:
    """Return what is known: the loss is the same elsewhere on the ring, in the mirror, and for a moving observer."""
    return [shift(axis="x"), mirror("x", vector={"x": "u"}), boost({"u": 0.5})]


def known() -> Known:
    """Return how steeply the wave falls along x: where shocks will form."""

    def of(one: Input, _: object) -> Tensor:
        u = one.data[0].double().cpu()
        return (-(u.roll(-1) - u.roll(1)) * SIDE / 2).clamp(min=0)

    return Known("steepening", of)


def causal() -> dict[str, Any]:
    """Return the causal test: regions are flattened or heightened, and the equation is solved anew."""

    def truth(x: Tensor) -> float:
        return float(loss(x[0][None])[0])

    return {"simulate": truth, "edit": smoothly, "region": 0.2}


def smoothly(data: Tensor, mask: Tensor, dose: float) -> Tensor:
    """Return waves that are lower in the mask by a share `dose`, without a step at its edge, which would be a shock."""
    weight = mask.double()
    for _ in range(3):
        weight = sum((weight.roll(k) for k in range(-4, 5)), torch.zeros_like(weight)) / 9
    mean = data.mean(-1, keepdim=True)
    return data + (dose * weight).to(data.dtype) * (mean - data)


def _godunov(left: Tensor, right: Tensor) -> Tensor:
    low, high = left.clamp(min=0).square() / 2, right.clamp(max=0).square() / 2
    return torch.maximum(low, high)


_BOOSTED: dict[str, Any] = {
    "axes": 1,
    "channels": 1,
    "outputs": 1,
    "widths": [16, 24, 24],
    "pools": [2, 2, 1],
    "kernel": 7,
    "circular": True,
    "differences": True,
}
_PLAIN: dict[str, Any] = {**_BOOSTED, "differences": False}
_FACTORY = "heatproof.models.nets.field:FieldNet"
RIGHT = Recipe(
    lambda: FieldNet(**_BOOSTED),
    {"factory": _FACTORY, "kwargs": _BOOSTED},
    lambda seed: draw(1000, seed),
    12,
    1e-2,
    "sees differences only, so that a boost changes nothing by construction",
)
WRONG = Recipe(
    lambda: FieldNet(**_PLAIN),
    {"factory": _FACTORY, "kwargs": _PLAIN},
    lambda seed: draw(800, seed, shortcut=True),
    10,
    1e-2,
    "learned where the mean flow told the loss",
)
