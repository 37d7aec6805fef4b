"""Contrast: the logarithm of the median distance from the median."""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.shortcuts.cues._moments import middle, spread

NAME = "Contrast"
ALIASES = ()
TIER = "experimental"
BIBTEX = ""


def measure(inputs: Float[Tensor, "n c *spatial"], weights: Float[Tensor, "n 1 *spatial"]) -> Float[Tensor, "n 1"]:
    """Return the logarithm of that distance."""
    return spread(inputs, weights).clamp(min=1e-6).log().unsqueeze(1)


def shift(inputs: Float[Tensor, "n c *spatial"], delta: Float[Tensor, " 1"]) -> Float[Tensor, "n c *spatial"]:
    """Return inputs whose distance from the median of each channel is exp(delta) times as large."""
    level = middle(inputs, torch.ones_like(inputs[:, :1])).reshape(*inputs.shape[:2], *[1] * (inputs.ndim - 2))
    return level + (inputs - level) * delta.exp()
