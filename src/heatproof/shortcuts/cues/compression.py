"""Compression: steps between the blocks of 8 samples that JPEG works in, where the input still has them."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.shortcuts.cues._moments import middle

NAME = "Compression"
ALIASES = ()
TIER = "experimental"
BIBTEX = ""


BLOCK = 8
LIMIT = 4.0
"""Largest change of the logarithm; blocks that do not show at all have none to be made of."""


def measure(
    inputs: Float[Tensor, "n c *spatial"], weights: Float[Tensor, "n 1 *spatial"]
) -> Float[Tensor, "n 1"] | None:
    """Return the logarithm of the median step between blocks over that within; None for other than pictures."""
    if inputs.ndim != 4 or min(inputs.shape[2:]) < 2 * BLOCK:
        return None
    across, within = torch.zeros(2, len(inputs), dtype=inputs.dtype)
    for axis in (2, 3):
        steps = inputs.diff(dim=axis).abs().mean(1, keepdim=True)
        both = weights.narrow(axis, 1, inputs.shape[axis] - 1) * weights.narrow(axis, 0, inputs.shape[axis] - 1)
        edges = torch.arange(1, inputs.shape[axis]) % BLOCK == 0
        shape = [-1 if a == axis else 1 for a in range(4)]
        for total, where in ((across, edges), (within, ~edges)):
            chosen = both * where.to(inputs).reshape(shape)
            total += middle(steps, chosen)[:, 0]
    return ((across + 1e-6) / (within + 1e-6)).log().unsqueeze(1)


def shift(inputs: Float[Tensor, "n c *spatial"], delta: Float[Tensor, " 1"]) -> Float[Tensor, "n c *spatial"]:
    """Return inputs whose blocks are drawn to their means (delta above 0), or whose blocks' edges are smoothed."""
    amount = float(delta.clamp(-LIMIT, LIMIT))
    share = 1 - math.exp(-abs(amount))
    if amount < 0:
        smooth = F.avg_pool2d(F.pad(inputs, (1, 1, 1, 1), mode="replicate"), 3, 1)
        weight = torch.zeros_like(inputs[:1, :1])
        for axis in (2, 3):
            near = torch.arange(inputs.shape[axis]) % BLOCK
            edge = ((near == 0) | (near == BLOCK - 1)).to(inputs)
            weight = torch.maximum(weight, edge.reshape([-1 if a == axis else 1 for a in range(4)]))
        return inputs + share * weight * (smooth - inputs)
    blocks = F.avg_pool2d(inputs, BLOCK, ceil_mode=True, count_include_pad=False)
    flat = F.interpolate(blocks, scale_factor=BLOCK, mode="nearest")[..., : inputs.shape[2], : inputs.shape[3]]
    return inputs + share * (flat - inputs)
