"""How far is the score below its start, on average, while the most influential positions are flipped?"""

import math

from jaxtyping import Float
from torch import Tensor

from heatproof.metrics._fields import positions_of
from heatproof.metrics._perturb import BATCH, Score, amounts, curves, shares
from heatproof.metrics._record import Measurement, Metric
from heatproof.metrics.imputers import Imputer, mean

__all__ = ["pixel_flipping"]


def pixel_flipping(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    *,
    imputer: Imputer = mean,
    steps: int = 28,
    ties: int | None = None,
    batch: int = BATCH,
) -> Measurement:
    """Return the area over the perturbation curve: the mean over all points of y(x) - y(x with the k first flipped).

    The start (no position flipped) counts as a point, as in the paper. In the units of the score; higher is better,
    chance level: the area of a random order. NaN where a map or a score is not finite.

    Args:
        maps: signed maps; only their order matters.
        inputs: what the model was given.
        score: runs the model, see `Capture.rescore`.
        imputer: what flipped positions become.
        steps: equal steps from nothing to everything flipped, at most one per position.
        ties: a seed breaks ties by a random order of the positions; None flips tied positions in equal parts.
        batch: most inputs in one call of `score`.

    Raises:
        InputError: the maps do not fit the inputs.

    Source: Bach et al. 2015 (pixel flipping); Samek et al. 2017, "Evaluating the visualization of what a deep neural
    network has learned" (area over the perturbation curve).
    """
    removed = amounts(positions_of(maps), steps)
    (curve,), forwards = curves(maps, inputs, score, imputer, removed, [True], ties, batch)
    above = (curve[..., :1] - curve).mean(-1)
    return Measurement(above, forwards, steps=shares(removed, maps), most_first=curve)


METRICS = (
    Metric(
        pixel_flipping,
        "Pixel flipping (area over the perturbation curve)",
        "Bach et al. 2015; Samek et al. 2017, Evaluating the visualization of what a deep neural network has learned",
        low=-math.inf,
        high=math.inf,
        better="higher",
        chance="the area of a random order",
    ),
)
