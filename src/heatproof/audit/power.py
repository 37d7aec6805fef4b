"""How many units a verdict needs: fixed before the data are seen, from assumptions that the plan states."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from statistics import NormalDist

from heatproof.checks._verdict import FEWEST

POWER = 0.9
"""Chance of a verdict where the effect is as assumed."""


@dataclass(frozen=True)
class Assumed:
    """What the sample size of one question rests on; from the planted problems of docs/calibration.md.

    Attributes:
        spread: standard deviation of the statistic from input to input.
        gap: how far the effect lies from the margin.
        statistic: name of the primary statistic.
    """

    spread: float
    gap: float
    statistic: str


ASSUMED: Mapping[str, Assumed] = {
    "sanity": Assumed(0.25, 0.15, "|Spearman rho| with random weights"),
    "faithfulness": Assumed(0.30, 0.15, "superiority of the SRG"),
    "plausibility": Assumed(0.30, 0.15, "relevance rank"),
}
SHORTCUTS = 200
"""Inputs with a label that shortcuts are looked for in: half to discover, half to confirm."""
OTHER = 50
"""Inputs for a check that nothing was assumed for."""


def units_needed(question: str, alpha: float, primaries: int) -> int:
    """Return the units that a question needs for a verdict with the planned power.

    n = (z_{1 - alpha / 2k} + z_power)^2 spread^2 / gap^2, with the alpha that Holm's first step leaves to one of k.

    Source: the usual normal approximation, e.g. Chow et al. 2017, "Sample Size Calculations in Clinical Research",
    section 3.1.
    """
    if question == "shortcuts":
        return SHORTCUTS
    assumed = ASSUMED.get(question)
    if assumed is None:
        return OTHER
    normal = NormalDist()
    z = normal.inv_cdf(1 - alpha / (2 * max(1, primaries))) + normal.inv_cdf(POWER)
    return max(FEWEST, ceil((z * assumed.spread / assumed.gap) ** 2))
