"""Correlation that is NaN where there is nothing to correlate, not rounding noise."""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.metrics._order import constant, counts, finite


def pearson(x: Float[Tensor, "*b m"], y: Float[Tensor, "*b m"]) -> Float[Tensor, "*b"]:
    """Return Pearson's correlation along the last axis, in float64; NaN where a side is constant or not finite."""
    x, y = x.double(), y.double()
    defined = finite(x) & finite(y) & ~constant(x) & ~constant(y)
    # Scaled to 1 at most, so that squares of tiny values do not vanish.
    x, y = (_scaled(v - v.mean(-1, keepdim=True)) for v in (x, y))
    r = (x * y).sum(-1) / (x.square().sum(-1) * y.square().sum(-1)).sqrt()
    return torch.where(defined, r.clamp(-1, 1), torch.nan)


def ranks(values: Float[Tensor, "*b m"]) -> Float[Tensor, "*b m"]:
    """Return the ranks (0 is the smallest) along the last axis; equal values share the mean of their ranks."""
    greater, equal = counts(values)
    return values.shape[-1] - greater.double() - (equal.double() + 1) / 2


def _scaled(values: Float[Tensor, "*b m"]) -> Float[Tensor, "*b m"]:
    largest = values.abs().amax(-1, keepdim=True)
    return torch.where(largest > 0, values / largest, values)
