"""Remove random subsets of positions: how much of the map they hold, and how far the score falls."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.errors import UsageError
from heatproof.metrics._fields import require_fit
from heatproof.metrics._order import constant, finite
from heatproof.metrics._perturb import Score, plain, scored
from heatproof.metrics.imputers import Imputer


@dataclass(frozen=True, eq=False)
class Drops:
    """What random removals did.

    Attributes:
        held: (n, t, s) sum of the map over each of s subsets.
        fallen: (n, t, s) fall of the score when the subset is removed; NaN where one of the two is not finite.
        largest: (n, t) largest magnitude of any of these scores.
        uneven: (n, t) whether the map is finite and prefers any position, so that subsets of one size differ.
        forwards: what this cost per input.
    """

    held: Float[Tensor, "n t s"]
    fallen: Float[Tensor, "n t s"]
    largest: Float[Tensor, "n t"]
    uneven: Bool[Tensor, "n t"]
    forwards: int


def drawn(positions: int, size: int, count: int, seed: int) -> Float[Tensor, "s p"]:
    """Return `count` random subsets of exactly `size` positions: 1 inside, 0 outside.

    Raises:
        UsageError: the size leaves nothing to choose, or there are fewer than two subsets.
    """
    if not 1 <= size < positions:
        raise UsageError(f"A subset of {size} of {positions} positions leaves no choice; take 1 to {positions - 1}.")
    if count < 2:
        raise UsageError(f"{count} subsets are too few to correlate anything; take 2 or more, better 100.")
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(count, positions, generator=generator).argsort(dim=-1)[:, :size]
    return torch.zeros(count, positions, dtype=torch.float64).scatter_(1, first, 1.0)


def drops(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    subsets: Float[Tensor, "s p"],
    imputer: Imputer,
    batch: int,
) -> Drops:
    """Remove the same subsets from every input, once for all its targets.

    Raises:
        InputError: the maps do not fit the inputs.
    """
    require_fit(maps, inputs)
    n, t, *grid = maps.shape
    s = len(subsets)
    subsets = subsets.to(maps.device)
    place = torch.arange(n * s, device=maps.device)
    found = scored(inputs, place // s, lambda c: subsets[place[c] % s].reshape(-1, *grid), score, imputer, batch)
    found = found.reshape(n, s, -1).transpose(1, 2)
    before = plain(inputs, score, batch).unsqueeze(-1)
    fallen = before - found
    fallen = torch.where(fallen.isfinite(), fallen, torch.nan)
    largest = torch.cat([before, found], -1).nan_to_num(posinf=0.0, neginf=0.0).abs().amax(-1)
    values = maps.flatten(2).double()
    uneven = finite(values) & ~constant(values)
    return Drops(_sums(values, subsets), fallen.expand(n, t, s), largest.expand(n, t), uneven, s + 1)


def _sums(values: Float[Tensor, "n t p"], subsets: Float[Tensor, "s p"]) -> Float[Tensor, "n t s"]:
    """Return the sum over each subset; sums that differ by the order of addition only come out equal."""
    largest = values.abs().amax(-1, keepdim=True)
    values = torch.where(largest > 0, values / largest, 0.0)
    return torch.round(values @ subsets.T, decimals=10) * largest
