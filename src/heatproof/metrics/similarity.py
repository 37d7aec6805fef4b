"""How alike are two maps? Rank correlation on the native grid."""

import torch
from jaxtyping import Float
from torch import Tensor


def ranks(values: Float[Tensor, "*b m"]) -> Float[Tensor, "*b m"]:
    """Return the ranks (0 is the smallest) along the last axis; equal values share the mean of their ranks."""
    below = (values.unsqueeze(-1) > values.unsqueeze(-2)).sum(-1)
    equal = (values.unsqueeze(-1) == values.unsqueeze(-2)).sum(-1)
    return below.double() + (equal.double() - 1) / 2


def spearman(a: Float[Tensor, "n t *grid"], b: Float[Tensor, "n t *grid"]) -> Float[Tensor, "n t"]:
    """Return Spearman's rank correlation of each pair of maps.

    Range -1 to 1, higher is more alike, chance level 0. NaN where a map is constant or not finite: no order, no
    correlation. Source: Spearman 1904; used for maps by Adebayo et al. 2018, section 4.
    """
    x, y = (_ordered(m.flatten(2)) for m in (a, b))
    x, y = x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)
    rho = (x * y).sum(-1) / (x.square().sum(-1) * y.square().sum(-1)).sqrt()
    finite = a.flatten(2).isfinite().all(-1) & b.flatten(2).isfinite().all(-1)
    return torch.where(finite, rho, torch.nan)


def _ordered(maps: Float[Tensor, "n t m"]) -> Float[Tensor, "n t m"]:
    """Return ranks; large maps by sorting, which needs no m x m table."""
    if maps.shape[-1] <= 256:
        return ranks(maps)
    flat = maps.flatten(0, 1)
    out = torch.empty(flat.shape, dtype=torch.float64, device=flat.device)
    for i, row in enumerate(flat):
        _, inverse, counts = torch.unique(row, return_inverse=True, return_counts=True)
        ends = counts.cumsum(0).double()
        out[i] = (ends - (counts.double() + 1) / 2)[inverse]
    return out.reshape(maps.shape)
