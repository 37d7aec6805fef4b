"""How often a feature goes with a class: counts, and the odds ratio with its interval."""

from collections.abc import Sequence
from math import exp, log, sqrt
from statistics import NormalDist
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from heatproof.shortcuts._candidate import Candidate
from heatproof.shortcuts._survey import Survey
from heatproof.types import Interval


def prevalence(survey: Survey, candidate: Candidate, rows: Sequence[int]) -> dict[str, Any]:
    """Return how many inputs of each true class have the feature and lack it, and the odds ratio for its class."""
    chosen = torch.zeros(survey.n, dtype=torch.bool)
    chosen[list(rows)] = True
    labels = sorted(set(survey.labels.tolist()))
    counts = {
        word: {survey.model.label(label): int((chosen & group & (survey.labels == label)).sum()) for label in labels}
        for word, group in (("with", candidate.present), ("without", ~candidate.present))
    }
    of_class = survey.labels == candidate.label
    cells = [
        int((chosen & group & kind).sum())
        for group in (candidate.present, ~candidate.present)
        for kind in (of_class, ~of_class)
    ]
    return {**counts, "class": survey.model.label(candidate.label), "odds ratio": odds_ratio(*cells)}


def odds_ratio(a: int, b: int, c: int, d: int, level: float = 0.95) -> Interval:
    """Return (a d) / (b c) with half an observation added to every cell, and Woolf's interval.

    Args:
        a: with the feature, of the class.
        b: with the feature, of others.
        c: without the feature, of the class.
        d: without the feature, of others.
        level: nominal coverage.

    Source: Haldane 1956 and Anscombe 1956 for the half; Woolf 1955 for the standard error of its logarithm.
    """
    w, x, y, z = (count + 0.5 for count in (a, b, c, d))
    middle, error = log(w * z / (x * y)), sqrt(1 / w + 1 / x + 1 / y + 1 / z)
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    return Interval(exp(middle), exp(middle - reach), exp(middle + reach), level)


def lift(survey: Survey, rows: Sequence[int], present: Bool[Tensor, " n"], label: int) -> float:
    """Return how much more often inputs of the class show the feature than others, half an input added to each."""
    chosen = torch.zeros(survey.n, dtype=torch.bool)
    chosen[list(rows)] = True
    mine, others = chosen & (survey.labels == label), chosen & (survey.labels != label)
    rate = [(float((present & g).sum()) + 0.5) / (float(g.sum()) + 1.0) for g in (mine, others)]
    return rate[0] / rate[1]
