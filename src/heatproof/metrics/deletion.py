"""How fast does the score fall when the most influential positions are removed?"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.metrics._fields import positions_of
from heatproof.metrics._perturb import BATCH, Score, amounts, curves, shares
from heatproof.metrics._record import Measurement, Metric
from heatproof.metrics.imputers import Imputer, mean

__all__ = ["deletion"]


def deletion(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    *,
    imputer: Imputer = mean,
    steps: int = 28,
    ties: int | None = None,
    batch: int = BATCH,
) -> Measurement:
    """Return the area under the score while positions are removed, most influential first.

    Trapezoids over the share removed, 0 to 1; in the units of the score. Lower is better, chance level: the area of a
    random order. Positions tied at a step are removed in equal parts. NaN where a map or a score is not finite.

    Args:
        maps: signed maps; only their order matters.
        inputs: what the model was given.
        score: runs the model, see `Capture.rescore`.
        imputer: what stands where something was removed.
        steps: equal steps from nothing to everything removed, at most one per position.
        ties: a seed breaks ties by a random order of the positions instead.
        batch: most inputs in one call of `score`.

    Raises:
        InputError: the maps do not fit the inputs.

    Source: Petsiuk et al. 2018, "RISE", section 4.2.
    """
    removed = amounts(positions_of(maps), steps)
    (curve,), forwards = curves(maps, inputs, score, imputer, removed, [True], ties, batch)
    at = shares(removed, maps)
    return Measurement(torch.trapezoid(curve, at), forwards, steps=at, most_first=curve)


METRICS = (
    Metric(
        deletion,
        "Deletion",
        "Petsiuk et al. 2018, RISE: randomized input sampling for explanation of black-box models, section 4.2",
        low=-math.inf,
        high=math.inf,
        better="lower",
        chance="the area of a random order",
    ),
)
