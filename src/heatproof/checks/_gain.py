"""The symmetric relevance gain of maps, of controls and of maps as smooth as the first, under one imputer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.checks._rerun import scorer
from heatproof.checks._study import Study
from heatproof.metrics.imputers import Imputer
from heatproof.metrics.srg import srg

_ROUNDING = 1e-6
"""Gains that differ by less than this share of the largest score are a tie: single precision tells no more."""
_LEVELS = 255
"""Steps from 0 to the map's largest magnitude that a color scale tells apart: what none can see is no order."""


@dataclass(frozen=True, eq=False)
class Gains:
    """What one imputer found; NaN where a map or a score is not finite.

    Attributes:
        superiority: (n, 1 + controls) share of the null's maps whose gain is smaller, ties counting half.
        over_each: (n, 1 + controls, k) 1, 0.5 or 0 for each of the null's maps.
        gain: (n,) SRG of the map under test, in the units of the score.
        null: (n,) mean SRG of the null's maps.
        moved: (n,) whether any of these removals changed the score.
        steps: share of the positions removed at each point of the curves.
        most_first: mean score over the inputs with the most influential positions of the map under test removed.
        least_first: likewise, the least influential.
        forwards: what this cost per input.
    """

    superiority: Float[Tensor, "n m"]
    over_each: Float[Tensor, "n m k"]
    gain: Float[Tensor, " n"]
    null: Float[Tensor, " n"]
    moved: Bool[Tensor, " n"]
    steps: Sequence[float]
    most_first: Sequence[float]
    least_first: Sequence[float]
    forwards: int


def gains(
    maps: Float[Tensor, "n 1 *grid"],
    controls: Sequence[Float[Tensor, "n 1 *grid"]],
    nulls: Float[Tensor, "n k *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    study: Study,
    imputer: Imputer,
    steps: int,
    batch: int,
) -> Gains:
    """Return how the maps and the controls compare with the null's maps."""
    tested = 1 + len(controls)
    every = legible(torch.cat([maps, *controls, nulls], 1))
    found = srg(every, inputs, scorer(study, every.shape[1]), imputer=imputer, steps=steps, batch=batch)
    most, least, points = found.most_first, found.least_first, found.steps
    assert most is not None
    assert least is not None
    assert points is not None
    seen = torch.cat([most, least], -1)
    usable = seen.isfinite().all(-1)
    values = torch.where(usable, found.values, torch.nan)
    tie = _ROUNDING * torch.where(usable.unsqueeze(-1), seen, 0.0).flatten(1).abs().amax(1)
    over = compared(values[:, :tested], values[:, tested:], tie)
    high, low = (torch.where(usable.unsqueeze(-1), seen, end).flatten(1) for end in (-torch.inf, torch.inf))
    return Gains(
        superiority=over.mean(-1),
        over_each=over,
        gain=values[:, 0],
        null=values[:, tested:].mean(-1),
        moved=high.amax(1) - low.amin(1) > tie,
        steps=points.tolist(),
        most_first=most[:, 0].nanmean(0).tolist(),
        least_first=least[:, 0].nanmean(0).tolist(),
        forwards=found.forwards,
    )


def legible(maps: Float[Tensor, "n m *grid"]) -> Float[Tensor, "n m *grid"]:
    """Return the maps as a color scale of 8 bits shows them, so that values that look alike are ties.

    Without it the order among a million times less than the peak counts as much as that of the peaks: a map of the
    wrong thing that is ever so slightly larger at the right one would pass.
    """
    step = maps.flatten(2).abs().amax(2) / _LEVELS
    step = torch.where(step > 0, step, 1.0).reshape(*step.shape, *[1] * (maps.ndim - 2))
    return (maps / step).round()


def compared(
    tested: Float[Tensor, "n m"], nulls: Float[Tensor, "n k"], tie: Float[Tensor, " n"]
) -> Float[Tensor, "n m k"]:
    """Return 1 where a tested value exceeds a null's by more than `tie`, 0 where it falls short by more, else 0.5."""
    gap = tested.unsqueeze(2) - nulls.unsqueeze(1)
    tie = tie.view(-1, 1, 1)
    won = (gap > tie).double() + 0.5 * (gap.abs() <= tie).double()
    return torch.where(gap.isnan(), torch.nan, won)


def mean_over(values: Sequence[Tensor]) -> Tensor:
    """Return the mean over the imputers; NaN where one has nothing."""
    return torch.stack(list(values)).mean(0)
