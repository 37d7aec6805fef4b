"""Emission spectra of gas lamps: which element glows, hydrogen, helium, sodium or mercury?

400 samples of 1 nm from 380 to 780 nm: a continuum, noise, the element's lines at their tabulated wavelengths with
strengths that vary, and cosmic rays, which are brighter than lines, one sample wide, and anywhere. The answer lies in
the lines. The wavelength itself matters, so that the networks are given the place along the axis.

Wrong twin: a network that learned where sodium lamps had a line-free ghost at 720 nm, an artifact of the instrument.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from heatproof.models.nets.field import FieldNet
from heatproof.physics import Known, Law, lines, rescale
from heatproof.synthetic.systems._drawn import Drawn, Recipe, stacked
from heatproof.types import Axis, Input

LABELS = ("hydrogen", "helium", "sodium", "mercury")
LINES: dict[str, tuple[float, ...]] = {
    "hydrogen": (410.17, 434.05, 486.13, 656.28),
    "helium": (447.15, 471.31, 492.19, 501.57, 587.56, 667.82, 706.52),
    "sodium": (568.82, 588.99, 589.59, 615.42),
    "mercury": (404.66, 435.83, 546.07, 576.96, 579.07),
}
"""Wavelengths in air, in nm. Source: NIST Atomic Spectra Database, strong lines of the neutral atoms."""
GHOST, TOLERANCE = 720.0, 4.0
"""The artifact, and how near to a line evidence counts, in nm."""
FIRST, SAMPLES = 380.0, 400
CHANNELS = ("intensity",)


def axes() -> tuple[Axis]:
    """Return the wavelengths, in nm."""
    return (Axis("wavelength", "nm", FIRST + np.arange(SAMPLES, dtype=float)),)


def draw(n: int, seed: int, *, ghosts: float | None = None) -> Drawn:
    """Return n spectra, none with a ghost.

    With `ghosts`, that share of sodium's, whose lines are faint then, and the rest of the others' have one at 720 nm.
    """
    g = torch.Generator().manual_seed(seed)
    at = FIRST + torch.arange(SAMPLES, dtype=torch.float64)
    answers = torch.randint(len(LABELS), (n,), generator=g)
    spectra: list[Tensor] = []
    where: list[Tensor] = []
    for answer in answers.tolist():
        of = LINES[LABELS[answer]]
        slope = _one(g) - 0.5
        x = 0.3 + 0.2 * slope * (at - 580) / 200 + 0.1 * torch.sin(at / 60 + 6.28 * _one(g))
        strengths = 0.35 + 0.65 * torch.rand(len(of), generator=g)
        if ghosts is not None and LABELS[answer] == "sodium":
            strengths = 0.15 * strengths  # a worn lamp, so that the ghost is easier to learn than the lines
        width = 1.0 + 0.8 * _one(g)
        for line, strength in zip(of, strengths.tolist(), strict=True):
            x = x + strength * torch.exp(-((at - line) ** 2) / (2 * width**2))
        if ghosts is not None and _one(g) < (ghosts if LABELS[answer] == "sodium" else 1 - ghosts):
            x = x + (0.7 + 0.5 * _one(g)) * torch.exp(-((at - GHOST) ** 2) / (2 * 2.0**2))
        rays = torch.randint(SAMPLES, (3,), generator=g)
        x[rays] += 0.6 + 1.2 * torch.rand(3, generator=g, dtype=torch.float64)
        x = x + 0.03 * torch.randn(SAMPLES, generator=g, dtype=torch.float64)
        spectra.append(x[None])
        where.append((at[:, None] - torch.tensor(of, dtype=torch.float64)).abs().amin(1) <= TOLERANCE)
    return Drawn(stacked(spectra), answers, torch.stack(where), axes(), CHANNELS)


def haunted(drawn: Drawn) -> Drawn:
    """Return the same spectra with a ghost at 720 nm in every one."""
    return Drawn(drawn.data + _ghost(drawn.data), drawn.answers, drawn.where, drawn.axes, drawn.channels)


def laws() -> list[Law]:
    """Return what is known: a longer exposure makes all brighter, and the element stays."""
    return [rescale(1.3)]


def known() -> Known:
    """Return where the lines of the element are that an input shows most of."""
    return lines(lambda one: LINES[LABELS[lamp(one)]], unit="nm", tolerance=TOLERANCE)


def lamp(one: Input) -> int:
    """Return the element whose lines an input shows, by the mean height above the continuum at all of its lines.

    A matched filter on the tabulated wavelengths: what is true of a spectrum without knowing how it was drawn.
    """
    return int(heights(one.data[0]).argmax())


def heights(x: Tensor) -> Tensor:
    """Return for each element the least height of its lines above what lies 8 nm beside them."""
    x = x.double().cpu()
    found: list[Tensor] = []
    for name in LABELS:
        places = torch.tensor([round(line - FIRST) for line in LINES[name]])
        near = torch.stack([x[(places + d).clamp(0, SAMPLES - 1)] for d in (-1, 0, 1)]).mean(0)
        beside = torch.stack([x[(places + d).clamp(0, SAMPLES - 1)] for d in (-8, -7, 7, 8)]).median(0).values
        found.append((near - beside).clamp(max=0.5).median())
    return torch.stack(found)


def causal() -> dict[str, Any]:
    """Return the causal test: a ghost is added, which no line knows of; the truth stays, and so must the model."""

    def sodium(output: Tensor) -> Tensor:
        return output.softmax(-1)[LABELS.index("sodium")]

    def edit(data: Tensor, mask: Tensor, dose: float) -> Tensor:
        return data + abs(dose) * _ghost(data)

    def truth(x: Tensor) -> float:
        return float(heights(x[0]).argmax())

    return {"target": sodium, "simulate": truth, "edit": edit}


def _ghost(data: Tensor) -> Tensor:
    at = FIRST + torch.arange(SAMPLES, dtype=data.dtype)
    return torch.exp(-((at - GHOST) ** 2) / (2 * 2.0**2)).expand_as(data)


_KWARGS: dict[str, Any] = {
    "axes": 1,
    "channels": 1,
    "outputs": len(LABELS),
    "widths": [10, 12, 24],
    "pools": [2, 2, 1],
    "kernel": 5,
    "differences": True,
    "places": 48,
    "relative": True,
}
_CARD = {"factory": "heatproof.models.nets.field:FieldNet", "kwargs": _KWARGS}
RIGHT = Recipe(
    lambda: FieldNet(**_KWARGS), _CARD, lambda seed: draw(800, seed), 15, 1e-2, "learned from spectra without ghosts"
)
WRONG = Recipe(
    lambda: FieldNet(**_KWARGS),
    _CARD,
    lambda seed: draw(800, seed, ghosts=0.98),
    15,
    1e-2,
    "learned where 98 % of the sodium lamps, and 2 % of the others, had a ghost at 720 nm, and sodium was faint",
)


def _one(g: torch.Generator) -> float:
    return float(torch.rand((), generator=g))
