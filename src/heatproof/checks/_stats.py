"""Intervals over inputs and seeds, and what may be concluded from them: the statistics that all checks share.

Intervals resample clusters whole, and inputs and seeds as crossed factors (the pigeonhole bootstrap of Owen 2007,
arXiv:0712.1111). Their limits are widened as for a t interval (Hesterberg 2015, "What teachers should know about the
bootstrap", section 5.3): a plain percentile interval is too narrow for few units. NaN is a missing value.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import ceil, inf, isfinite, nan, sqrt
from statistics import NormalDist
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from scipy.stats import beta
from scipy.stats import t as student
from torch import Tensor

from heatproof.errors import UsageError
from heatproof.types import Interval

DRAWS = 4000
"""Resamples for an interval."""
_NORMAL = NormalDist()
_T = TypeVar("_T")


def bootstrap(
    values: Float[Tensor, " n"],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    level: float = 0.95,
    draws: int = DRAWS,
) -> Interval:
    """Return the mean of the values with a BCa interval over clusters.

    The limits are infinite with fewer than two clusters, and the estimate is NaN without any value.

    Args:
        values: one per input; NaN is missing.
        clusters: per input, what it belongs to; None takes each input for itself.
        seed: of the resampling.
        level: nominal coverage.
        draws: resamples.

    Raises:
        UsageError: there are not as many clusters as values, or the level is not between 0 and 1.

    Source: Efron 1987, "Better bootstrap confidence intervals", eq. 2.3; limits widened as the module says.
    """
    sums, counts = _tables(values.unsqueeze(1), clusters, level)
    estimate, g = float(sums.sum() / counts.sum()), len(sums)
    if g < 2:
        return Interval(estimate, -inf, inf, level)
    drawn = _drawn(g, draws, _generator(seed))
    means = _means(drawn @ sums[:, 0], drawn @ counts[:, 0])
    # the jackknife's influence of each cluster
    left = (sums.sum() - sums[:, 0]) / (counts.sum() - counts[:, 0])
    pull = left.mean() - left
    spread = float(pull.square().sum())
    if spread == 0.0:
        return Interval(estimate, estimate, estimate, level)
    acceleration = float(pull.pow(3).sum()) / (6 * spread**1.5)
    below = float((means < estimate).double().mean() + (means == estimate).double().mean() / 2)
    bias = _NORMAL.inv_cdf(min(max(below, 1 / draws), 1 - 1 / draws))
    reach = _t(level, float(g - 1)) * sqrt(g / (g - 1))
    limits = [_corrected(z, bias, acceleration) for z in (-reach, reach)]
    return _interval(estimate, means, limits, level)


def proportion(
    hits: Bool[Tensor, " n"], clusters: Sequence[Hashable] | None = None, *, seed: int = 0, level: float = 0.95
) -> Interval:
    """Return the share of inputs that hit with its interval.

    It is exact where every cluster holds one input, or where all inputs agree: clusters then are what is counted, and a
    bootstrap would call a share of none certain.

    Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
    binomial".
    """
    n, groups, count = len(hits), len(set(_indices(clusters, len(hits)))), int(hits.sum())
    if n == 0:
        return Interval(nan, -inf, inf, level)
    if groups < n and 0 < count < n:
        return bootstrap(hits.double(), clusters, seed=seed, level=level)
    k, tail = count * groups // n, (1 - level) / 2
    low = float(beta.ppf(tail, k, groups - k + 1)) if k else 0.0
    high = float(beta.ppf(1 - tail, k + 1, groups - k)) if k < groups else 1.0
    return Interval(count / n, low, high, level)


def crossed_bootstrap(
    values: Float[Tensor, "n s"],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    level: float = 0.95,
    draws: int = DRAWS,
) -> Interval:
    """Return the mean over inputs and seeds with an interval that holds for other inputs and for other seeds.

    Clusters of inputs and seeds are resampled independently of each other. The limits are infinite with fewer than two
    clusters or seeds, and the estimate is NaN without any value.

    Args:
        values: one per input and seed; NaN is missing.
        clusters: per input, what it belongs to; None takes each input for itself.
        seed: of the resampling.
        level: nominal coverage.
        draws: resamples.

    Raises:
        UsageError: there are not as many clusters as inputs, or the level is not between 0 and 1.

    Source: Owen 2007, "The pigeonhole bootstrap", section 3; degrees of freedom: Satterthwaite 1946, eq. 17.
    """
    sums, counts = _tables(values, clusters, level)
    used = counts.sum(0) > 0
    sums, counts = sums[:, used], counts[:, used]
    estimate, (g, s) = float(sums.sum() / counts.sum()), sums.shape
    if g < 2 or s < 2:
        return Interval(estimate, -inf, inf, level)
    generator = _generator(seed)
    rows, columns = _drawn(g, draws, generator), _drawn(s, draws, generator)
    means = _means(((rows @ sums) * columns).sum(1), ((rows @ counts) * columns).sum(1))
    rest = sums - estimate * counts
    # variances of the estimate that come from the clusters and from the seeds: as resampled, and without bias
    parts = [float(rest.sum(axis).square().sum() / counts.sum() ** 2) for axis in (1, 0)]
    fair = [part * units / (units - 1) for part, units in zip(parts, (g, s), strict=True)]
    if sum(parts) == 0.0:
        free, wider = float(min(g, s) - 1), 1.0
    else:
        free = sum(fair) ** 2 / sum(v**2 / (units - 1) for v, units in zip(fair, (g, s), strict=True))
        wider = sqrt(sum(fair) / sum(parts))
    reach = _t(level, free) * wider
    return _interval(estimate, means, [_NORMAL.cdf(-reach), _NORMAL.cdf(reach)], level)


def pair_values(
    pairs: Float[Tensor, "n n"], clusters: Sequence[Hashable] | None = None
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Return each input's mean over its pairs with others, and values whose mean and spread are those of the mean pair.

    Pairs share inputs and are no sample: the first have the right mean but half the spread that the mean pair has over
    new inputs. The second, U + 2 (n / pairs) sum_j (p_ij - U) with U the mean pair, are to be resampled.

    Args:
        pairs: symmetric; NaN is missing. The diagonal and pairs within a cluster are left out.
        clusters: per input, what it belongs to.

    Source: Hoeffding 1948, "A class of statistics with asymptotically normal distribution", eq. 5.13 (projection).
    """
    n = len(pairs)
    index = torch.tensor(_indices(clusters, n))
    use: Bool[Tensor, "n n"] = (index.unsqueeze(0) != index.unsqueeze(1)) & ~pairs.isnan()
    kept = torch.where(use, pairs, 0.0).double()
    of_each, total = use.sum(1).double(), float(use.sum())
    means = torch.where(of_each > 0, kept.sum(1) / of_each, nan)
    if total == 0:
        return means, means
    mean, with_pairs = float(kept.sum()) / total, float((of_each > 0).sum())
    values = mean + 2 * with_pairs / total * (kept.sum(1) - mean * of_each)
    return means, torch.where(of_each > 0, values, nan)


