"""From an effect's interval to the verdict's word, and to the number of units that one would need."""

from collections.abc import Hashable, Sequence

from jaxtyping import Float
from torch import Tensor

from heatproof.checks._stats import decide, n_needed
from heatproof.types import Interval
from heatproof.types.check import Verdict

FEWEST = 10
"""Units (inputs, or clusters of them) below which no check gives a verdict: resampling fewer says little."""
LEFT_OUT = 0.1
"""Most inputs, as a share, that may be left out for a verdict on the rest."""


def units(values: Float[Tensor, " n"], clusters: Sequence[Hashable]) -> int:
    """Return how many clusters hold a value that is not missing."""
    return len({cluster for value, cluster in zip(values.tolist(), clusters, strict=True) if value == value})


def above(interval: Interval, null: float) -> Interval:
    """Return the interval of what lies above a null that is known exactly."""
    return Interval(interval.estimate - null, interval.low - null, interval.high - null, interval.level)


def judge(effect: Interval, margin: float, n: int) -> tuple[Verdict, int | None]:
    """Return the verdict on an effect measured on n units, and the units that would be needed where there is none."""
    if n < FEWEST:
        return "inconclusive", max(FEWEST, (n_needed(effect, margin, n) or 0) if n > 1 else 0)
    found = decide(effect, margin)
    if found.beyond:
        return "supports", None
    if found.at_most:
        return "undermines", None
    return "inconclusive", n_needed(effect, margin, n)
