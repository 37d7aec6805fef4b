"""Sharpness: the logarithm of the strength of what is finer than about a sample."""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.metrics._fields import blurred
from heatproof.shortcuts.cues._moments import spread

NAME = "Sharpness"
ALIASES = ()
TIER = "experimental"
BIBTEX = ""


FINE = 1.0
"""Width of the blur, in samples, that parts coarse from fine."""
MOST = 1.5


def measure(inputs: Float[Tensor, "n c *spatial"], weights: Float[Tensor, "n 1 *spatial"]) -> Float[Tensor, "n 1"]:
    """Return the logarithm of the median strength of what the blur takes away."""
    return spread(inputs - blurred(inputs, FINE), weights).clamp(min=1e-6).log().unsqueeze(1)


def shift(inputs: Float[Tensor, "n c *spatial"], delta: Float[Tensor, " 1"]) -> Float[Tensor, "n c *spatial"]:
    """Return inputs whose fine part is exp(delta) times as strong.

    What a blur took away cannot be had back by amplifying what it left: beyond `MOST` times the rest is fine noise.
    """
    coarse = blurred(inputs, FINE)
    factor = float(delta.exp())
    fine = (inputs - coarse) * min(factor, MOST)
    if factor > MOST:
        drawn = torch.randn(inputs.shape[1:], generator=torch.Generator().manual_seed(0)).to(inputs).unsqueeze(0)
        drawn = drawn - blurred(drawn, FINE)
        everywhere = torch.ones_like(inputs[:, :1])
        wanted = spread(inputs - coarse, everywhere) * (factor**2 - MOST**2) ** 0.5
        scale = wanted / spread(drawn, everywhere[:1])
        fine = fine + drawn * scale.reshape(-1, *[1] * (inputs.ndim - 1))
    return coarse + fine
