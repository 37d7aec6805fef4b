"""How fast does the score rise when the most influential positions are shown first?"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.metrics._fields import positions_of
from heatproof.metrics._perturb import BATCH, Score, amounts, curves, shares
from heatproof.metrics._record import Measurement, Metric
from heatproof.metrics.imputers import Imputer, blur

__all__ = ["insertion"]


def insertion(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    *,
    imputer: Imputer | None = None,
    steps: int = 28,
    ties: int | None = None,
    batch: int = BATCH,
) -> Measurement:
    """Return the area under the score while positions are inserted into an empty input, most influential first.

    Trapezoids over the share inserted, 0 to 1; in the units of the score. To have inserted the k first is to have
    removed the others, so this is also the area of removal in the opposite order. Higher is better, chance level: the
    area of a random order. Positions tied at a step are inserted in equal parts. NaN where a map or a score is not
    finite.

    Args:
        maps: signed maps; only their order matters.
        inputs: what the model was given.
        score: runs the model, see `Capture.rescore`.
        imputer: makes the empty input; None is `blur()`, the paper's.
        steps: equal steps from nothing to everything inserted, at most one per position.
        ties: a seed breaks ties by a random order of the positions instead.
        batch: most inputs in one call of `score`.

    Returns:
        `steps` is the share removed and `least_first` the score there; the share inserted is what remains to 1.

    Raises:
        InputError: the maps do not fit the inputs.

    Source: Petsiuk et al. 2018, "RISE", section 4.2.
    """
    removed = amounts(positions_of(maps), steps)
    (curve,), forwards = curves(maps, inputs, score, imputer or blur(), removed, [False], ties, batch)
    at = shares(removed, maps)
    return Measurement(torch.trapezoid(curve, at), forwards, steps=at, least_first=curve)


METRICS = (
    Metric(
        insertion,
        "Insertion",
        "Petsiuk et al. 2018, RISE: randomized input sampling for explanation of black-box models, section 4.2",
        low=-math.inf,
        high=math.inf,
        better="higher",
        chance="the area of a random order",
    ),
)