@dataclass(frozen=True)
class Effect:
    """What an interval says of an effect, given a margin within which an effect counts as none.

    Attributes:
        beyond: all of the interval lies above the margin: there is an effect.
        within: all of it lies between minus the margin and the margin: there is none.
        at_most: all of it lies below the margin: there is none, or one in the other direction.
    """

    beyond: bool
    within: bool
    at_most: bool

    @property
    def decided(self) -> bool:
        """Whether there is an effect upward, or none."""
        return self.beyond or self.at_most


def decide(effect: Interval, margin: float) -> Effect:
    """Return where the interval lies in relation to the margin; an interval with an end that is NaN lies nowhere.

    Raises:
        UsageError: the margin is negative.
    """
    if margin < 0:
        raise UsageError(f"The margin is {margin:g}; it is the size of an effect and cannot be negative.")
    return Effect(
        beyond=effect.low > margin,
        within=-margin < effect.low and effect.high < margin,
        at_most=effect.high < margin,
    )


def n_needed(effect: Interval, margin: float, n: int) -> int | None:
    """Return about how many units would bring the interval to one side of the margin, if the estimate stays.

    The interval's width is taken to fall with the square root of n. None where no number will do (the estimate lies on
    the margin) or it cannot be told (the interval is infinite).
    """
    gap = abs(effect.estimate - margin)
    arm = effect.high - effect.estimate if effect.estimate < margin else effect.estimate - effect.low
    if not (isfinite(gap) and isfinite(arm)) or gap == 0.0:
        return None
    return max(n + 1, ceil(n * (arm / gap) ** 2 - 1e-6)) if arm >= gap else n


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being several, in the same order; NaN counts as 1.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    p = [1.0 if v != v else v for v in p_values]
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted


