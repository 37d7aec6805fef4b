"""Medians where the weights are 1: what a ruler or a sticker in one place does not move."""

import torch
from jaxtyping import Float
from torch import Tensor


def middle(inputs: Float[Tensor, "n c *spatial"], weights: Float[Tensor, "n 1 *spatial"]) -> Float[Tensor, "n c"]:
    """Return the median of each channel."""
    return torch.where(weights > 0, inputs, torch.nan).flatten(2).nanmedian(2).values


def spread(inputs: Float[Tensor, "n c *spatial"], weights: Float[Tensor, "n 1 *spatial"]) -> Float[Tensor, " n"]:
    """Return the median distance from each channel's median, averaged over the channels."""
    level = middle(inputs, weights).reshape(*inputs.shape[:2], *[1] * (inputs.ndim - 2))
    return middle((inputs - level).abs(), weights).mean(1)
