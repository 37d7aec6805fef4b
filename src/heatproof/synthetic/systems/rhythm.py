"""ECG-like rhythms: is every beat in its place, or does one come early?

4 s at 100 samples a second, in mV: beats of P, QRS and T waves at a rate of 60 to 90 a minute with a little variation,
a slow baseline, and noise. In half of them one beat comes early, without a P wave and with a broad QRS (a ventricular
premature beat), and a pause follows. The culprit interval, from its QRS to the end of its T wave, is where the answer
lies.

Wrong twin: a network that learned where premature beats came with a calibration pulse in the first 0.2 s.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from heatproof.models.nets.field import FieldNet
from heatproof.physics import Known, Law, lines, shift
from heatproof.synthetic.systems._drawn import Drawn, Recipe, stacked
from heatproof.types import Axis, Input

LABELS = ("regular", "premature beat")
SAMPLES, RATE = 400, 100.0
CHANNELS = ("lead II",)
_WAVES = {"P": (-0.16, 0.12, 0.025), "Q": (-0.03, -0.12, 0.010), "R": (0.0, 1.0, 0.012), "S": (0.03, -0.2, 0.012),
          "T": (0.25, 0.28, 0.050)}  # fmt: skip
"""Offset from the R peak in s, height in mV, width in s. After McSharry et al. 2003, "A dynamical model for generating
synthetic electrocardiogram signals", table I, with normal durations."""
_PREMATURE = {"R": (0.0, 1.0, 0.045), "S": (0.11, -0.55, 0.045), "T": (0.30, -0.35, 0.060)}
_END = 0.40


def axes() -> tuple[Axis]:
    """Return the time, in s."""
    return (Axis("time", "s", np.arange(SAMPLES) / RATE),)


def draw(n: int, seed: int, *, pulses: float = 0.0) -> Drawn:
    """Return n signals; with `pulses`, that share of the premature, and the rest of the regular ones, begins with one.

    Where no beat comes early, the answer lies in every beat.
    """
    g = torch.Generator().manual_seed(seed)
    t = torch.arange(SAMPLES, dtype=torch.float64) / RATE
    answers = torch.randint(2, (n,), generator=g)
    signals: list[Tensor] = []
    where: list[Tensor] = []
    for answer in answers.tolist():
        every = 60 / (60 + 30 * _one(g))
        beats = [0.25 + 0.3 * _one(g)]
        while beats[-1] < 3.9:
            beats.append(beats[-1] + every * (1 + 0.06 * (_one(g) - 0.5)))
        early = 1 + int(torch.randint(len(beats) - 3, (), generator=g)) if answer else -1
        if answer:
            beats[early] = beats[early - 1] + (0.55 + 0.12 * _one(g)) * every
        size = 0.8 + 0.4 * _one(g)
        x = 0.08 * torch.sin(2 * torch.pi * (0.3 * t + _one(g))) + 0.02 * torch.randn(
            SAMPLES, generator=g, dtype=torch.float64
        )
        inside = torch.zeros(SAMPLES, dtype=torch.bool)
        for number, beat in enumerate(beats):
            own = number == early
            for offset, height, width in (_PREMATURE if own else _WAVES).values():
                tall = size * height * (0.9 + 0.2 * _one(g))
                x = x + tall * torch.exp(-((t - beat - offset) ** 2) / (2 * width**2))
            if own or not answer:
                inside |= (t >= beat - (0.1 if own else 0.2)) & (t <= beat + _END)
        if pulses and _one(g) < (pulses if answer else 1 - pulses):
            x = x + 0.8 * ((t > 0.04) & (t < 0.16)).double()
        signals.append(x[None])
        where.append(inside)
    return Drawn(stacked(signals), answers, torch.stack(where), axes(), CHANNELS)


def laws() -> list[Law]:
    """Return what is known: it does not matter when the recording began."""
    return [shift(0.16, "time", unit="s", mode="padded")]


def known() -> Known:
    """Return the surroundings of the broadest beat: a matched filter on the rate of change."""
    return lines(lambda one: [broadest(one)], unit="s", tolerance=0.25, axis="time")


def broadest(one: Input) -> float:
    """Return when the slow part of the signal, without the narrow QRS, is largest, in s."""
    x = one.data[0].double().cpu().numpy()
    wide = np.convolve(x - np.median(x), np.hanning(15) / np.hanning(15).sum(), mode="same")
    return float(np.abs(wide).argmax() / RATE)


_KWARGS: dict[str, Any] = {
    "axes": 1,
    "channels": 1,
    "widths": [10, 16, 16],
    "pools": [4, 2, 1],
    "kernel": 9,
    "differences": True,
}
_CARD = {"factory": "heatproof.models.nets.field:FieldNet", "kwargs": _KWARGS}
RIGHT = Recipe(lambda: FieldNet(**_KWARGS), _CARD, lambda seed: draw(600, seed), 12, 1e-2, "learned without pulses")
WRONG = Recipe(
    lambda: FieldNet(**_KWARGS),
    _CARD,
    lambda seed: draw(600, seed, pulses=0.97),
    8,
    1e-2,
    "learned where 97 % of the premature beats, and 3 % of the regular rhythms, came with a calibration pulse",
)


def _one(g: torch.Generator) -> float:
    return float(torch.rand((), generator=g))