def share_alpha(
    tests: Sequence[Callable[[float], _T]], alpha: float, decided: Callable[[_T], bool]
) -> list[tuple[_T, float]]:
    """Return every test's result with the alpha it was given: Holm's procedure for results that come from intervals.

    With k undecided left each is run at alpha / k; whenever one is decided the rest run again with one fewer.

    Args:
        tests: each returns its result at a given alpha.
        alpha: error rate that all share.
        decided: whether a result is a verdict.
    """
    found: dict[int, tuple[_T, float]] = {}
    waiting = list(range(len(tests)))
    while waiting:
        share = alpha / len(waiting)
        latest = {i: (tests[i](share), share) for i in waiting}
        found |= latest
        still = [i for i in waiting if not decided(latest[i][0])]
        if len(still) == len(waiting):
            break
        waiting = still
    return [found[i] for i in range(len(tests))]


def _indices(clusters: Sequence[Hashable] | None, n: int) -> list[int]:
    """Return the number of each input's cluster, 0 for the first."""
    if clusters is None:
        return list(range(n))
    if len(clusters) != n:
        raise UsageError(f"There are {len(clusters)} clusters for {n} inputs; give one per input.")
    order = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    return [order[name] for name in clusters]


def _tables(
    values: Float[Tensor, "n s"], clusters: Sequence[Hashable] | None, level: float
) -> tuple[Float[Tensor, "g s"], Float[Tensor, "g s"]]:
    """Return sums and counts of what is not missing, per cluster that has anything, and seed."""
    if not 0 < level < 1:
        raise UsageError(f"The level is {level:g}; it must lie between 0 and 1.")
    index = torch.tensor(_indices(clusters, len(values)), dtype=torch.long)
    there = ~values.isnan().cpu()
    kept = torch.where(there, values.detach().cpu(), 0.0).double()
    zeros = torch.zeros(int(index.max()) + 1 if len(index) else 0, values.shape[1], dtype=torch.double)
    sums, counts = zeros.index_add(0, index, kept), zeros.index_add(0, index, there.double())
    some = counts.sum(1) > 0
    return sums[some], counts[some]


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _drawn(units: int, draws: int, generator: torch.Generator) -> Float[Tensor, "draws units"]:
    """Return how often each unit is in each resample."""
    chosen = torch.randint(units, (draws, units), generator=generator)
    return torch.zeros(draws, units, dtype=torch.double).scatter_add_(
        1, chosen, torch.ones(1, 1, dtype=torch.double).expand(draws, units)
    )


def _means(sums: Float[Tensor, " draws"], counts: Float[Tensor, " draws"]) -> Float[Tensor, " some"]:
    """Return the means of the resamples that hold anything."""
    return sums[counts > 0] / counts[counts > 0]


def _t(level: float, free: float) -> float:
    return float(student.ppf((1 + level) / 2, free))


def _corrected(z: float, bias: float, acceleration: float) -> float:
    """Return the share of resamples below the limit that a normal quantile z stands for."""
    bend = 1 - acceleration * (bias + z)
    # beyond the pole of the correction there is nothing further out than the outermost resample
    return _NORMAL.cdf(bias + (bias + z) / bend) if bend > 0 else float(z > 0)


def _interval(estimate: float, means: Float[Tensor, " draws"], shares: Sequence[float], level: float) -> Interval:
    low, high = torch.quantile(means, torch.tensor(shares, dtype=torch.double)).tolist()
    return Interval(estimate, low, high, level)
