"""Area under the ROC curve, with the variance that holds when inputs come in clusters (several of one patient)."""

from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata


def auroc(
    scores: Float[np.ndarray, " n"],
    positive: Bool[np.ndarray, " n"],
    clusters: Int[np.ndarray, " n"] | None = None,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """Return the area under the ROC curve (0.5 is chance, 1 best; ties count half) and its interval.

    The interval is symmetric in the logit of the area. NaN without both kinds of input; with an area of 0 or 1 the
    interval is that of a proportion of the fewer kind.

    Args:
        scores: the higher, the more likely positive.
        positive: whether each input is.
        clusters: number of each input's cluster; None takes each for itself.
        level: nominal coverage.

    Source: DeLong et al. 1988, "Comparing the areas under two or more correlated receiver operating characteristic
    curves", eqs. 4-6 (structural components); Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data",
    eqs. 2-5.
    """
    x, y = scores[positive].astype(float), scores[~positive].astype(float)
    m, n = len(x), len(y)
    if not m or not n:
        return float("nan"), float("nan"), float("nan")
    together = rankdata(np.concatenate([x, y]))
    v10 = (together[:m] - rankdata(x)) / n  # share of negatives below each positive
    v01 = 1 - (together[m:] - rankdata(y)) / m
    area = float(v10.mean())
    tail = (1 - level) / 2
    if area in (0.0, 1.0):
        edge = tail ** (1 / min(m, n))  # Clopper and Pearson 1934, for all or none of k
        return (area, edge, 1.0) if area else (area, 0.0, 1 - edge)
    codes = (
        np.arange(m + n)
        if clusters is None
        else np.unique(np.concatenate([clusters[positive], clusters[~positive]]), return_inverse=True)[1]
    )
    groups = int(codes.max()) + 1
    pull10 = np.bincount(codes[:m], v10 - area, groups)
    pull01 = np.bincount(codes[m:], v01 - area, groups)
    with10, with01 = len(np.unique(codes[:m])), len(np.unique(codes[m:]))
    if min(with10, with01) < 2:
        return area, 0.0, 1.0
    variance = (
        with10 / (with10 - 1) * float(pull10 @ pull10) / m**2
        + with01 / (with01 - 1) * float(pull01 @ pull01) / n**2
        + 2 * groups / (groups - 1) * float(pull10 @ pull01) / (m * n)
    )
    reach = NormalDist().inv_cdf(1 - tail) * sqrt(max(variance, 0.0)) / (area * (1 - area))
    middle = log(area / (1 - area))
    low, high = (1 / (1 + exp(-(middle + sign * min(reach, 700)))) for sign in (-1, 1))
    return area, low, high
