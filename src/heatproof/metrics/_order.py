"""Which positions come first? Orders of a map's values in which ties are counted, not broken by accident."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def counts(values: Float[Tensor, "*b m"]) -> tuple[Int[Tensor, "*b m"], Int[Tensor, "*b m"]]:
    """Return, for each value along the last axis, how many are greater and how many are equal (itself included)."""
    ordered, index = values.sort(dim=-1, descending=True)
    m = values.shape[-1]
    place = torch.arange(m, device=values.device).expand(ordered.shape)
    starts = torch.ones_like(ordered, dtype=torch.bool)
    starts[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    ends = torch.ones_like(starts)
    ends[..., :-1] = starts[..., 1:]
    first = torch.where(starts, place, 0).cummax(-1).values
    last = torch.where(ends, place, m).flip(-1).cummin(-1).values.flip(-1)
    greater = torch.empty_like(index).scatter_(-1, index, first)
    equal = torch.empty_like(index).scatter_(-1, index, last - first + 1)
    return greater, equal


def broken(values: Float[Tensor, "*b m"], seed: int) -> tuple[Int[Tensor, "*b m"], Int[Tensor, "*b m"]]:
    """Return `counts` after ties were broken by one random order of the positions, the same for every map."""
    generator = torch.Generator().manual_seed(seed)
    shuffle = torch.randperm(values.shape[-1], generator=generator).to(values.device)
    index = shuffle[values[..., shuffle].argsort(dim=-1, descending=True, stable=True)]
    place = torch.arange(values.shape[-1], device=values.device).expand(index.shape)
    greater = torch.empty_like(index).scatter_(-1, index, place)
    return greater, torch.ones_like(greater)


def taken(
    greater: Int[Tensor, "*b m"], equal: Int[Tensor, "*b m"], amount: Int[Tensor, "*c 1"]
) -> Float[Tensor, "*b m"]:
    """Return how much of each position is among the `amount` first: 0 to 1, shared equally among ties.

    This is the mean over all orders of the ties.
    """
    return ((amount - greater).double() / equal).clamp(0, 1)


def constant(maps: Float[Tensor, "*b m"]) -> Bool[Tensor, "*b"]:
    """Return where all values along the last axis are the same."""
    return (maps == maps[..., :1]).all(-1)


def finite(maps: Float[Tensor, "*b m"]) -> Bool[Tensor, "*b"]:
    """Return where all values along the last axis are finite."""
    return maps.isfinite().all(-1)
