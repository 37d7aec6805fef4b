"""How alike maps are under a randomized model, between inputs, and under jitter; and what that says of sanity."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import isfinite

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.checks._stats import bootstrap, crossed_bootstrap, decide, n_needed, pair_values
from heatproof.checks._verdict import FEWEST, units
from heatproof.metrics.similarity import spearman
from heatproof.types import Interval, Verdict

_SHARE_DEAD = 0.5
"""Share of comparisons without a number above which there is no verdict."""
_ALIKE = 0.5
"""|rho| between different inputs from which on their maps are called nearly the same; it decides a sentence only."""


@dataclass(frozen=True, eq=False)
class Levels:
    """|rho| per input: with randomized models, with other inputs' maps, and with the maps of jittered inputs.

    Attributes:
        rand: similarity under each seed.
        null: each input's mean over the other inputs.
        null_values: what is to be resampled for the mean of `null`, see `pair_values`.
        ceil: mean over the jitters.
    """

    rand: Float[Tensor, "n s"]
    null: Float[Tensor, " n"]
    null_values: Float[Tensor, " n"]
    ceil: Float[Tensor, " n"]


@dataclass(frozen=True)
class Gaps:
    """Intervals of the paired differences between the levels."""

    rand_null: Interval
    ceil_rand: Interval
    ceil_null: Interval


def across(maps: Float[Tensor, "n 1 *grid"], others: Sequence[Float[Tensor, "n 1 *grid"]]) -> Float[Tensor, "n s"]:
    """Return the signed rank correlation of every map with its counterpart in each of the others."""
    return torch.cat([spearman(maps, other.to(maps)) for other in others], 1)


def pairs(maps: Float[Tensor, "n 1 *grid"]) -> Float[Tensor, "n n"]:
    """Return the signed rank correlations between the maps of different inputs."""
    rolled = [spearman(maps[i : i + 1].expand_as(maps), maps)[:, 0] for i in range(len(maps))]
    return torch.stack(rolled)


def dead(maps: Float[Tensor, "n 1 *grid"]) -> Bool[Tensor, " n"]:
    """Return which maps are all zero or not finite."""
    flat = maps.flatten(1)
    return ~flat.isfinite().all(1) | (flat == 0).all(1)


def constant(maps: Float[Tensor, "n 1 *grid"]) -> Bool[Tensor, " n"]:
    """Return which maps have one value other than zero everywhere."""
    flat = maps.flatten(1)
    return ~dead(maps) & (flat == flat[:, :1]).all(1)


def levels(
    rand: Float[Tensor, "n s"],
    between: Float[Tensor, "n n"],
    jittered: Float[Tensor, "n j"],
    clusters: Sequence[Hashable],
) -> Levels:
    """Return the levels that signed correlations make."""
    means, values = pair_values(between.abs(), clusters)
    return Levels(rand.abs(), means, values, jittered.abs().nanmean(1))


def gaps(found: Levels, clusters: Sequence[Hashable], *, seed: int, level: float) -> Gaps:
    """Return intervals of the differences, inputs (clusters whole) and seeds crossed."""
    null, ceil = found.null_values.unsqueeze(1), found.ceil.unsqueeze(1)
    return Gaps(
        crossed_bootstrap(found.rand - null, clusters, seed=seed, level=level),
        crossed_bootstrap(ceil - found.rand, clusters, seed=seed, level=level),
        bootstrap(found.ceil - found.null_values, clusters, seed=seed, level=level),
    )


def judged(found: Levels, gap: Gaps, clusters: Sequence[Hashable], margin: float) -> tuple[Verdict, str, int | None]:
    """Return the verdict, one sentence why, and the inputs (or clusters) that one would need."""
    n = units(found.rand.nanmean(1), clusters)
    told = f"|rho| {_mean(found.rand):.2f} with random weights, {_mean(found.null):.2f} between inputs, "
    told += f"{_mean(found.ceil):.2f} under jitter; margin {margin:g}"
    if n < FEWEST:
        why = f"A verdict takes {FEWEST} or more inputs or clusters whose maps can be compared; there are {n} ({told})."
        return "inconclusive", why, FEWEST
    missing = float(found.rand.isnan().double().mean())
    if missing > _SHARE_DEAD:
        return "inconclusive", f"{missing:.0%} of the maps are dead or constant and compare with nothing.", None
    sensitive = decide(gap.ceil_null, margin)
    if sensitive.at_most and _mean(found.null) >= _ALIKE:
        return "undermines", f"The explainer is input-insensitive: other inputs get nearly the same map ({told}).", None
    if sensitive.at_most:
        why = (
            f"Maps do not survive a jitter of their input: they are then no more like themselves than others ({told})."
        )
        return "undermines", why, None
    if decide(gap.ceil_rand, margin).at_most:
        return "undermines", f"Maps stay what they are when all that was learned is replaced ({told}).", None
    if sensitive.beyond and decide(gap.rand_null, margin).at_most and decide(gap.ceil_rand, margin).beyond:
        return (
            "supports",
            f"Not refuted: with random weights maps are as unlike as those of other inputs ({told}).",
            None,
        )
    open_gaps = [gap.ceil_null, gap.rand_null, gap.ceil_rand]
    needs = [k for each in open_gaps if (k := n_needed(each, margin, n)) is not None and k > n]
    if all(decide(g, margin).decided and isfinite(g.low) for g in open_gaps):
        why = f"Maps change with the weights, but stay more alike than those of different inputs ({told})."
        return "inconclusive", why, None
    return "inconclusive", f"The intervals lie on both sides of the margin ({told}).", max(needs, default=None)


def _mean(values: Tensor) -> float:
    return float(values.nanmean())
